"""Errors that reach a user, and the exit status each of them ends with."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses of every command (spec: `FAST_EXIT_CODES=detailed`)."""

    PASSED = 0
    VULNERABLE = 1
    USAGE = 2
    TECHNICAL = 3
    INTERRUPTED = 4

    def simple(self) -> int:
        """The status as `wallarm/fast` gives it: 0 for a pass, 1 for everything else."""
        return 0 if self is ExitStatus.PASSED else 1


class FatalError(Exception):
    """Something the user must know about; ends the command. Raised as one of the classes below.

    `what` happened in one line, `why` it happened where that is known, `hint` what mends it.
    """

    status = ExitStatus.TECHNICAL

    def __init__(self, what: str, *, why: str = "", hint: str = "") -> None:
        self.what = what
        self.why = why
        self.hint = hint
        super().__init__(what)

    def lines(self) -> list[str]:
        """The message as it is printed, one fact a line."""
        extra = [f"  why: {self.why}" if self.why else "", f"  to do: {self.hint}" if self.hint else ""]
        return [f"error: {self.what}", *filter(None, extra)]


class TechnicalError(FatalError):
    """Something around the test failed: the target, the engine, the disk, the network."""


class UsageError(FatalError):
    """The command was called in a way that cannot work: unknown record, missing file, empty record."""

    status = ExitStatus.USAGE


class ConfigurationError(UsageError):
    """One or more variables have values that are not allowed. `faults` holds one line each."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        count = "1 setting is" if len(faults) == 1 else f"{len(faults)} settings are"
        super().__init__(f"{count} not usable; nothing was started")

    def lines(self) -> list[str]:
        return [*super().lines(), *(f"  {fault}" for fault in self.faults)]


class Interrupted(FatalError):
    """A signal asked the command to end before its work was done."""

    status = ExitStatus.INTERRUPTED

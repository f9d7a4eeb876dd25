"""Signals that ask a command to end, and waiting that they cut short.

A handler only notes the signal: nothing is raised inside a library call, so a container that was just made
is never lost between the engine's answer and our knowing of it. `check` and `pause` are the places where an
interruption takes effect; all waiting of the lifecycle goes through them.
"""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Protocol, Self, TypeVar

from fastci.errors import Interrupted

T = TypeVar("T")

REPEATED = 0.5
"""Seconds: a second signal within this time is the same wish, delivered twice (terminal and wrapper)."""
HURRIED = 2.0
"""Seconds of grace once interrupted: CI runners kill 10 s after their first signal, all ends included."""


class Waiter(Protocol):
    """How the lifecycle waits."""

    def check(self) -> None:
        """Raises Interrupted when a signal came and interruptions are not held."""

    def pause(self, seconds: float) -> None:
        """Wait so long at most, less if a signal comes; then `check`."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def grace(self, seconds: float) -> float:
        """How long to wait for an end that was asked for: `seconds`, less once interrupted."""
        ...


def heed(waiter: Waiter, work: Callable[[], T]) -> T:
    """Do work that blocks, in a thread, so that an interruption is heeded; the thread is then left behind."""
    result: list[T] = []
    fault: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            fault.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    tick = 0.001
    while thread.is_alive():
        waiter.pause(tick)
        tick = min(tick * 2, 0.05)
    if fault:
        raise fault[0]
    return result[0]


class Signals:
    """A context in which SIGINT, SIGTERM and SIGHUP are noted. Only in the main thread."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self._first = 0.0
        self._held = False
        self._urgent = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup a hang-up is not for us.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, number: int, frame: FrameType | None) -> None:
        moment = time.monotonic()
        if not self.received:
            self._first = moment
        elif moment - self._first > REPEATED:
            self._urgent = True
        self.received.append(number)
        with contextlib.suppress(OSError):
            os.write(self._writer, b".")

    @property
    def interrupted(self) -> bool:
        return bool(self.received)

    def hold(self) -> None:
        """From now on a signal only shortens the grace: for work that must be finished."""
        self._held = True

    def check(self) -> None:
        if self.received and not self._held:
            raise self.interruption()

    def interruption(self) -> Interrupted:
        name = signal.Signals(self.received[0]).name if self.received else "a signal"
        return Interrupted(f"interrupted by {name}")

    def pause(self, seconds: float) -> None:
        self.check()
        ready, _, _ = select.select([self._reader], [], [], max(seconds, 0))
        if ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._reader, 1024)
        self.check()

    def now(self) -> float:
        return time.monotonic()

    def grace(self, seconds: float) -> float:
        if self._urgent:
            return min(seconds, 0.2)
        return min(seconds, HURRIED) if self.received else seconds

"""The login command of FAST_LOGIN_COMMAND: what it prints goes into every test request, and it is asked again
when the session it gave is lost.

It prints either header lines (`Authorization: Bearer abc`, `Cookie: sid=abc; other=def`) or a section
`modify`, as the file in /opt/dsl_auths holds it.
"""

import asyncio
import contextlib
import re

from fastci.errors import ConfigurationError, UsageError
from fastci.node.dsl import Credentials, parse_credentials

TIMEOUT = 60.0
"""Seconds the command may take."""

_SHELL = "/bin/sh"
_MOST_OUTPUT = 64 << 10
_HEADER = re.compile(r"([!#$%&'*+.^`|~\w-]+):[ \t]*(\S.*?)\s*")
_COOKIE = re.compile(r"\s*([^=;\s]+)=([^;]*)")


class LoginFailed(Exception):
    """The command gave no credentials; the message says why."""


class Login:
    """A login command. `values` are all the secrets that it has given so far, `given` those of the first
    time by the point that each is for."""

    def __init__(self, command: str) -> None:
        self._command = command
        self.values: list[str] = []
        self.given: dict[str, str] = {}

    async def first(self) -> Credentials:
        """Its credentials at the start of a run. Raises UsageError: without them nothing could be tested."""
        try:
            credentials = await self.ask()
        except LoginFailed as error:
            raise UsageError("FAST_LOGIN_COMMAND gave no credentials", why=str(error)) from error
        self.given = {pattern.text: value for pattern, value in credentials.changes}
        return credentials

    async def ask(self) -> Credentials:
        """Run the command. Raises LoginFailed."""
        process = await asyncio.create_subprocess_exec(
            _SHELL, "-c", self._command,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(TIMEOUT):
                output, errors = await process.communicate()
        except TimeoutError as error:
            raise LoginFailed(f"it took longer than {TIMEOUT:g} s") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            said = errors.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
            raise LoginFailed(f"it ended with status {process.returncode}{f': {said}' if said else ''}")
        credentials = _read(output[:_MOST_OUTPUT].decode("utf-8", "replace"))
        self.values += [value for _, value in credentials.changes if value not in self.values]
        return credentials


def _read(text: str) -> Credentials:
    if text.lstrip().startswith("modify:"):
        try:
            return parse_credentials(text, "the output")
        except ConfigurationError as error:
            raise LoginFailed("; ".join(error.faults)) from error
    points: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        found = _HEADER.fullmatch(line)
        if not found:
            raise LoginFailed("it printed a line that is no header: give `Name: value`, or a section modify")
        if found[1].lower() == "cookie":
            points |= {
                f"HEADER_Cookie_COOKIE_{name}_value": value for name, value in _COOKIE.findall(found[2])
            }
        else:
            points[f"HEADER_{found[1]}_value"] = found[2]
    if not points:
        raise LoginFailed("it printed nothing")
    return Credentials.of(points)

"""Whether a target still answers: the breaker for one that is gone, and patience with one that is busy."""

import asyncio
import time

from fastci.node.engine.client import ANSWER_TIMEOUT, WireClient
from fastci.node.engine.dial import Forbidden, Unreachable
from fastci.node.engine.strain import OVERLOADED, Strain
from fastci.node.message import Origin

_PATIENCE_WHEN_IT_LIVED = 10.0
_PATIENCE_AT_START = 2.0
_SILENCES_BEFORE_CHECK = 5
_PAUSES = (0.1, 0.4, 1.6)
"""Seconds between the attempts to send a request that a target has no time for."""
_LONGEST_PAUSE = 5.0
_MOST_INSISTING = 3


class TargetDown(ConnectionError):
    """The target takes no connections, or answers nothing any more."""


class Insisting:
    """Whether it is any use to wait and ask again. `in_vain` are requests in a row for which it was none.

    After several that is what the target means by it, and nothing is asked again.
    """

    def __init__(self) -> None:
        self.in_vain = 0

    @property
    def helps(self) -> bool:
        return self.in_vain < _MOST_INSISTING

    async def wait(self, attempt: int, wished: bytes = b"") -> bool:
        """Wait before a request is sent again; False when that is no use.

        `wished` is the value of Retry-After, of which only a short number of seconds is heeded.
        """
        if not self.helps:
            return False
        if attempt >= len(_PAUSES):
            self.in_vain += 1
            return False
        seconds = min(int(wished[:6]), _LONGEST_PAUSE) if wished.isdigit() else 0.0
        await asyncio.sleep(max(seconds, _PAUSES[attempt]))
        return True


class Health:
    """Whether one origin still answers. `reason` is set once it is given up.

    `silences` are requests in a row that got no answer, `sample` is a request that got one. `busy` is for
    requests that were refused or broken off, `failing` for baselines that were answered with a server error.
    """

    def __init__(self, client: WireClient, origin: Origin, strain: Strain) -> None:
        self.strain = strain
        self._client = client
        self._origin = origin
        self._lock = asyncio.Lock()
        self.silences = 0
        self.busy = Insisting()
        self.failing = Insisting()
        self.sample: tuple[bytes, bytes] | None = None
        self.reason = ""

    def check(self) -> None:
        if self.reason:
            raise TargetDown(self.reason)

    def refuses(self, status: int, elapsed: float, again: bool) -> bool:
        """Whether an answer, after so many seconds, says that there was no time for the request.

        `again` is said of one that was sent before: where that helped, insisting was right.
        """
        self.silences = 0
        if status in OVERLOADED:
            if self.busy.helps:
                self.strain.strained(f"status {status}")
                return True
        elif again:
            self.busy.in_vain = 0
        self.strain.eased(elapsed)
        return False

    async def refused(self) -> None:
        """No connection could be made: wait for the target to come back. Raises TargetDown if it does not."""
        patience = _PATIENCE_WHEN_IT_LIVED if self.sample else _PATIENCE_AT_START
        async with self._lock:
            self.check()
            end = time.monotonic() + patience
            pause = 0.1
            while True:
                try:
                    await self._client.connect(self._origin)
                    return
                except Unreachable as error:
                    if isinstance(error, Forbidden) or time.monotonic() + pause > end:
                        self.reason = str(error)
                        raise TargetDown(self.reason) from error
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    async def silent(self, failure: str, data: bytes, method: bytes) -> None:
        """This request got no answer. After several in a row one that is known to work is tried."""
        self.silences += 1
        if self.silences < _SILENCES_BEFORE_CHECK:
            return
        async with self._lock:
            self.check()
            if self.silences < _SILENCES_BEFORE_CHECK:
                return
            if await self._answers(*(self.sample or (data, method))):
                self.silences = 0
                return
            self.reason = f"{self._origin} has stopped answering ({failure})"
            raise TargetDown(self.reason)

    async def _answers(self, data: bytes, method: bytes) -> bool:
        """Whether this request gets an answer, or another meanwhile; a busy target is asked several times."""
        for pause in (0.0, *_PAUSES):
            await asyncio.sleep(pause)
            if self.silences < _SILENCES_BEFORE_CHECK:
                return True
            try:
                await self._client.send(self._origin, data, method=method, timeout=ANSWER_TIMEOUT / 3)
            except TimeoutError:
                return False
            except OSError:
                continue
            return True
        return self.silences < _SILENCES_BEFORE_CHECK

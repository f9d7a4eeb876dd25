"""Requests that make the target late on purpose, and what they mean for the others."""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Delays:
    """The requests of a run that ask the target to wait.

    A target that answers one request at a time is late for all the others then. So `one` is held by whoever
    measures lateness: two at once would take each other's for their own. And a request that was not answered
    in time while such a one was under way says nothing of the target: it is sent again afterwards.
    """

    def __init__(self) -> None:
        self.one = asyncio.Lock()
        self._under_way = 0
        self._last = -math.inf
        self._ended = asyncio.Event()
        self._ended.set()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While the block runs such a request is under way."""
        self._under_way += 1
        self._ended.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            self._last = time.monotonic()
            if not self._under_way:
                self._ended.set()

    def since(self, moment: float) -> bool:
        """Whether one was under way at that moment (of the monotonic clock) or later."""
        return bool(self._under_way) or self._last > moment

    async def ended(self) -> None:
        """Return when none is under way."""
        await self._ended.wait()

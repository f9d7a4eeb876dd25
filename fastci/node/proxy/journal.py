"""Rule of the house: an exchange is in the record before the last byte of its response goes to the client.

Made cheap by batches: all exchanges that complete in one turn of the event loop are one transaction.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from fastci.errors import TechnicalError
from fastci.node.store import Recorder, Row


class Waiting(Protocol):
    """Who holds the last bytes of a response back until the exchange is in the record."""

    def release(self) -> None:
        """It is recorded: let them go."""

    def abort(self) -> None:
        """It could not be recorded: the client must not get a whole response."""


class Journal:
    """Puts exchanges into the record, in the order in which they completed.

    After the recorder failed once nothing is recorded any more: `on_failure` is told the reason, and whoever
    waits, then or later, is aborted.
    """

    def __init__(
        self,
        recorder: Recorder,
        loop: asyncio.AbstractEventLoop,
        on_failure: Callable[[TechnicalError], None],
    ) -> None:
        self._recorder = recorder
        self._loop = loop
        self._on_failure = on_failure
        self._waiting: list[Waiting] = []
        self.failed = False
        self.last: float | None = None
        """When the newest baseline was recorded, in seconds of time.monotonic()."""

    def add(
        self,
        waiting: Waiting,
        row: Row,
    ) -> None:
        """Record this exchange soon, then release or abort `waiting`."""
        if self.failed:
            waiting.abort()
            return
        self._recorder.take(row)
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(waiting)

    def flush(self) -> None:
        """Make durable what was added, then let the responses go."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            self._recorder.commit()
        except TechnicalError as error:
            self.failed = True
            for one in waiting:
                one.abort()
            self._on_failure(error)
            return
        self.last = time.monotonic()
        for one in waiting:
            try:
                one.release()
            except Exception:
                # A fault in one connection must not hold up the others.
                one.abort()
                logging.getLogger(__name__).exception("a response could not be delivered")

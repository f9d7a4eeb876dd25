"""How many requests may be under way at a target: fewer while it struggles, more again when it does not.

A target struggles when it breaks connections off, says that it has too much to do (429, 503), or answers far
later than it did. The number is halved then, once for all that was under way, and grows again by one after
some answers without a sign of it: after more of them each time that it was too many again.
"""

import asyncio
from collections import deque
from collections.abc import Callable

OVERLOADED = frozenset({429, 503})
"""Statuses that ask a client to come again later (RFC 6585, section 4; RFC 9110, section 15.6.4)."""

LATE = 0.5
"""Seconds up to which an answer is never called late."""

MUCH_LATER = 5
"""How many times later than in its best days a target answers that struggles."""

_EVERY = 4
"""Of so many answers one is looked at: that is enough, and costs less than the looking."""

_MEMORY = 1 / 8
_MOST_AT_ONCE = 4
_ENOUGH = 32
_CALM = 4
_MOST_CALM = 64


class Strain:
    """Of one target in one process. `most` is how many requests may be under way when all is well.

    `tell` takes a line when there may be fewer than ever before. `excused` says whether an answer that took
    so many seconds may have been late because of what was asked, then or meanwhile. Who sends enters while
    there are `limit` requests under way, counts itself among them, and says what came of it: `eased`,
    `strained` or `left`.
    """

    def __init__(
        self, most: int, tell: Callable[[str], None], excused: Callable[[float], bool] = lambda seconds: False
    ) -> None:
        self.limit = most
        self.under_way = 0
        self._most = most
        self._fewest = most
        self._tell = tell
        self._excused = excused
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._typical = 0.0
        self._best = 0.0
        self._seen = 0
        self._calm = 0
        self._enough = _CALM
        self._old = 0

    async def enter(self) -> None:
        """Return when another request may start."""
        while self.under_way >= self.limit:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    def eased(self, seconds: float) -> None:
        """An answer came after so many seconds."""
        self.under_way -= 1
        self._seen = seen = self._seen + 1
        if seen % _EVERY == 0:
            self._look_at(seconds)
        if self.limit < self._most:
            self._recover()
        if self._waiting:
            self._let_in()

    def _recover(self) -> None:
        if self._old:
            self._old -= 1
            return
        self._calm += 1
        if self._calm >= self._enough * self.limit:
            self._calm = 0
            self.limit += 1

    def _look_at(self, seconds: float) -> None:
        # One answer that was made late on purpose counts for little, a row of them for what they are.
        before = self._typical
        most = _MOST_AT_ONCE * before + LATE / 8
        self._typical = typical = before + ((seconds if seconds < most else most) - before) * _MEMORY
        if self._seen < _ENOUGH:
            return
        if self._seen == _ENOUGH or typical < self._best:
            self._best = typical
        struggles = typical > LATE and typical > MUCH_LATER * self._best
        if struggles and not self._old and not self._excused(seconds):
            self._halve("it answers ever later")

    def strained(self, why: str) -> None:
        """The target could not cope with a request."""
        self.under_way -= 1
        if self._old:
            self._old -= 1
        else:
            self._halve(why)
        self._let_in()

    def left(self) -> None:
        """A request ended in a way that says nothing."""
        self.under_way -= 1
        self._let_in()

    def _halve(self, why: str) -> None:
        # What was under way already went out before there were fewer.
        self._old, self._calm = self.under_way, 0
        self._enough = min(2 * self._enough, _MOST_CALM)
        self.limit = max(1, self.limit // 2)
        if self.limit < self._fewest:
            self._fewest = self.limit
            self._tell(f"struggles ({why}): at most {self.limit} at once for now")

    def _let_in(self) -> None:
        free = self.limit - self.under_way
        while self._waiting and free > 0:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                free -= 1

"""How fast requests may go: a limit that is exact over time and never runs ahead."""

import asyncio
import time

SLACK = 0.02
"""Seconds of lateness that are caught up at once: more than an event loop is late."""

CATCH_UP = 0.015
"""How much faster than the rate a loop that was held up longer may go until it has caught up."""

_MOST_BEHIND = 1.0


class Pace:
    """Grants one start every 1/`rate` seconds; a `rate` of 0 grants at once.

    Starts lie on a fixed grid, so late wake-ups do not add up. A loop that was held up longer than `SLACK`
    makes up for it slowly, at most for one second: no second ever sees 2 % more than the rate.
    """

    def __init__(self, rate: float) -> None:
        self.limits = rate > 0
        self._step = 1 / rate if rate else 0.0
        self._next = 0.0
        self._behind = 0.0
        self._began = False

    def reserve(self, now: float) -> float:
        """The moment of the next start, at or after `now` (seconds of any steady clock)."""
        if not self._step:
            return now
        if not self._began:
            self._began, self._next = True, now
        late = now - self._next
        if late > SLACK:
            self._behind = min(self._behind + late, _MOST_BEHIND)
            self._next = now
        moment = max(self._next, now)
        gain = min(self._step * CATCH_UP, self._behind)
        self._behind -= gain
        self._next += self._step - gain
        return moment

    async def wait(self) -> None:
        """Return when the next request may start."""
        if not self.limits:
            return
        now = time.monotonic()
        delay = self.reserve(now) - now
        if delay > 0:
            await asyncio.sleep(delay)

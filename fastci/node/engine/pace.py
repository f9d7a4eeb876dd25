"""How fast requests may go: a limit that is exact over time and never runs ahead."""

import asyncio
import time

SLACK = 0.02
"""Seconds of lateness that are caught up: more than an event loop is late, less than 2 % of a second."""


class Pace:
    """Grants one start every 1/`rate` seconds; a `rate` of 0 grants at once.

    Starts lie on a fixed grid, so late wake-ups do not add up; time nobody used is given up, all but `SLACK`.
    """

    def __init__(self, rate: float) -> None:
        self.limits = rate > 0
        self._step = 1 / rate if rate else 0.0
        self._next = 0.0

    def reserve(self, now: float) -> float:
        """The moment of the next start, at or after `now` (seconds of any steady clock)."""
        if not self._step:
            return now
        moment = self._next if now - self._next <= SLACK else now
        self._next = moment + self._step
        return max(moment, now)

    async def wait(self) -> None:
        """Return when the next request may start."""
        if not self.limits:
            return
        now = time.monotonic()
        delay = self.reserve(now) - now
        if delay > 0:
            await asyncio.sleep(delay)

"""How busy a run was over its time: requests in equal slices, for the chart of the reports."""

import asyncio
from collections.abc import Callable

FIRST_WIDTH = 0.25
"""Seconds of a slice at first."""
MOST = 120
"""Slices that are kept; past it two become one."""


class Pulse:
    """Counts of slices of `width` seconds each, made of the totals that it is told at their ends."""

    def __init__(self, width: float = FIRST_WIDTH) -> None:
        self.width = width
        self.slices: list[int] = []
        self._total = 0

    def beat(self, total: int) -> None:
        """End a slice; `total` is what was sent from the start."""
        self.slices.append(total - self._total)
        self._total = total
        if len(self.slices) >= MOST:
            self.slices = [sum(self.slices[at : at + 2]) for at in range(0, MOST, 2)]
            self.width *= 2

    def end(self, total: int) -> list[int]:
        """The slices with what came after the last full one; none for a run shorter than two of them."""
        if total > self._total:
            self.beat(total)
        return self.slices if len(self.slices) > 1 else []

    async def follow(self, total: Callable[[], int]) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(self.width)
            self.beat(total())

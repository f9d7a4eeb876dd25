"""How far a run is, told now and then: a line that people read and that the CI side draws a bar from."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastci.node.engine.work import Work

_TICK = 1.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One look at a run. `limit` is the seconds after which it ends in any case, 0 for none."""

    done: int
    total: int
    requests: int
    current_rps: float
    seconds: float
    limit: float = 0.0

    @property
    def average_rps(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def left(self) -> float | None:
        """Seconds to go if it goes on like this; None while nothing can be said."""
        known = [self.seconds / self.done * (self.total - self.done)] if self.done else []
        if self.limit:
            known.append(self.limit - self.seconds)
        return max(0.0, min(known)) if known else None

    def line(self) -> str:
        left = "time left unknown" if self.left is None else f"{spoken(self.left)} left"
        return (
            f"[info] Progress: {self.done} of {self.total} baselines, {self.requests} requests, "
            f"{self.current_rps:.1f} requests/s now, {self.average_rps:.1f} on average, {left}"
        )


def spoken(seconds: float) -> str:
    """`2 h 5 min`, `3 min 20 s`, `45 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


async def tell_progress(
    work: Work, total: int, say: Callable[[str], None], *, every: float, limit: float
) -> None:
    """Say a line every so many seconds until cancelled; the rate is looked at every second."""
    begin = told = time.monotonic()
    while True:
        await asyncio.sleep(min(_TICK, every))
        known, now = work.progress(), time.monotonic()
        if now - told < every - _TICK / 4:
            continue
        told = now
        seen = Progress(
            done=min(known.done, total), total=total, requests=known.requests, current_rps=known.rate,
            seconds=now - begin, limit=limit,
        )  # fmt: skip
        say(seen.line())

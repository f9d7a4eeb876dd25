"""The one way to the targets of a run, and what came back over it."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fastci import results
from fastci.node.engine.client import WireClient
from fastci.node.engine.delays import Delays
from fastci.node.engine.health import Health
from fastci.node.engine.pace import Pace
from fastci.node.engine.strain import Strain
from fastci.node.message import Origin, Response, quick

EVIDENCE_LIMIT = 64 << 10
"""Bytes of a response that a report keeps."""

_RATE_OVER = 10.0


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What was sent and what came. `response.status` is 0 when no response came; `failure` then says why."""

    sent: bytes
    response: Response
    elapsed: float
    failure: str = ""

    @classmethod
    def none(cls) -> "Reply":
        """Stands for a request that was not sent yet."""
        return cls(sent=b"", response=Response(status=0), elapsed=0.0)

    def exchange(self) -> results.Exchange:
        """As evidence: the response is cut where it is long."""
        return results.Exchange(
            request=self.sent,
            response=(self.response.render() if self.response.status else b"")[:EVIDENCE_LIMIT],
            status=self.response.status,
            elapsed=round(self.elapsed, 4),
        )


class Meter:
    """Counts requests in `total` and tells the rate of the last ten seconds (FAST: `current_rps`)."""

    def __init__(self) -> None:
        self.total = 0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def rate(self) -> float:
        """Requests of the last ten seconds, divided by ten; as exact as it is asked often."""
        now = time.monotonic()
        self._marks.append((now, self.total))
        while len(self._marks) > 1 and self._marks[1][0] <= now - _RATE_OVER:
            self._marks.popleft()
        return (self.total - self._marks[0][1]) / max(_RATE_OVER, now - self._marks[0][0])


class Sender:
    """The one way to the targets of a run. `rate` is TEST_RUN_RPS, 0 for no limit, `at_once` are the requests
    that may be under way at a target which does not struggle.
    """

    def __init__(
        self,
        client: WireClient,
        *,
        rate: float,
        at_once: int = 1,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.client = client
        self._at_once = at_once
        self._say = say
        self.pace = Pace(rate)
        self.meter = Meter()
        self.delays = Delays()
        self._health: dict[Origin, Health] = {}

    def health(self, origin: Origin) -> Health:
        if origin not in self._health:
            strain = Strain(
                self._at_once,
                tell=lambda what: self._say(f"[warn] {origin} {what}"),
                excused=lambda seconds: self.delays.since(time.monotonic() - seconds),
            )
            self._health[origin] = Health(self.client, origin, strain)
        return self._health[origin]

    def down(self) -> list[str]:
        """Why each target that was given up was given up."""
        return [health.reason for health in self._health.values() if health.reason]

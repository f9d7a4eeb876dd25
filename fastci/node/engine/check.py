"""The test set of one baseline: control first, then every extension at every point it applies to."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fastci import results
from fastci.node.dsl import Extension, MarkerSource
from fastci.node.engine.confirm import Probe
from fastci.node.engine.control import Standing, Verdict, compare
from fastci.node.engine.plan import Item
from fastci.node.engine.sender import Channel, Reply, TargetDown
from fastci.node.message import Request
from fastci.node.points import Point

_SLOWEST_USEFUL = 10.0
_TIMES_CONTROL = 10
_NO_EFFECT = "no extension of this type applies here"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One extension on one baseline: the request it attacks and the points it does that at.

    `points` is empty for an extension that sends requests of its own, once per target host.
    """

    extension: Extension
    request: Request
    points: Sequence[Point]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A confirmed vulnerability before it gets its place in the run."""

    extension: Extension
    point: str
    route: str
    evidence: results.Evidence


@dataclass(kw_only=True, slots=True)
class _Row:
    state: results.PointState = "skipped"
    requests: int = 0
    reason: str = _NO_EFFECT


@dataclass(kw_only=True)
class Check:
    """How the test set of one baseline goes. Read it at any time: `result` is what is known so far."""

    item: Item
    state: results.CheckState = "waiting"
    error: str = ""
    changed: str = ""
    found: list[Found] = field(default_factory=list)
    requests: int = 0
    elapsed: float = 0.0
    rows: dict[tuple[str, str], _Row] = field(default_factory=dict)
    reached: bool = False

    def expect(self, point: str, kind: str) -> None:
        """Note that this type could be tried at this point; stays skipped unless an attack is sent."""
        self.rows[point, kind] = _Row()

    def result(self, ids: Sequence[str]) -> results.BaselineCheck:
        """As part of the results; `ids` are the findings of this baseline."""
        place = self.item.place
        rows = [
            results.PointCoverage(
                point=point, type=kind, state=row.state, requests=row.requests, reason=row.reason
            )
            for (point, kind), row in self.rows.items()
        ]
        notes = "; ".join(filter(None, (self.item.note, self.changed)))
        if notes:
            rows.insert(0, results.PointCoverage(point="*", type="*", state=self._whole(), reason=notes))
        return results.BaselineCheck(
            baseline=place.baseline, method=place.method, url=place.url, route=self.item.route,
            state=self.state, requests=self.requests, elapsed=round(self.elapsed, 3), error=self.error,
            test=place.test, findings=list(ids), coverage=rows,
        )  # fmt: skip

    def _whole(self) -> results.PointState:
        return {"tech_failed": "failed", "passed": "tested", "failed": "tested"}.get(self.state, "skipped")  # type: ignore[return-value]


class Checker:
    """Runs checks. `seed` fixes the markers: each extension at each point of a baseline has its own stream.

    `on_found` is told of every vulnerability as soon as it is proven.
    """

    def __init__(self, *, seed: int, on_found: Callable[[Check, Found], None]) -> None:
        self._seed = seed
        self._on_found = on_found

    async def run(self, check: Check, channel: Channel, request: Request, jobs: Sequence[Job]) -> None:
        """Do the jobs, keeping `check` up to date. Raises nothing but cancellation."""
        begin = time.monotonic()
        check.state = "running"
        try:
            await self._run(check, channel, request, jobs)
        except TargetDown as error:
            check.error = f"Connection failed: {error}"
        except Exception as error:
            check.error = f"Internal exception: {type(error).__name__}: {error}"
        finally:
            check.requests = channel.sent
            check.elapsed = time.monotonic() - begin
        check.state = "failed" if check.found else "tech_failed" if check.error else "passed"

    async def _run(self, check: Check, channel: Channel, request: Request, jobs: Sequence[Job]) -> None:
        control, verdict = await self._control(check, channel, request)
        if verdict.session_lost and await channel.renew_session(request):
            control, verdict = await self._control(check, channel, request)
            if verdict.session_lost:
                channel.sessions.failed(channel.target.origin, request)
        check.reached = verdict.standing is Standing.ALIKE
        if verdict.standing is Standing.UNUSABLE:
            check.error = verdict.detail
            jobs = [job for job in jobs if job.extension.sends] if control.response.status else []
        elif verdict.standing is Standing.CHANGED:
            check.changed = f"answers otherwise than recorded: {verdict.detail}; tested all the same"
        channel.timeout = min(channel.timeout, max(_SLOWEST_USEFUL, _TIMES_CONTROL * control.elapsed))
        for job in jobs:
            for point in job.points or (None,):
                await self._attack_safely(check, channel, control, job, point)

    async def _control(self, check: Check, channel: Channel, request: Request) -> tuple[Reply, Verdict]:
        reply = await channel.send(request, is_control=True)
        verdict = compare(check.item.recorded, reply.response, target=request.target, failure=reply.failure)
        return reply, verdict

    async def _attack_safely(
        self, check: Check, channel: Channel, control: Reply, job: Job, point: Point | None
    ) -> None:
        """A mistake in one extension must not end the run: it becomes a technical failure of this check."""
        name = point.name if point else "*"
        row = check.rows.setdefault((name, job.extension.type), _Row())
        sent = channel.sent
        try:
            await self._attack(check, channel, control, job, point)
        except TargetDown:
            raise
        except Exception as error:
            row.state, row.reason = "failed", f"Internal exception: {type(error).__name__}: {error}"
            check.error = check.error or f"Internal exception: extension {job.extension.name}: {error}"
        finally:
            row.requests += channel.sent - sent
            if channel.sent > sent and row.state == "skipped":
                row.state, row.reason = "tested", ""

    async def _attack(
        self, check: Check, channel: Channel, control: Reply, job: Job, point: Point | None
    ) -> None:
        name = point.name if point else ""
        extension = job.extension
        if any(f.extension.type == extension.type and f.point == name for f in check.found) and point:
            return
        item = check.item
        probe = Probe(
            channel=channel,
            extension=extension,
            request=job.request,
            point=point,
            control=control,
            markers=MarkerSource(marker_seed(self._seed, item.baseline.id, extension.name, name)),
            observers=item.observers.get(name, ()),
        )
        for attack in extension.attacks(job.request, point, probe.markers):
            answer = await probe.ask(attack)
            if answer.match is None:
                continue
            evidence = await probe.confirm(attack, answer)
            if evidence is not None:
                found = Found(extension=extension, point=attack.point, route=item.route, evidence=evidence)
                check.found.append(found)
                self._on_found(check, found)
                return


def marker_seed(seed: int, baseline: str, extension: str, point: str) -> int:
    """The seed of one stream of markers, 64 bits: the same however many workers there are."""
    text = "\n".join((str(seed), baseline, extension, point)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())

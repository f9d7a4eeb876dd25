"""The test set of one baseline: control first, then every extension at every point it applies to."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from fastci import results
from fastci.node.dsl import Attack, Extension, MarkerSource
from fastci.node.engine.browser import Browser, prove_by_execution
from fastci.node.engine.called_back import CalledBack, confirm_at_once, confirm_later
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.confirm import Answer, Probe
from fastci.node.engine.control import Standing, Verdict, compare, is_login
from fastci.node.engine.hearing import Ear, Hearing, Undecided, Waiting
from fastci.node.engine.oracles import ORACLES
from fastci.node.engine.people import Company
from fastci.node.engine.plan import Item, Phase
from fastci.node.engine.screen import Screen
from fastci.node.engine.sender import Channel, Reply, TargetDown
from fastci.node.engine.unique import find_unique
from fastci.node.message import Request
from fastci.node.oob import Spelling
from fastci.node.points import Point, list_points

_SLOWEST_USEFUL = 10.0
_TIMES_CONTROL = 10
_REFUSALS_BEFORE_CONTROL = 3
_NO_EFFECT = "no extension of this type applies here"
_NOT_REACHED = "the test set ended before it was tried"


class SessionLost(Exception):
    """The session ended while it was used and could not be brought back."""


class NotNow(Exception):
    """The check needs fresh tokens, and others that use the same session would spoil them: do it alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One extension on one baseline: the request it attacks and the points it does that at.

    `points` is empty for an extension that looks at a request as a whole, or sends requests of its own.
    """

    extension: Extension
    request: Request
    points: Sequence[Point]

    @property
    def cost(self) -> int:
        """About how many requests it sends: what it tries at a point, at each of them."""
        extension = self.extension
        told = int(extension.oracle_options.get("requests", 0))
        tries = told or len(extension.sendings) or len(extension.payloads) * len(extension.methods)
        return max(tries, 1) * max(len(self.points), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A confirmed vulnerability before it gets its place in the run."""

    extension: Extension
    point: str
    route: str
    evidence: results.Evidence
    confidence: results.Confidence = "confirmed"


@dataclass(kw_only=True, slots=True)
class _Row:
    state: results.PointState = "skipped"
    requests: int = 0
    reason: str = _NO_EFFECT


@lru_cache(maxsize=8192)
def _covered(
    point: str, kind: str, state: results.PointState, requests: int, reason: str
) -> results.PointCoverage:
    """One row of coverage; ten thousand baselines have few different ones."""
    return results.PointCoverage(point=str(point), type=kind, state=state, requests=requests, reason=reason)


@dataclass(kw_only=True)
class Check:
    """How the test set of one baseline goes. Read it at any time: `result` is what is known so far."""

    item: Item
    state: results.CheckState = "waiting"
    error: str = ""
    changed: str = ""
    ended: bool = False
    found: list[Found] = field(default_factory=list)
    requests: int = 0
    elapsed: float = 0.0
    rows: dict[tuple[str, str], _Row] = field(default_factory=dict)
    settled: tuple[results.PointCoverage, ...] = ()
    done_before: set[tuple[str, str]] = field(default_factory=set)
    alike: bool = False

    def expect(self, point: str, kind: str) -> None:
        """Note that this type could be tried at this point; stays skipped unless an attack is sent."""
        self.rows[point, kind] = _Row()

    def has(self, kind: str, point: Point) -> bool:
        """Whether such a flaw is known here, or in a part of what this point holds."""
        parts = _parts_of(point.name)
        return any(
            f.extension.type == kind and (f.point == point.name or f.point.startswith(parts))
            for f in self.found
        )

    def broken(self, extension: Extension, point: str, error: Exception) -> None:
        """A mistake in one extension must not end the run: it is a technical failure of this check."""
        what = f"{type(error).__name__}: {error}"
        row = self.rows.setdefault((point or "*", extension.type), _Row())
        row.state, row.reason = "failed", f"Internal exception: {extension.name}: {what}"
        self.error = self.error or f"Internal exception: extension {extension.name}: {what}"

    def result(self, ids: Sequence[str]) -> results.BaselineCheck:
        """As part of the results; `ids` are the findings of this baseline."""
        place = self.item.place
        rows = [*self.settled, *self._coverage()]
        notes = "; ".join(filter(None, (self.item.note, self.changed)))
        if notes:
            rows.insert(0, results.PointCoverage(point="*", type="*", state=self._whole(), reason=notes))
        return results.BaselineCheck(
            baseline=place.baseline, method=place.method, url=place.url, route=self.item.route,
            state=self.state, requests=self.requests, elapsed=round(self.elapsed, 3), error=self.error,
            test=place.test, findings=list(ids), coverage=rows,
        )  # fmt: skip

    def _outcome(self, row: _Row) -> tuple[results.PointState, str]:
        """What nothing was sent for could not be tested there, unless the test set had no time to try."""
        if row.state != "skipped" or row.reason != _NO_EFFECT:
            return row.state, row.reason
        return ("impossible", _NO_EFFECT) if self.ended else ("skipped", _NOT_REACHED)

    def restore_unit(
        self, extension: str, point: str, kind: str, state: results.PointState, requests: int, reason: str
    ) -> None:
        """What an extension did at a point before this run was interrupted: it is not done again."""
        row = self.rows.setdefault((point or "*", kind), _Row())
        row.state, row.reason = state, reason
        row.requests += requests
        self.requests += requests
        self.done_before.add((extension, point))

    def settle(self) -> None:
        """It has ended: from now on its coverage takes little room, as others have the same."""
        self.settled, self.rows = (*self.settled, *self._coverage()), {}

    def _coverage(self) -> list[results.PointCoverage]:
        return [
            _covered(point, kind, state, row.requests, reason)
            for (point, kind), row in self.rows.items()
            for state, reason in (self._outcome(row),)
        ]

    def _whole(self) -> results.PointState:
        if self.state == "tech_failed":
            return "failed"
        return "tested" if self.state in ("passed", "failed") else "skipped"


class CheckRunner:
    """Does the jobs of one check over its channel and keeps the check up to date.

    `seed` fixes the markers: each extension at each point of a baseline has its own stream of them.
    `on_found` is told of every vulnerability as soon as it is proven. `alone`: nothing else runs meanwhile.
    `company` is who else the record knows, `hearing` what callbacks mean. `browser`
    opens pages with cross-site scripting, None where that is not wanted. `on_unit` is told when an extension
    is done with a point: its state, the requests that took, and the reason.
    """

    def __init__(
        self,
        check: Check,
        channel: Channel,
        request: Request,
        *,
        seed: int,
        on_found: Callable[[Check, Found], None],
        alone: bool,
        company: Company,
        hearing: Hearing,
        browser: Browser | None,
        on_unit: Callable[[Extension, str, results.PointState, int, str], None],
    ) -> None:
        self._check = check
        self._channel = channel
        self._request = request
        self._seed = seed
        self._on_found = on_found
        self._alone = alone
        self._company = company
        self._hearing = hearing
        self._browser = browser
        self._on_unit = on_unit
        self._screen = Screen()
        self._renewed = False
        self._control = Reply.none()
        self._refusals = 0
        self._patience = _REFUSALS_BEFORE_CONTROL

    async def run(self, jobs: Sequence[Job]) -> None:
        """Raises NotNow (nothing was attacked yet) and cancellation; else what goes wrong is in the check."""
        check, begin = self._check, time.monotonic()
        check.state = "running"
        try:
            await self._run(jobs)
        except TargetDown as error:
            check.error = f"Connection failed: {error}"
        except SessionLost as error:
            check.error = str(error)
        except NotNow:
            check.state = "waiting"
            raise
        except Exception as error:
            check.error = f"Internal exception: {type(error).__name__}: {error}"
        finally:
            check.requests += self._channel.sent
            check.elapsed += time.monotonic() - begin
        check.state = "failed" if check.found else "tech_failed" if check.error else "passed"

    async def _run(self, jobs: Sequence[Job]) -> None:
        check, channel = self._check, self._channel
        verdict = await self._look()
        if await self._lacks_tokens(verdict):
            if not self._alone:
                raise NotNow
            verdict = await self._look_with_new_tokens()
        verdict = await self._look_for_unique_fields(verdict)
        check.alike = verdict.standing is Standing.ALIKE
        if verdict.standing is Standing.UNUSABLE:
            check.error = verdict.detail
            jobs = [job for job in jobs if job.extension.sends] if self._control.response.status else []
        elif verdict.standing is Standing.CHANGED:
            check.changed = f"answers otherwise than recorded: {verdict.detail}; tested all the same"
        channel.timeout = min(channel.timeout, max(_SLOWEST_USEFUL, _TIMES_CONTROL * self._control.elapsed))
        for job in jobs:
            for point in job.points or (None,):
                await self._attack_safely(job, point)
        for waiting in list(self._hearing.heard(check)):
            await self._look_into(waiting)
        check.ended = not check.error

    async def _look(self) -> Verdict:
        """Send the unmodified request and judge the answer, with a new session where the old one is lost."""
        verdict = await self._look_once()
        if verdict.session_lost and await self._channel.renew_session(self._request):
            self._renewed = True
            verdict = await self._look_once()
            if verdict.session_lost:
                self._channel.sessions.failed(self._channel.target.origin, self._request)
        return verdict

    async def _lacks_tokens(self, verdict: Verdict) -> bool:
        """Whether the answer may come from a token that was used up, here or by bringing the session back."""
        if not self._channel.has_tokens(self._request):
            return False
        if verdict.standing is Standing.ALIKE and self._renewed:
            control = self._control
            verdict = await self._look_once()
            self._control = control
        return verdict.standing is Standing.CHANGED or verdict.session_lost

    async def _look_with_new_tokens(self) -> Verdict:
        """Where fresh tokens help once but not twice, they serve once: the channel renews them each time."""
        await self._channel.renew_tokens(self._request)
        verdict = await self._look_once()
        if verdict.standing is Standing.ALIKE:
            control = self._control
            if (await self._look_once()).standing is not Standing.ALIKE:
                self._channel.needs_tokens = self._request
            self._control = control
        return verdict

    async def _look_for_unique_fields(self, verdict: Verdict) -> Verdict:
        """Find the fields that must be new each time, where the repeated request does not do what it did.

        That shows in its answer, or in a page that should show what was sent and does not.
        """
        item, name = self._check.item, next(iter(self._check.item.observers), "")
        if item.phase is Phase.READ or verdict.standing is Standing.UNUSABLE or self._channel.needs_tokens:
            return verdict
        markers = MarkerSource(marker_seed(self._seed, item.baseline.id, "unique", name))

        async def is_alike(request: Request) -> bool:
            reply = await self._channel.send(request, is_control=True)
            return self._judge(reply).standing is Standing.ALIKE

        async def is_kept(request: Request) -> bool:
            word = markers.fresh().text.encode()
            point = next(p for p in list_points(request) if p.name == name)
            await self._channel.send(point.write(point.value + word), is_control=True)
            pages = [await self._channel.send(page) for page in item.observers[name]]
            return any(word in decoded_body(page.response) for page in pages)

        if verdict.standing is Standing.CHANGED:
            self._channel.unique = await find_unique(self._request, is_alike, markers)
            return await self._look_once() if self._channel.unique else verdict
        points = [p.name for p in list_points(self._request)]
        if name in points and not await is_kept(self._request):
            self._channel.unique = await find_unique(self._request, is_kept, markers, but=name)
        return verdict

    async def _look_once(self) -> Verdict:
        request, unique = self._request, self._channel.unique
        request = unique.freshen(request) if unique else request
        self._control = await self._channel.send(request, is_control=True)
        return self._judge(self._control)

    def _judge(self, reply: Reply) -> Verdict:
        recorded, target = self._check.item.recorded, self._request.target
        return compare(recorded, reply.response, target=target, failure=reply.failure)

    async def _attack_safely(self, job: Job, point: Point | None) -> None:
        name = point.name if point else ""
        extension = job.extension
        if point and self._check.has(extension.type, point):
            return
        if (extension.name, name) in self._check.done_before:
            return
        row = self._check.rows.setdefault((name or "*", extension.type), _Row())
        sent = self._channel.sent
        try:
            if not await self._attack(job, point):
                await self._attack(job, point)
        except (TargetDown, SessionLost):
            raise
        except Exception as error:
            self._check.broken(extension, name, error)
        finally:
            row.requests += self._channel.sent - sent
            if row.state == "skipped" and (self._channel.sent > sent or extension.oracle == "passive"):
                row.state, row.reason = "tested", ""
            elif row.state == "impossible" and self._channel.sent > sent:
                row.state = "tested"
            self._note_unheard(row, extension)

    async def _attack(self, job: Job, point: Point | None) -> bool:
        """Send the attacks of a job at a point; False when the session was lost on the way and is new now."""
        name = point.name if point else ""
        extension = job.extension
        probe = await self._probe(extension, job.request, point)
        if extension.builtin and (reason := await self._screen.reason_against(probe)):
            self._check.rows[name, extension.type].reason = reason
            return True
        oracle = ORACLES[extension.oracle] if extension.oracle else None
        usual = self._control.response.status
        for number, attack in enumerate(extension.attacks(job.request, point, probe.markers)):
            if oracle is not None:
                evidence = await oracle(probe, attack)
            else:
                reply = await probe.send(attack, number=number)
                if reply.response.status == usual and probe.shows_nothing(attack, reply):
                    self._refusals = 0
                    continue
                answer = await probe.look(attack, reply)
                if answer.match is None:
                    if await self._session_was_renewed(answer):
                        return False
                    continue
                evidence = await self._confirm(probe, attack, answer)
            if evidence is not None:
                found = self._found(extension, attack.point, evidence)
                if self._browser is not None and extension.type == "xss":
                    evidence, sure = await prove_by_execution(self._browser, probe, attack, evidence)
                    found = replace(found, evidence=evidence, confidence=sure)
                self._add(found)
                return True
        return True

    async def _probe(
        self, extension: Extension, request: Request, point: Point | None, *, again: str = ""
    ) -> Probe:
        """`again` tells the markers from those of an earlier probe at the same place."""
        name = point.name if point else ""
        item = self._check.item
        ear, spelling = None, Spelling()
        if extension.detection.callbacks:
            spelling, peer = await self._hearing.place(self._channel.target.origin)
            ear = Ear(
                hearing=self._hearing, check=self._check, extension=extension, point=name, peer=peer,
                spelling=spelling,
            )  # fmt: skip
        seed = marker_seed(self._seed, item.baseline.id, extension.name, name + again)
        return Probe(
            channel=self._channel,
            extension=extension,
            request=request,
            point=point,
            control=self._control,
            markers=MarkerSource(seed, spelling.template),
            observers=item.observers.get(name, ()) if point else _all_observers(item),
            recorded=item.baseline.response,
            company=self._company,
            reads=item.phase is Phase.READ or is_login(request.target),
            ear=ear,
        )

    async def _confirm(self, probe: Probe, attack: Attack, answer: Answer) -> results.Evidence | None:
        if answer.match is None or not answer.match.called_back:
            return await probe.confirm(attack, answer)
        self._hearing.judge(attack.markers.domain)
        return self._decided(probe, await confirm_at_once(probe, attack, answer))

    def _decided(self, probe: Probe, called: CalledBack | None) -> results.Evidence | None:
        """The evidence where callbacks decide now; what only the end of the run can decide is put down."""
        if called is None or called.settled:
            return called.evidence if called else None
        point = probe.point.name if probe.point else ""
        found = self._found(probe.extension, point, called.evidence)
        self._hearing.undecided.append(
            Undecided(check=self._check, found=found, again=called.again, control=called.control)
        )
        return None

    async def look_into(self, waiting: Waiting) -> None:
        """Decide on a request of this check that was called back when its test set had ended."""
        check, sent = self._check, self._channel.sent
        try:
            await self._look()
            await self._look_into(waiting)
        except (TargetDown, SessionLost) as error:
            check.error = check.error or f"Connection failed: {error}"
        except Exception as error:
            check.broken(waiting.extension, waiting.point, error)
        check.requests += self._channel.sent - sent
        if check.found:
            check.state = "failed"

    async def _look_into(self, waiting: Waiting) -> None:
        extension, name = waiting.extension, waiting.point
        waiting.judged = True
        request = extension.modified(self._request)
        point = next((p for p in list_points(request) if p.name == name), None) if name else None
        if (name and point is None) or (point and self._check.has(extension.type, point)):
            return
        probe = await self._probe(extension, request, point, again=f" {waiting.number} again")
        sent = self._channel.sent
        evidence = self._decided(probe, await confirm_later(probe, waiting))
        self._check.rows.setdefault((name or "*", extension.type), _Row()).requests += (
            self._channel.sent - sent
        )
        if evidence is not None:
            self._add(self._found(extension, name, evidence))

    def _found(self, extension: Extension, point: str, evidence: results.Evidence) -> Found:
        route = self._check.item.route if extension.per == "route" else "*"
        return Found(extension=extension, point=point, route=route, evidence=evidence)

    def _add(self, found: Found) -> None:
        self._check.found.append(found)
        self._on_found(self._check, found)

    def _note_unheard(self, row: _Row, extension: Extension) -> None:
        """Say at a point what could not be shown there for want of a way to call back."""
        spelling = self._hearing.known(self._channel.target.origin)
        if not extension.detection.callbacks or not spelling.reason:
            return
        if extension.unheard(MarkerSource(0, spelling.template).fresh()):
            if row.state == "skipped":
                row.state, row.reason = "impossible", spelling.reason
            row.reason = row.reason or spelling.reason

    async def _session_was_renewed(self, answer: Answer) -> bool:
        """Several refusals in a row may mean that the session is gone: the control tells.

        Raises SessionLost when it is and does not come back. Where the control is fine the attacks are what
        is refused, and the next look is put off.
        """
        status = answer.direct.response.status
        if status == self._control.response.status and not 300 <= status < 400:
            self._refusals = 0
            return False
        if not self._check.alike or not self._judge(answer.direct).session_lost:
            self._refusals = 0
            return False
        self._refusals += 1
        if self._refusals < self._patience:
            return False
        self._refusals = 0
        if not (await self._look_once()).session_lost:
            self._patience *= 4
            return False
        verdict = await self._look()
        if verdict.session_lost:
            raise SessionLost(verdict.detail)
        return True


def _all_observers(item: Item) -> list[Request]:
    """The pages that may show anything this baseline sends."""
    pages = [page for pages in item.observers.values() for page in pages]
    return list({page.target: page for page in pages}.values())


def parts_first(points: Sequence[Point]) -> list[Point]:
    """The points with those that hold others at the end: a flaw of a part is not told for the whole again."""
    stems = {stem for point in points for stem in _stems(point.name)}
    return sorted(points, key=lambda point: not stems.isdisjoint(_parts_of(point.name)))


def _parts_of(name: str) -> tuple[str, ...]:
    """How the names of points begin that are parts of this one."""
    if name == "URI_value":
        return ("PATH_", "ACTION_")
    return (name.removesuffix("_value") + "_",) if name.endswith("_value") else ()


def _stems(name: str) -> Iterator[str]:
    """Every beginning of a name that could be another point's."""
    words = name.split("_")[:-1]
    for end in range(1, len(words)):
        yield "_".join(words[:end]) + "_"


def marker_seed(seed: int, baseline: str, extension: str, point: str) -> int:
    """The seed of one stream of markers, 64 bits: the same however many workers there are."""
    text = "\n".join((str(seed), baseline, extension, point)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())

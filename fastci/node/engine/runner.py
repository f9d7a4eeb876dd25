"""The test set of one baseline: control first, then every extension at every point it applies to."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastci import results
from fastci.node.dsl import Attack, Extension, MarkerSource
from fastci.node.engine.browser import Browser, prove_by_execution
from fastci.node.engine.called_back import CalledBack, confirm_at_once, confirm_later
from fastci.node.engine.check import Check, Found, Job, Row
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


class SessionLost(Exception):
    """The session ended while it was used and could not be brought back."""


class NotNow(Exception):
    """The check needs fresh tokens, and others that use the same session would spoil them: do it alone."""


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
            point = next((p for p in list_points(request) if p.name == name), None)
            if point is None:
                return False
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
        self._channel.doing = extension.name
        if point and self._check.has(extension.type, point):
            return
        if (extension.name, name) in self._check.done_before:
            return
        row = self._check.row(name, extension.type)
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
            self._check.row(name, extension.type).reason = reason
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
        self._channel.doing = extension.name
        waiting.judged = True
        request = extension.modified(self._request)
        point = next((p for p in list_points(request) if p.name == name), None) if name else None
        if (name and point is None) or (point and self._check.has(extension.type, point)):
            return
        probe = await self._probe(extension, request, point, again=f" {waiting.number} again")
        sent = self._channel.sent
        evidence = self._decided(probe, await confirm_later(probe, waiting))
        self._check.row(name, extension.type).requests += self._channel.sent - sent
        if evidence is not None:
            self._add(self._found(extension, name, evidence))

    def _found(self, extension: Extension, point: str, evidence: results.Evidence) -> Found:
        route = self._check.item.route if extension.per == "route" else "*"
        return Found(extension=extension, point=point, route=route, evidence=evidence)

    def _add(self, found: Found) -> None:
        self._check.found.append(found)
        self._on_found(self._check, found)

    def _note_unheard(self, row: Row, extension: Extension) -> None:
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


def marker_seed(seed: int, baseline: str, extension: str, point: str) -> int:
    """The seed of one stream of markers, 64 bits: the same however many workers there are."""
    text = "\n".join((str(seed), baseline, extension, point)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())

"""The test set of one baseline: control first, then every extension at every point it applies to."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

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
from fastci.node.engine.witness import Witnesses
from fastci.node.message import Request
from fastci.node.oob import Spelling
from fastci.node.points import Point, list_points

_SLOWEST_USEFUL = 10.0
_TIMES_CONTROL = 10
_REFUSALS_BEFORE_CONTROL = 3
CONTROL_EVERY = 60
"""Requests after which the unmodified one is sent again: its session may be lost without a sign."""
CONTROL_AT_LEAST = 10
_MOST_LOSSES = 3
_MOST_TRIES = 5
_MOST_EXPLAINED = 3
"""Refusals that the session had nothing to do with, after which they are taken for the target's manner."""


class SessionLost(Exception):
    """The session ended while it was used and could not be brought back."""


class NotNow(Exception):
    """The check needs what others would spoil that use the same session: do it alone. Says what that is."""


class PutLast(Exception):
    """By its effect the baseline ends the session or wipes data: it belongs to the end. Says which."""


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
        witnesses: Witnesses,
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
        self._witnesses = witnesses
        self._hearing = hearing
        self._browser = browser
        self._on_unit = on_unit
        self._screen = Screen()
        self._renewed = False
        self._control = Reply.none()
        self._refusals = 0
        self._patience = _REFUSALS_BEFORE_CONTROL
        self._explained = 0
        self._renewals_then = 0
        self._renewals_of = 0, 0
        self._controlled_at = 0
        self._since_control: list[tuple[Job, Point | None]] = []
        self._losses = 0

    async def run(self, jobs: Sequence[Job]) -> None:
        """Raises NotNow and PutLast (nothing was proven yet) and cancellation; else what goes wrong is in the
        check.
        """
        check, begin = self._check, time.monotonic()
        check.state = "running"
        try:
            await self._run(jobs)
        except TargetDown as error:
            check.error = f"Connection failed: {error}"
        except SessionLost as error:
            check.error = str(error)
        except (NotNow, PutLast):
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
                raise NotNow("fresh tokens")
            verdict = await self._look_with_new_tokens()
        verdict = await self._look_for_unique_fields(verdict)
        if verdict.session_lost and self._renewed and not self._alone:
            raise NotNow("a session that stays")
        check.alike = verdict.standing is Standing.ALIKE
        if verdict.standing is Standing.UNUSABLE:
            check.error = verdict.detail
            jobs = [job for job in jobs if job.extension.sends] if self._control.response.status else []
        elif verdict.standing is Standing.CHANGED:
            check.changed = f"answers otherwise than recorded: {verdict.detail}; tested all the same"
        else:
            await self._look_at_witnesses()
        channel.timeout = min(channel.timeout, max(_SLOWEST_USEFUL, _TIMES_CONTROL * self._control.elapsed))
        for job in jobs:
            for point in job.points or (None,):
                await self._attack_safely(job, point)
                self._since_control.append((job, point))
                if channel.sent - self._controlled_at >= CONTROL_EVERY:
                    await self._control_again()
        while channel.sent - self._controlled_at >= CONTROL_AT_LEAST:
            await self._control_again()
        for waiting in list(self._hearing.heard(check)):
            await self._look_into(waiting)
        check.ended = not check.error

    async def _look_at_witnesses(self) -> None:
        """Raises PutLast where the unmodified request has ended the session or wiped data."""
        item, channel = self._check.item, self._channel
        self._controlled_at, self._renewals_then = channel.sent, self._renewals()
        if item.phase is Phase.DESTROY:
            return
        if item.phase is Phase.READ and not self._has_session():
            return
        for witness in self._witnesses.about(item)[: 1 if item.phase is Phase.READ else None]:
            reply = await channel.send(witness.request, is_control=True)
            target = witness.request.target
            verdict = compare(witness.item.recorded, reply.response, target=target, failure=reply.failure)
            page = f"GET {target.partition(b'?')[0].decode('latin-1')}"
            if verdict.session_lost:
                self._note_silence(witness.item, reply)
                if await channel.renew_session(witness.request):
                    raise PutLast(f"after it the session was gone: {page} was refused")
            elif item.phase is Phase.CHANGE and witness.likeness.refused(reply.response):
                self._witnesses.forget(item)
                raise PutLast(f"after it most of {page} was gone")
        self._controlled_at = channel.sent

    async def _control_again(self) -> None:
        """Whether what was sent since the last look could tell anything: does the baseline still answer?

        What was tried with a session that is lost by now is tried again with a new one. Raises SessionLost
        where there is none, PutLast where the session ends whenever the baseline is tested.
        """
        check, item, first = self._check, self._check.item, self._control
        tried, self._since_control = self._since_control, []
        self._controlled_at = self._channel.sent
        if not check.alike or item.phase is Phase.DESTROY or self._channel.needs_tokens:
            return
        verdict = await self._look_once()
        last, self._control = self._control, first
        self._controlled_at = self._channel.sent
        renewals, self._renewals_then = self._renewals_then, self._renewals()
        silently = self._channel.sessions.ends_silently and renewals != self._renewals_then
        if verdict.standing is Standing.ALIKE and silently:
            # Another check brought it back: what was answered meanwhile may have been the page for others.
            self._losses += 1
            if self._losses >= _MOST_TRIES:
                raise self._lost("Auth failed: the session ends faster than a check needs it")
            await self._again(tried)
        elif verdict.standing is Standing.ALIKE:
            if item.phase is Phase.READ and self._witnesses.wants(item.target.origin):
                self._witnesses.add(item, self._request, (first.response, last.response))
        elif verdict.detail.startswith("Connection failed"):
            check.error = f"{verdict.detail}, after {self._channel.sent} requests"
        elif not verdict.session_lost:
            check.changed = check.changed or f"answered otherwise after its tests: {verdict.detail}"
        else:
            self._losses += 1
            if (await self._look()).session_lost:
                raise self._lost(verdict.detail)
            self._control = first
            if self._losses >= _MOST_LOSSES:
                if check.found or not self._alone:
                    raise self._lost(f"{verdict.detail}, again and again while it was tested")
                raise PutLast("the session ends whenever it is tested")
            self._renewals_then = self._renewals()
            await self._again(tried)

    def _note_silence(self, item: Item, refused: Reply) -> None:
        if refused.response.status == item.recorded.status:
            self._channel.sessions.ends_silently = True

    async def _again(self, tried: list[tuple[Job, Point | None]]) -> None:
        for job, point in tried:
            await self._attack_safely(job, point)
        self._since_control = tried

    async def _look(self) -> Verdict:
        """Send the unmodified request and judge the answer, with a new session where the old one is lost."""
        verdict = await self._look_once()
        if verdict.session_lost:
            self._note_silence(self._check.item, self._control)
        if verdict.session_lost and await self._channel.renew_session(self._request):
            self._renewed = True
            verdict = await self._look_once()
            if verdict.session_lost:
                self._channel.sessions.failed(self._channel.target.origin, self._request)
        if verdict.session_lost and (trouble := self._channel.sessions.trouble):
            verdict = replace(verdict, detail=f"{verdict.detail}; {trouble}")
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
            control, channel = self._control, self._channel
            follow = channel.sessions.follow_tokens(channel.target.origin, self._request, control.response)
            if follow and (await self._look_once()).standing is Standing.ALIKE:
                channel.tokens_follow = True
            if (await self._look_once()).standing is not Standing.ALIKE:
                channel.needs_tokens = self._request
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
        if self._channel.needs_tokens is not None:
            await self._channel.renew_tokens(self._request)
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
            await self._attack(job, point)
        except (TargetDown, SessionLost, NotNow, PutLast):
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

    async def _session_is_lost(self) -> bool:
        """Whether it was, and is back. Raises SessionLost where it does not come back."""
        control = self._control
        try:
            if not (await self._look_once()).session_lost:
                return False
            verdict = await self._look()
        finally:
            self._control = control
        if verdict.session_lost:
            raise self._lost(verdict.detail)
        return True

    def _lost(self, detail: str) -> Exception:
        """What to raise for a session that does not stay: beside others one of them may end it each time."""
        can_wait = not self._alone and not self._check.found and self._has_session()
        return NotNow("a session that stays") if can_wait else SessionLost(detail)

    async def _attack(self, job: Job, point: Point | None) -> None:
        """Send the attacks of a job at a point; those that a lost session refused again with a new one.

        Raises SessionLost where there is none, or where it ends over and over.
        """
        extension = job.extension
        probe = await self._probe(extension, job.request, point)
        if extension.builtin and (reason := await self._screen.reason_against(probe)):
            self._check.row(point.name if point else "", extension.type).reason = reason
            return
        oracle = ORACLES[extension.oracle] if extension.oracle else None
        todo: Iterator[tuple[int, Attack]] = enumerate(extension.attacks(job.request, point, probe.markers))
        fruitless = 0
        while fruitless < _MOST_TRIES:
            renewals, refused, answered = self._renewals(), list[tuple[int, Attack]](), 0
            usual = self._control.response.status
            for number, attack in todo:
                before = self._renewals()
                if oracle is None:
                    reply = await probe.send(attack, number=number)
                    if reply.response.status == usual and probe.shows_nothing(attack, reply):
                        answered, self._refusals = answered + 1, 0
                        continue
                    evidence, lost = await self._weigh(probe, attack, reply, before)
                else:
                    evidence = await oracle(probe, attack)
                    lost = evidence is None and self._renewals() != before
                if evidence is not None:
                    await self._take(probe, attack, evidence)
                    return
                if not lost:
                    answered, self._refusals = answered + 1, 0
                    continue
                refused.append((number, attack))
                if await self._session_was_renewed():
                    break
            else:
                if not refused or not await self._was_refused_for_its_session(renewals):
                    return
            todo = chain(refused, todo)
            fruitless = 0 if answered else fruitless + 1
        raise self._lost("Auth failed: the session ends faster than a check needs it")

    async def _weigh(
        self, probe: Probe, attack: Attack, reply: Reply, renewals: int
    ) -> tuple[results.Evidence | None, bool]:
        """What this answer to an attack proves, and whether it is one that a lost session gets.

        `renewals` are those before the attack was sent.
        """
        answer = await probe.look(attack, reply)
        if answer.match is None:
            return None, self._is_of_a_lost_session(reply)
        evidence = await self._confirm(probe, attack, answer)
        if evidence is not None or not self._check.alike:
            return evidence, False
        # What was seen once and not again may have been asked for again without a session.
        return None, self._has_session() and await self._was_refused_for_its_session(renewals)

    async def _take(self, probe: Probe, attack: Attack, evidence: results.Evidence) -> None:
        found = self._found(probe.extension, attack.point, evidence)
        if self._browser is not None and probe.extension.type == "xss":
            evidence, sure = await prove_by_execution(self._browser, probe, attack, evidence)
            found = replace(found, evidence=evidence, confidence=sure)
        self._add(found)

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
            browser=self._browser,
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
        except (TargetDown, SessionLost, NotNow) as error:
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
        return Found(
            extension=extension, point=point, route=route, evidence=evidence, confidence=extension.confidence
        )  # fmt: skip

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

    def _has_session(self) -> bool:
        return self._channel.sessions.carried_by(self._channel.target.origin, self._request)

    def _renewals(self) -> int:
        """How often what the request carries was brought back; asked at every attack, and seldom another."""
        sessions = self._channel.sessions
        if sessions.total != self._renewals_of[0]:
            count = sessions.renewals(self._channel.target.origin, self._request)
            self._renewals_of = sessions.total, count
        return self._renewals_of[1]

    def _is_of_a_lost_session(self, reply: Reply) -> bool:
        status = reply.response.status
        if status == self._control.response.status and not 300 <= status < 400:
            return False
        return self._check.alike and self._judge(reply).session_lost

    async def _session_was_renewed(self) -> bool:
        """Several refusals in a row may mean that the session is gone: the control tells.

        Where the control is fine the attacks are what is refused, and the next look is put off.
        """
        self._refusals += 1
        if self._refusals < self._patience:
            return False
        self._refusals = 0
        if await self._session_is_lost():
            return True
        self._patience *= 4
        return False

    async def _was_refused_for_its_session(self, renewals: int) -> bool:
        """Whether what was refused since there were so many renewals may have been refused to an old session.

        Another check may have brought it back by now. Where it was not lost, refusing is the target's manner.
        """
        if self._renewals() != renewals:
            return True
        if self._explained >= _MOST_EXPLAINED:
            return False
        lost = await self._session_is_lost()
        self._explained += not lost
        return lost


def _all_observers(item: Item) -> list[Request]:
    """The pages that may show anything this baseline sends."""
    pages = [page for pages in item.observers.values() for page in pages]
    return list({page.target: page for page in pages}.values())


def marker_seed(seed: int, baseline: str, extension: str, point: str) -> int:
    """The seed of one stream of markers, 64 bits: the same however many workers there are."""
    text = "\n".join((str(seed), baseline, extension, point)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())

"""The test set of one baseline: control first, then every extension at every point it applies to."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastci import results
from fastci.node.dsl import Attack, Extension, MarkerSource
from fastci.node.engine.browser import Browser, prove_by_execution
from fastci.node.engine.called_back import CalledBack, confirm_at_once, confirm_later
from fastci.node.engine.channel import Channel
from fastci.node.engine.check import Check, Found, Job, Row, marker_seed
from fastci.node.engine.confirm import Answer, Probe
from fastci.node.engine.control import Standing, is_login
from fastci.node.engine.footing import (
    CONTROL_AT_LEAST,
    CONTROL_EVERY,
    MOST_TRIES,
    Footing,
    NotNow,
    PutLast,
    SessionLost,
)
from fastci.node.engine.health import TargetDown
from fastci.node.engine.hearing import Ear, Hearing, Undecided, Waiting
from fastci.node.engine.observers import Reading, Unread
from fastci.node.engine.oracles import ORACLES
from fastci.node.engine.people import Company
from fastci.node.engine.plan import Item, Phase
from fastci.node.engine.screen import Screen
from fastci.node.engine.series import Series
from fastci.node.engine.witness import Witnesses
from fastci.node.message import Request
from fastci.node.oob import Spelling
from fastci.node.points import Point, list_points

_SLOWEST_USEFUL = 10.0
_TIMES_CONTROL = 10


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
        self._company = company
        self._hearing = hearing
        self._browser = browser
        self._on_unit = on_unit
        self._screen = Screen()
        self._footing = Footing(check, channel, request, seed=seed, alone=alone, witnesses=witnesses)
        self._since_control: list[tuple[Job, Point | None]] = []

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
            check.hurried = self._channel.hurried
            check.requests += self._channel.sent
            check.elapsed += time.monotonic() - begin
        check.state = "failed" if check.found else "tech_failed" if check.error else "passed"

    async def _run(self, jobs: Sequence[Job]) -> None:
        check, channel, footing = self._check, self._channel, self._footing
        verdict = await footing.begin()
        if verdict.standing is Standing.UNUSABLE:
            check.error = verdict.detail
            jobs = [job for job in jobs if job.extension.sends] if footing.control.response.status else []
        elif verdict.standing is Standing.CHANGED:
            check.changed = f"answers otherwise than recorded: {verdict.detail}; tested all the same"
        channel.timeout = min(channel.timeout, max(_SLOWEST_USEFUL, _TIMES_CONTROL * footing.control.elapsed))
        for job in jobs:
            for point in job.points or (None,):
                await self._attack_safely(job, point)
                self._since_control.append((job, point))
                if footing.unwatched >= CONTROL_EVERY:
                    await self._control_again()
        while footing.unwatched >= CONTROL_AT_LEAST:
            await self._control_again()
        for waiting in list(self._hearing.heard(check)):
            await self._look_into(waiting)
        check.ended = not check.error

    async def _control_again(self) -> None:
        """What was tried with a session that is lost by now is tried again with a new one."""
        tried, self._since_control = self._since_control, []
        if not await self._footing.stands():
            for job, point in tried:
                await self._attack_safely(job, point)
            self._since_control = tried

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

    async def _attack(self, job: Job, point: Point | None) -> None:
        """Send the attacks of a job at a point; those that a lost session refused again with a new one.

        Raises SessionLost where there is none, or where it ends over and over.
        """
        extension, footing = job.extension, self._footing
        probe = await self._probe(extension, job.request, point)
        if extension.builtin and (reason := await self._screen.reason_against(probe)):
            self._check.row(point.name if point else "", extension.type).reason = reason
            return
        oracle = ORACLES[extension.oracle] if extension.oracle else None
        attacks = enumerate(extension.attacks(job.request, point, probe.markers))
        series = Series(probe, footing, attacks, sends=oracle is None)
        unread = Unread(probe, await self._screen.reading(probe))
        fruitless = 0
        while fruitless < MOST_TRIES:
            renewals, refused, answered = footing.renewals(), list[tuple[int, Attack]](), series.answered
            while (attack := await series.next()) is not None:
                if oracle is None:
                    evidence, lost = await self._weigh(probe, attack, series, unread)
                else:
                    evidence = await oracle(probe, attack)
                    lost = evidence is None and footing.renewals() != series.renewals
                if evidence is not None:
                    await self._take(probe, attack, evidence)
                    return
                if not lost:
                    series.was_answered()
                    if unread.is_due and await self._looked_back(probe, unread):
                        return
                    continue
                refused.append((series.number, attack))
                if await footing.session_was_renewed():
                    break
            else:
                if await self._looked_back(probe, unread):
                    return
                if not refused or not await footing.was_refused_for_its_session(renewals):
                    return
            series.begin_again(refused)
            fruitless = 0 if series.answered > answered else fruitless + 1
        raise footing.lost("Auth failed: the session ends faster than a check needs it")

    async def _weigh(
        self, probe: Probe, attack: Attack, series: Series, unread: Unread
    ) -> tuple[results.Evidence | None, bool]:
        """What the answer to an attack proves, and whether it is one that a lost session gets."""
        reply, renewals = series.reply, series.renewals
        answer = await probe.look(attack, reply, reads_observers=unread.reading is Reading.EACH)
        if answer.match is None:
            lost = self._footing.is_of_a_lost_session(reply)
            if not lost:
                unread.add(attack, answer, refused=self._footing.is_refused(reply))
            return None, lost
        evidence = await self._confirm(probe, attack, answer)
        if evidence is not None or not self._check.alike:
            return evidence, False
        # What was seen once and not again may have been asked for again without a session.
        return None, self._footing.has_session() and await self._footing.was_refused_for_its_session(renewals)

    async def _looked_back(self, probe: Probe, unread: Unread) -> bool:
        """Whether the observers prove something of what was sent since they were last read."""
        if not unread:
            return False
        async for attack, answer in unread.read():
            evidence = await self._confirm(probe, attack, answer)
            if evidence is not None:
                await self._take(probe, attack, evidence)
                return True
        return False

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
            control=self._footing.control,
            markers=MarkerSource(seed, spelling.template),
            observers=_observers(item, extension, name),
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
            await self._footing.look()
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
        if not extension.detection.callbacks:
            return
        spelling = self._hearing.known(self._channel.target.origin)
        if spelling.reason and extension.unheard(MarkerSource(0, spelling.template).fresh()):
            if row.state == "skipped":
                row.state, row.reason = "impossible", spelling.reason
            row.reason = row.reason or spelling.reason


def _observers(item: Item, extension: Extension, point: str) -> Sequence[Request]:
    """The pages that may show what is sent at a point, or anywhere; none where callbacks alone decide."""
    if not extension.detection.rules and not extension.oracle:
        return ()
    if point:
        return item.observers.get(point, ())
    pages = [page for pages in item.observers.values() for page in pages]
    return list({page.target: page for page in pages}.values())

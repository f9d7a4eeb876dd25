"""Working a plan off: what is tested when, by how many workers, in which process."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

from fastci import results
from fastci.config import Settings
from fastci.node.dsl import Credentials, Extension, Memory
from fastci.node.engine.browser import Browser, find_browser
from fastci.node.engine.changes import Changes
from fastci.node.engine.channel import Channel
from fastci.node.engine.check import Check, Found, Job, parts_first
from fastci.node.engine.client import WireClient
from fastci.node.engine.dial import Ways
from fastci.node.engine.footing import NotNow, PutLast
from fastci.node.engine.hearing import Hearing, Waiting
from fastci.node.engine.journal import Journal, JournalPlace
from fastci.node.engine.login import Login
from fastci.node.engine.observers import Observers
from fastci.node.engine.oracles.fuzzing import fuzzing
from fastci.node.engine.people import Company, People
from fastci.node.engine.plan import READING, Deal, Item, Phase, Plan, Skipped, risk_of, skipped
from fastci.node.engine.runner import CheckRunner
from fastci.node.engine.scope import Scope
from fastci.node.engine.sender import Sender
from fastci.node.engine.sessions import Sessions
from fastci.node.engine.witness import Witnesses
from fastci.node.fuzzer import read_recipe
from fastci.node.message import Request
from fastci.node.oob import Log, Offer
from fastci.node.points import Point, list_points
from fastci.node.policy import Policy
from fastci.node.route import route_names
from fastci.node.store import Baseline

_BREATH = 50
"""Baselines that are read without letting the requests under way go on."""

_LISTING_TIME = 4.0

STEPS = ("read", "change", "alone", "destroy")
"""The parts of a run, in order; from "alone" on one baseline at a time is tested in the whole run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """Which part of the baselines this process tests: every `count`-th, beginning with number `index`."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be tested and how; the same for every process of a run. Other `phases` are for others.

    `changes` is the file for what may change something at the target; `login` gave some of the `credentials`.
    """

    settings: Settings
    policy: Policy
    extensions: Sequence[Extension]
    credentials: Credentials
    offer: Offer = field(default_factory=Offer)
    phases: Collection[Phase] = tuple(Phase)
    journal: JournalPlace | None = None
    changes: Path | None = None
    login: Login | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A baseline that is ready to be tested."""

    check: Check
    request: Request
    jobs: Sequence[Job]
    company: Company


class Scheduler:
    """Tests a share of a record. `checks` and `done` may be read at any time.

    `say` takes console lines, `on_found` is told of each vulnerability, `gate` is awaited before each of
    STEPS: in a run of several processes it waits for the others. `log` has the run's callbacks.
    """

    def __init__(
        self,
        task: Task,
        *,
        say: Callable[[str], None],
        on_found: Callable[[], None],
        gate: Callable[[str], Awaitable[None]],
        share: Share,
        log: Log | None = None,
    ) -> None:
        settings = task.settings
        self._settings = settings
        self._policy = task.policy
        self._say = say
        self._on_found = on_found
        self._gate = gate
        self._share = share
        number, shards = settings.fast_shard
        self._shard = number - 1
        # Shares and shards decide alike on every baseline, without a word about how each went.
        self._decides_alone = share.count == 1 and shards == 1
        self._deal = Deal(shards)
        self._phases = frozenset(task.phases)
        scope = Scope.parse(settings.test_run_uri, settings.backend_https_ports)
        self._scope = replace(scope, credentials=task.credentials)
        policy = task.policy
        modifying = [e for e in task.extensions if not e.sends and policy.ever_tries(e.type, e.builtin)]
        self._modifying = sorted(modifying, key=lambda e: e.rank)
        if policy.fuzzer is not None:
            self._modifying.append(fuzzing(read_recipe(policy.fuzzer)))
        self._sending = [e for e in task.extensions if e.sends and policy.tries(e.type, e.builtin)]
        self._memory = Memory()
        self._hearing = Hearing(offer=task.offer, log=log or Log(task.offer.word), say=say)
        self._browser = self._find_browser()
        self._sessions = Sessions(self._scope, task.login)
        self._people = People(self._scope)
        self.sender = Sender(
            WireClient(ways=Ways.of(settings), idle_limit=settings.workers),
            rate=settings.test_run_rps / share.count,
            at_once=settings.workers,
            say=say,
        )
        self.checks: list[Check | results.BaselineCheck] = []
        self.done = 0
        self._hosts: set[str] = set()
        self._taken = 0
        self._only_listing = False
        place = task.journal
        self._journal = Journal(place, share.index, task.extensions) if place else None
        self._changes = Changes(task.changes) if task.changes else None
        self._put_off: list[Prepared] = []
        self._put_last: list[Prepared] = []
        self._witnesses = Witnesses()
        self._alone = False
        self._sources: dict[str, Iterator[Prepared | None]] = {}
        self._destroying: list[Item] = []

    async def work(self, baselines: Iterable[Baseline]) -> None:
        """Go through all of the steps. May be cancelled at any time."""
        self._plan(baselines)
        try:
            for step in STEPS:
                if step == "destroy" and (self._destroying or self._put_last):
                    await self._hear_out()
                await self._gate(step)
                self._alone = step in ("alone", "destroy")
                await self._work_off(self._sources[step], 1 if self._alone else self._settings.workers)
            await self._hear_out()
            self._decide_the_rest()
        finally:
            if self._browser is not None:
                await self._browser.close()
            self.sender.client.close()
            if self._journal:
                self._journal.close()
            if self._changes:
                self._changes.close()

    def foresee(self, baselines: Iterable[Baseline]) -> list[Prepared]:
        """What `work` would do, in its order, without sending anything; `checks` tells what is left out."""
        self._plan(baselines)
        sources = (self._sources[step] for step in STEPS)
        return [prepared for source in sources for prepared in source if prepared is not None]

    def _plan(self, baselines: Iterable[Baseline]) -> None:
        plan = Plan(
            baselines,
            scope=self._scope,
            skip_duplicates=self._settings.fast_skip_duplicates,
            excluded_extensions=self._settings.file_extensions_to_exclude,
        )
        self._destroying = plan.later(Phase.DESTROY)
        riskiest = bool(self._settings.test_run_budget)
        self._sources = {
            "read": self._riskiest(plan) if riskiest else self._reading(plan),
            "change": (self._prepare(item) for item in ([] if riskiest else plan.later(Phase.CHANGE))),
            "alone": iter(self._put_off),
            "destroy": chain(iter(self._put_last), map(self._prepare, plan.later(Phase.DESTROY))),
        }

    async def _hear_out(self) -> None:
        """Listen on for a while, then look into what was called back after its test set had ended."""
        await self._hearing.linger(self._settings.fast_oob_wait)
        limit = asyncio.Semaphore(self._settings.workers)

        async def look_into(waiting: Waiting) -> None:
            async with limit:
                item = waiting.check.item
                request = self._scope.request(item.baseline)
                company = self._people.company(item.target.origin, request)
                await self._runner(waiting.check, request, company).look_into(waiting)

        await asyncio.gather(*(look_into(waiting) for waiting in self._hearing.heard()))

    def _decide_the_rest(self) -> None:
        """At the end: flaws that are called back by the target's own time, once or twice by now."""
        hearing = self._hearing
        for case in hearing.undecided:
            extension = case.found.extension
            known = any(
                f.extension.type == extension.type and f.point == case.found.point for f in case.check.found
            )
            if known or hearing.kinds(case.control):
                continue
            twice = bool(hearing.kinds(case.again))
            found = replace(case.found, confidence="confirmed" if twice else "firm")
            case.check.found.append(found)
            case.check.state = "failed"
            self._tell_found(case.check, found)

    def _runner(self, check: Check, request: Request, company: Company) -> CheckRunner:
        rate = self._settings.fast_baseline_rps
        return CheckRunner(
            check,
            Channel(
                self.sender,
                check.item.target,
                self._sessions,
                rate=rate,
                timeout=self._settings.fast_request_timeout,
                on_sent=partial(self._note_sent, check.item) if self._changes else None,
            ),
            request,
            seed=self._settings.fast_seed,
            on_found=self._tell_found,
            alone=self._alone,
            company=company,
            witnesses=self._witnesses,
            hearing=self._hearing,
            browser=self._browser,
            on_unit=partial(self._note_unit, check),
        )

    def _note_sent(self, item: Item, by: str, request: Request, status: int) -> None:
        if self._changes and (request.method not in READING or item.phase is Phase.DESTROY):
            self._changes.note(item.baseline.id, by or "control", item.target, request, status)

    def _note_unit(
        self, check: Check, extension: Extension, point: str, state: results.PointState, requests: int,
        reason: str,
    ) -> None:  # fmt: skip
        if self._journal:
            self._journal.unit(check, extension, point, state, requests, reason)

    def _find_browser(self) -> Browser | None:
        try:
            program = find_browser(self._settings.fast_xss_browser)
        except FileNotFoundError as error:
            if self._share.index == 0:
                self._say(f"[warn] no proof by execution: {error} (FAST_XSS_BROWSER)")
            return None
        return Browser(program, self._say) if program else None

    def list_the_rest(self) -> None:
        """After a cancelled `work`: add what was not begun to `checks`, as far as that takes no time."""
        end = time.monotonic() + _LISTING_TIME
        # Shares and shards are dealt by what each baseline costs, which has to be worked out.
        self._only_listing = self._decides_alone
        for source in self._sources.values():
            for _ in source:
                if time.monotonic() > end:
                    return

    def _reading(self, plan: Plan) -> Iterator[Prepared | None]:
        """What can be tested while the record is still read; None stands for a baseline that cannot."""
        return (self._prepare(item) if item else None for item in self._read(plan))

    def _read(self, plan: Plan) -> Iterator[Item | None]:
        """The baselines that only read something; None for the others."""
        observers = Observers(self._scope)
        for baseline, verdict in plan.read():
            self._sessions.note(baseline)
            self._people.note(baseline)
            if isinstance(verdict, Skipped):
                observers.note(baseline, verdict, ())
                self._leave_out(verdict)
                yield None
                continue
            request = verdict.baseline.request
            policy = self._policy.at(route_names(request))
            points = list_points(request) if verdict.phase is Phase.CHANGE else ()
            observers.note(baseline, verdict, policy.admitted(points))
            yield verdict if verdict.phase is Phase.READ else None

    def _riskiest(self, plan: Plan) -> Iterator[Prepared | None]:
        """All but what destroys, the riskiest first; the whole record is read before."""
        items: list[Item] = []
        for item in self._read(plan):
            items += [item] if item else []
            yield None
        items += plan.later(Phase.CHANGE)
        for item in sorted(items, key=lambda item: (-risk_of(item.baseline.request), item.baseline.sequence)):
            yield self._prepare(item)

    async def _work_off(self, source: Iterator[Prepared | None], workers: int) -> None:
        """Let `workers` take from `source` in turn; the order in which things are taken is fixed."""
        lock = asyncio.Lock()

        async def take() -> Prepared | None:
            async with lock:
                for count, prepared in enumerate(source, 1):
                    if prepared is not None:
                        return prepared
                    if count % _BREATH == 0:
                        await asyncio.sleep(0)
            return None

        async def worker() -> None:
            while (prepared := await take()) is not None:
                await self._check(prepared)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(worker())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None

    def _prepare(self, item: Item) -> Prepared | None:
        """Decide what is done with a baseline; None when that is nothing, or when another does it.

        Every process of every shard decides on every baseline, so that all know alike what was collected
        before.
        """
        check = Check(item=item)
        if self._only_listing:
            self.checks.append(check)
            return None
        try:
            prepared = self._decide(item, check)
        except Exception as error:
            why = f"Internal exception: {type(error).__name__}: {error}"
            self._leave_out(skipped(item, why, failed=True))
            return None
        if isinstance(prepared, Skipped):
            self._leave_out(prepared)
            return None
        dealt = self._deal.next(sum(job.cost for job in prepared.jobs))
        if dealt != self._shard or item.phase not in self._phases:
            self.done += self._share.index == 0
            return None
        self._taken += 1
        if (self._taken - 1) % self._share.count != self._share.index:
            return None
        self.checks.append(check)
        if self._journal and self._journal.restore(check):
            check.settle()
            self.done += 1
            return None
        return prepared

    def _decide(self, item: Item, check: Check) -> Prepared | Skipped:
        request = self._scope.request(item.baseline)
        policy = self._policy.at(route_names(request))
        if policy.left_out:
            return skipped(item, policy.left_out)
        points = list_points(request)
        admitted = policy.admitted(points)
        host = str(item.target.origin)
        ordered = parts_first(admitted)
        jobs = []
        if host not in self._hosts:
            self._hosts.add(host)
            jobs = [Job(extension=e, request=request, points=()) for e in self._sending]
        modifying = [e for e in self._modifying if policy.tries(e.type, e.builtin)]
        for extension in modifying:
            try:
                job = self._job(extension, request, points, ordered, policy)
            except Exception as error:
                check.broken(extension, "", error)
            else:
                jobs += [job] if job else []
        if not jobs and not check.error:
            return skipped(
                item, "no extension applies to it" if admitted else "the policy admits no point of it"
            )
        for kind in dict.fromkeys(e.type for e in modifying if e.whole):
            check.expect("*", kind)
        for kind in dict.fromkeys(e.type for e in modifying if not e.whole):
            for point in policy.admitted(points, kind) if kind in policy.by_type else admitted:
                check.expect(point.name, kind)
        company = self._people.company(item.target.origin, request)
        return Prepared(check=check, request=request, jobs=jobs, company=company)

    def _job(
        self,
        extension: Extension,
        request: Request,
        points: Sequence[Point],
        admitted: Sequence[Point],
        policy: Policy,
    ) -> Job | None:
        """The phases collect, match and modify in their order, and the points that generate is for."""
        may = admitted or extension.type in policy.by_type
        if not may or not extension.collects(points, self._memory):
            return None
        if extension.matches(points):
            changed = extension.modified(request)
            if changed is not request or extension.type in policy.by_type:
                pool = points if changed is request else list_points(changed)
                admitted = parts_first(policy.admitted(pool, extension.type))
            targets = extension.targets(admitted)
            if targets or (extension.whole and admitted):
                return Job(extension=extension, request=changed, points=targets)
        self._memory.release(extension)
        return None

    def _leave_out(self, left: Skipped) -> None:
        if self._share.index == 0:
            self.done += 1
            # Told once in the whole run: the results of its shards add up to those of a whole one.
            if self._shard == 0 and Phase.READ in self._phases:
                self.checks.append(left.check())

    async def _check(self, prepared: Prepared) -> None:
        check = prepared.check
        place = check.item.place
        name = f"test set for baseline #{place.baseline}"
        policy = self._policy.name
        self._say(f"[info] Running a {name} {place.method} {place.url}, policy {policy}")
        try:
            await self._runner(check, prepared.request, prepared.company).run(prepared.jobs)
        except NotNow as needs:
            self._put_off.append(prepared)
            self._say(f"[info] The {name} is put off: it needs {needs}")
            return
        except PutLast as reason:
            item = check.item
            item.phase, item.note = Phase.DESTROY, f"tested last: {reason}"
            self._put_last.append(prepared)
            self._say(f"[info] The {name} is put last: {reason}")
            return
        if self._decides_alone and check.error and not any(row.requests for row in check.rows.values()):
            # Nothing was attacked: what runs once in a run may yet do so at a later baseline.
            for job in prepared.jobs:
                self._memory.release(job.extension)
        if self._journal:
            self._journal.ended(check)
        check.settle()
        self.done += 1
        if check.found:
            count = "1 vulnerability" if len(check.found) == 1 else f"{len(check.found)} vulnerabilities"
            self._say(f"[info] Found {count}, marking the {name} as failed")
        elif check.error:
            self._say(f"[error] The {name} failed technically. {check.error}")
        else:
            self._say(f"[info] No issues found. Test set for baseline #{place.baseline} passed.")

    def _tell_found(self, check: Check, found: Found) -> None:
        if self._journal:
            self._journal.found(check, found)
        extension = found.extension
        what = f"{extension.type} ({results.severity_of(extension.threat).upper()})"
        where = f" at {found.point}" if found.point else ""
        self._say(f"[warn] {what} in baseline #{check.item.baseline.id}{where}: {extension.title}")
        self._on_found()

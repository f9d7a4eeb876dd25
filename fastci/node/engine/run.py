"""A test run: the plan worked off by WORKERS, watched for time, signals and the first failure."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from fastci import __version__, results
from fastci.config import Settings
from fastci.node.dsl import Credentials, Extension, Memory
from fastci.node.engine.check import Check, CheckRunner, Found, Job, NotNow, parts_first
from fastci.node.engine.client import WireClient
from fastci.node.engine.findings import merge_findings
from fastci.node.engine.observers import Observers
from fastci.node.engine.plan import Item, Phase, Plan, Skipped
from fastci.node.engine.scope import Scope
from fastci.node.engine.sender import Channel, Sender
from fastci.node.engine.sessions import Sessions
from fastci.node.message import Request
from fastci.node.points import Point, list_points
from fastci.node.policy import Policy
from fastci.node.store import Baseline, Record

Say = Callable[[str], None]

PROGRESS_EVERY = 10.0
"""Seconds between two progress lines."""

_BREATH = 50
_MOST_CAUSES = 5


async def run_tests(
    *,
    run_id: str,
    settings: Settings,
    record: Record,
    baselines: Iterable[Baseline],
    extensions: Sequence[Extension],
    policy: Policy,
    say: Say,
    stop: asyncio.Event,
    credentials: Credentials | None = None,
) -> results.Run:
    """Test every baseline that the policy admits and give the results; ends early when `stop` is set.

    `credentials` go into every test request.

    State: "failed" with findings, and also when a check failed technically or nothing at all was tested
    (silence is not a pass); "interrupted" when stopped. Never raises for what the target does.
    """
    run = _Run(settings, record, extensions, policy, say, credentials or Credentials())
    start = time.time()
    interrupted = await run.work(baselines, stop)
    return run.result(run_id=run_id, start=start, interrupted=interrupted)


class _Run:
    def __init__(
        self,
        settings: Settings,
        record: Record,
        extensions: Sequence[Extension],
        policy: Policy,
        say: Say,
        credentials: Credentials,
    ) -> None:
        self._settings = settings
        self._record = record
        self._policy = policy
        self._say = say
        scope = Scope.parse(settings.test_run_uri, settings.backend_https_ports)
        self._scope = replace(scope, credentials=credentials)
        tried = [e for e in extensions if policy.tries(e.type, e.builtin)]
        self._modifying = [e for e in tried if not e.sends]
        self._sending = [e for e in tried if e.sends]
        self._memory = Memory()
        self._sessions = Sessions(self._scope)
        self._sender = Sender(WireClient(idle_limit=settings.workers), rate=settings.test_run_rps)
        self._checks: list[Check | results.BaselineCheck] = []
        self._hosts: set[str] = set()
        self._halt = asyncio.Event()
        self._put_off: list[_Prepared] = []
        self._alone = False
        self._done = 0
        self._begin = time.monotonic()

    # working

    async def work(self, baselines: Iterable[Baseline], stop: asyncio.Event) -> bool:
        """Go through the plan; True when `stop` ended it. Everything is finished or cancelled afterwards."""
        task = asyncio.create_task(self._phases(baselines))
        watch = [asyncio.create_task(event.wait()) for event in (stop, self._halt)]
        progress = asyncio.create_task(self._report_progress())
        try:
            await asyncio.wait([task, *watch], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return stop.is_set() and not task.done()
        finally:
            for other in (task, progress, *watch):
                other.cancel()
                with suppress(asyncio.CancelledError):
                    await other
            self._sender.client.close()

    async def _phases(self, baselines: Iterable[Baseline]) -> None:
        plan = Plan(
            baselines,
            scope=self._scope,
            skip_duplicates=self._settings.fast_skip_duplicates,
            excluded_extensions=self._settings.file_extensions_to_exclude,
        )
        workers = self._settings.workers
        await self._share(self._reading(plan), workers)
        await self._share((self._prepare(item) for item in plan.later(Phase.CHANGE)), workers)
        # From here on one at a time: what uses up tokens, then what destroys a session or data.
        self._alone = True
        await self._share(iter(self._put_off), 1)
        await self._share((self._prepare(item) for item in plan.later(Phase.DESTROY)), 1)

    def _reading(self, plan: Plan) -> Iterator["_Prepared | None"]:
        """What can be tested while the record is still read; None stands for a baseline that cannot."""
        observers = Observers(self._scope)
        for baseline, verdict in plan.read():
            self._sessions.note(baseline)
            if isinstance(verdict, Skipped):
                self._checks.append(verdict.check())
                self._done += 1
                observers.note(baseline, verdict, ())
                yield None
                continue
            points = list_points(verdict.baseline.request) if verdict.phase is Phase.CHANGE else ()
            observers.note(baseline, verdict, [p for p in points if self._policy.admits(p.name)])
            yield self._prepare(verdict) if verdict.phase is Phase.READ else None

    async def _share(self, source: Iterator["_Prepared | None"], workers: int) -> None:
        """Let `workers` take from `source` in turn; the order in which things are taken is fixed."""
        lock = asyncio.Lock()

        async def take() -> "_Prepared | None":
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

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())

    def _prepare(self, item: Item) -> "_Prepared | None":
        """Decide what is done with a baseline; None when the policy leaves nothing to do."""
        request = self._scope.request(item.baseline)
        points = list_points(request)
        admitted = [point for point in points if self._policy.admits(point.name)]
        host = str(item.target.origin)
        jobs = []
        if host not in self._hosts:
            self._hosts.add(host)
            jobs = [Job(extension=e, request=request, points=()) for e in self._sending]
        check = Check(item=item)
        for extension in self._modifying:
            try:
                job = self._job(extension, request, points, admitted)
            except Exception as error:
                check.broken(extension, "", error)
            else:
                jobs += [job] if job else []
        if not jobs and not check.error:
            reason = "no extension applies to it" if admitted else "the policy admits no point of it"
            self._checks.append(_skipped(item, reason))
            self._done += 1
            return None
        for point in admitted:
            for kind in dict.fromkeys(e.type for e in self._modifying):
                check.expect(point.name, kind)
        self._checks.append(check)
        return _Prepared(check, request, jobs)

    def _job(
        self, extension: Extension, request: Request, points: Sequence[Point], admitted: Sequence[Point]
    ) -> Job | None:
        if not extension.matches(points):
            return None
        changed = extension.modified(request)
        if changed is not request:
            admitted = [p for p in list_points(changed) if self._policy.admits(p.name)]
        targets = parts_first(extension.targets(admitted))
        if not targets or not extension.collects(points, self._memory):
            return None
        return Job(extension=extension, request=changed, points=targets)

    async def _check(self, prepared: "_Prepared") -> None:
        check = prepared.check
        place = check.item.place
        rate = self._settings.fast_baseline_rps
        channel = Channel(self._sender, check.item.target, self._sessions, rate=rate)
        self._say(
            f"[info] Running a test set for baseline #{place.baseline} {place.method} {place.url}, "
            f"policy {self._policy.name}"
        )
        seed = self._settings.fast_seed
        runner = CheckRunner(
            check, channel, prepared.request, seed=seed, on_found=self._found, alone=self._alone
        )
        try:
            await runner.run(prepared.jobs)
        except NotNow:
            self._put_off.append(prepared)
            self._say(f"[info] Test set for baseline #{place.baseline} is put off: it needs fresh tokens")
            return
        self._done += 1
        if check.found:
            count = "1 vulnerability" if len(check.found) == 1 else f"{len(check.found)} vulnerabilities"
            self._say(f"[info] Found {count}, marking the test set for baseline #{place.baseline} as failed")
        elif check.error:
            self._say(f"[error] Test set for baseline #{place.baseline} failed technically. {check.error}")
        else:
            self._say(f"[info] No issues found. Test set for baseline #{place.baseline} passed.")

    def _found(self, check: Check, found: Found) -> None:
        self._say(_finding_line(found, check.item.baseline.id))
        if self._settings.test_run_stop_on_first_fail:
            self._halt.set()

    # telling

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_EVERY)
            meter = self._sender.meter
            seconds = time.monotonic() - self._begin
            left = max(self._record.baselines - self._done, 0)
            eta = f"{seconds / self._done * left:.0f} s left" if self._done else "time left unknown"
            self._say(
                f"[info] {self._done} of {self._record.baselines} baselines done, "
                f"{meter.total} requests sent, {meter.rate():.1f} requests/s, {eta}"
            )

    def result(self, *, run_id: str, start: float, interrupted: bool) -> results.Run:
        """The results as they are now; what has not ended counts as interrupted."""
        halted = self._halt.is_set()
        messages = self._messages()
        live = [check for check in self._checks if isinstance(check, Check)]
        for check in live:
            if check.state in ("waiting", "running"):
                check.state = "failed" if check.found else "interrupted"
        self._fail_unreached(live, messages)
        messages += _technical_failures(live)
        findings, ids = merge_findings(live)
        checks = [
            check.result(ids.get(check.item.baseline.id, ())) if isinstance(check, Check) else check
            for check in self._checks
        ]
        checks.sort(key=lambda check: int(check.baseline.removeprefix("bl_")))
        if interrupted:
            state: results.RunState = "interrupted"
        else:
            clean = live and not findings and not any(c.state == "tech_failed" for c in live)
            state = "passed" if clean else "failed"
        origins = list(dict.fromkeys(str(check.item.target.origin) for check in live))
        return results.Run(
            id=run_id,
            name=self._settings.test_run_name,
            state=state,
            record_id=self._record.id,
            record_name=self._record.name,
            policy=self._policy.name,
            target=self._settings.test_run_uri or ", ".join(origins),
            start_time=start,
            end_time=time.time(),
            description=self._settings.test_run_desc,
            build_id=self._settings.build_id,
            seed=self._settings.fast_seed,
            node_version=__version__,
            domains=[origin.partition("://")[2] for origin in origins],
            planned_requests=sum(check.requests for check in checks),
            current_rps=self._sender.meter.rate(),
            complete=not (interrupted or halted),
            checks=checks,
            findings=findings,
            seen={f"{kind} {host}": count for (kind, host), count in self._record.seen.items()},
            messages=messages,
        )

    def _messages(self) -> list[str]:
        return [f"Connection failed: {reason}" for reason in self._sender.down()]

    def _fail_unreached(self, live: Sequence[Check], messages: list[str]) -> None:
        """A run in which no baseline answered as recorded says nothing about the target."""
        ended = [check for check in live if check.state in ("passed", "failed", "tech_failed")]
        if not live:
            messages.append("Invalid policies: not one baseline was tested")
        elif ended and not any(check.alike for check in ended):
            messages.append("no baseline answers as it did when recorded: is this the right target?")
            for check in ended:
                if check.state == "passed":
                    check.state = "tech_failed"
                    check.error = f"Recording error: {check.changed}"


class _Prepared:
    """A baseline that is ready to be tested."""

    __slots__ = ("check", "jobs", "request")

    def __init__(self, check: Check, request: Request, jobs: list[Job]) -> None:
        self.check = check
        self.request = request
        self.jobs = jobs


def _skipped(item: Item, reason: str) -> results.BaselineCheck:
    place = item.place
    return Skipped(
        baseline=place.baseline, method=place.method, url=place.url, route=item.route, test=place.test,
        reason=reason,
    ).check()  # fmt: skip


def _technical_failures(checks: Sequence[Check]) -> list[str]:
    """Why a run without findings is not passed, the commonest causes first."""
    causes = Counter(check.error for check in checks if check.state == "tech_failed")
    return [
        f"{count} of {len(checks)} tested baselines failed technically: {cause}"
        for cause, count in causes.most_common(_MOST_CAUSES)
    ]


def _finding_line(found: Found, baseline: str) -> str:
    severity = results.severity_of(found.extension.threat).upper()
    where = f" at {found.point}" if found.point else ""
    what = f"{found.extension.type} ({severity})"
    return f"[warn] {what} in baseline #{baseline}{where}: {found.extension.title}"

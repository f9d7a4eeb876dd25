"""A test run from outside: started, watched for time, signals and the first failure, summed up."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastci import __version__, results
from fastci.config import Settings
from fastci.node.dsl import Credentials, Extension
from fastci.node.engine.check import Check
from fastci.node.engine.findings import merge_findings
from fastci.node.engine.journal import JournalPlace
from fastci.node.engine.login import Login
from fastci.node.engine.plan import Phase
from fastci.node.engine.progress import tell_progress
from fastci.node.engine.pulse import Pulse
from fastci.node.engine.scheduler import Task
from fastci.node.engine.work import Outcome, OwnWork, SharedWork, Work, processes_of
from fastci.node.oob import Log, Offer, listen
from fastci.node.policy import Policy
from fastci.node.store import Baseline, Record

Say = Callable[[str], None]

_MOST_CAUSES = 5
_LEAST_FOR_REPORT = 2.0
_MOST_FOR_REPORT = 30.0


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
    phases: Collection[Phase] | None = None,
    journal: JournalPlace | None = None,
    changes: Path | None = None,
    login: Login | None = None,
) -> results.Run:
    """Test every baseline that the policy admits and give the results; ends early when `stop` is set.

    `credentials` go into every test request, and so does what `login` gives, here and again whenever the
    session is lost. What is done is written to the `journal`, and what that says was done before is not done
    again. With several processes the baselines are read from the record's file,
    not from `baselines`.

    `changes` is the file that what may change something at the target is listed in.

    With `phases` only baselines of those are tested, and others see to the rest.

    State: "failed" with findings, and also when a check failed technically or nothing at all was tested
    (silence is not a pass); "interrupted" when stopped. A run that used up TEST_RUN_BUDGET is judged by what
    it tested, and says that it is not complete; one that goes beyond FAST_RUN_TIMEOUT has failed. Never
    raises for what the target does.
    """
    start, since = time.time(), time.monotonic()
    halt = asyncio.Event()
    credentials = credentials or Credentials()
    if login is not None:
        credentials = credentials + await login.first()
        say("[info] Credentials for every test request from FAST_LOGIN_COMMAND")

    def on_found() -> None:
        if settings.test_run_stop_on_first_fail:
            halt.set()

    spent, late = asyncio.Event(), asyncio.Event()
    budget, timeout = testing_time(settings.test_run_budget, record.baselines), settings.fast_run_timeout
    limit = min([s for s in (budget, timeout) if s], default=0.0)
    async with AsyncExitStack() as stack:
        for seconds, event in ((budget, spent), (timeout, late)):
            if seconds:
                timer = asyncio.get_running_loop().call_later(seconds, event.set)
                stack.callback(timer.cancel)
        offer, log = Offer(), Log("")
        if any(e.detection.callbacks and policy.ever_tries(e.type, e.builtin) for e in extensions):
            offer, log = await stack.enter_async_context(listen(settings, say))
        task = Task(
            settings=settings,
            policy=policy,
            extensions=extensions,
            credentials=credentials,
            offer=offer,
            phases=tuple(Phase) if phases is None else phases,
            journal=journal,
            changes=changes,
            login=login,
        )
        processes = processes_of(settings.processes)
        work: Work
        if processes > 1 and record.path.is_file():
            say(f"[info] {processes} processes share the baselines")
            work = SharedWork(task, record, processes, say=say, on_found=on_found, log=log)
        else:
            work = OwnWork(task, baselines, say=say, on_found=on_found, log=log)
        progress = tell_progress(work, record.baselines, say, every=settings.fast_progress_every, limit=limit)
        pulse = Pulse()
        follower = asyncio.create_task(pulse.follow(lambda: work.progress().requests))
        try:
            ended = await _watch(work, progress, [stop, halt, spent, late])
        finally:
            follower.cancel()
        outcome = await work.finish()
    if ended is late:
        outcome.faults.append(f"the run took longer than FAST_RUN_TIMEOUT={timeout} s and was ended")
    run = _sum_up(
        outcome, run_id, settings, record, policy,
        start=start, seconds=time.monotonic() - since, interrupted=ended is stop,
        complete=outcome.whole and ended is None, first=settings.fast_shard[0] == 1 and phases is None,
        pace=pulse.end(outcome.requests),
    )  # fmt: skip
    return _with_budget_note(run, settings.test_run_budget, say) if ended is spent else run


def testing_time(budget: float, baselines: int) -> float:
    """The seconds of a budget that testing itself may take: what is left is for the reports."""
    if not budget:
        return 0.0
    reserve = min(max(_LEAST_FOR_REPORT, budget / 10 + baselines / 500), _MOST_FOR_REPORT, budget / 2)
    return budget - reserve


def _with_budget_note(run: results.Run, budget: int, say: Say) -> results.Run:
    """A run that its budget ended says so; one in which no test set came to its end has told nothing."""
    ended = run.count("passed") + run.count("failed") + run.count("tech_failed")
    told = run.count("passed") - sum(check.requests == 0 for check in run.checks if check.state == "passed")
    note = (
        f"TEST_RUN_BUDGET={budget} s was used up: {ended} of {len(run.checks)} baselines were tested, "
        "the riskiest first; the others were not, or not wholly"
    )
    say(f"[warn] {note}")
    state = run.state if told or run.findings else "failed"
    return replace(run, messages=[*run.messages, note], state=state)


async def _watch(
    work: Work, progress: Coroutine[Any, Any, None], events: Sequence[asyncio.Event]
) -> asyncio.Event | None:
    """Run until it ends or one of the events is set; gives the one that ended it."""
    task = asyncio.create_task(work.run())
    others: list[asyncio.Task[Any]] = [asyncio.create_task(event.wait()) for event in events]
    others.append(asyncio.create_task(progress))
    try:
        await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return None
        return next((event for event in events if event.is_set()), None)
    finally:
        for other in (task, *others):
            other.cancel()
            with suppress(asyncio.CancelledError):
                await other


def _sum_up(
    outcome: Outcome,
    run_id: str,
    settings: Settings,
    record: Record,
    policy: Policy,
    *,
    start: float,
    seconds: float,
    interrupted: bool,
    complete: bool,
    first: bool,
    pace: list[int],
) -> results.Run:
    """The results; what has not ended counts as interrupted."""
    tested = [check for check in outcome.checks if isinstance(check, Check)]
    for check in tested:
        if check.state in ("waiting", "running"):
            check.state = "failed" if check.found else "interrupted"
    number, shards = settings.fast_shard
    messages = outcome.faults + _fail_unreached(tested, complete, first=first)
    findings, ids = merge_findings(tested)
    checks = [
        check.result(ids.get(check.item.baseline.id, ())) if isinstance(check, Check) else check
        for check in outcome.checks
    ]
    checks.sort(key=lambda check: int(check.baseline.removeprefix("bl_")))
    messages += _technical_failures(checks)
    clean = (tested or not first) and not findings and not messages
    state: results.RunState = "interrupted" if interrupted else "passed" if clean else "failed"
    origins = list(dict.fromkeys(str(check.item.target.origin) for check in tested))
    return results.Run(
        id=run_id,
        name=settings.test_run_name,
        state=state,
        record_id=record.id,
        record_name=record.name,
        policy=policy.name,
        target=settings.test_run_uri or ", ".join(origins),
        start_time=start,
        # Not what the clock says: it may have been moved.
        end_time=start + seconds,
        description=settings.test_run_desc,
        build_id=settings.build_id,
        seed=settings.fast_seed,
        node_version=__version__,
        domains=[origin.partition("://")[2] for origin in origins],
        planned_requests=sum(check.requests for check in checks),
        current_rps=outcome.rate,
        complete=complete,
        shard=f"{number}/{shards}" if shards > 1 else "",
        checks=checks,
        findings=findings,
        seen={f"{kind} {host}": count for (kind, host), count in record.seen.items()},
        messages=messages,
        pace=pace,
    )


def _fail_unreached(tested: Sequence[Check], complete: bool, *, first: bool) -> list[str]:
    """A run in which no baseline answered as recorded says nothing about the target.

    `first`: this is the whole run, or the shard that is dealt the first test set. Another one may have
    nothing to do.
    """
    ended = [check for check in tested if check.state in ("passed", "failed", "tech_failed")]
    if not tested and complete and first:
        return ["Invalid policies: not one baseline was tested"]
    if not ended or any(check.alike for check in ended):
        return []
    for check in ended:
        if check.state == "passed":
            check.state = "tech_failed"
            check.error = f"Recording error: {check.changed}"
    return ["no baseline answers as it did when recorded: is this the right target?"]


def _technical_failures(checks: Sequence[results.BaselineCheck]) -> list[str]:
    """Why a run without findings is not passed, the commonest causes first."""
    causes = Counter(check.error for check in checks if check.state == "tech_failed")
    return [
        f"{count} of {len(checks)} baselines failed technically: {cause}"
        for cause, count in causes.most_common(_MOST_CAUSES)
    ]

"""The node: what one container does in its mode, from its first console line to its exit status."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import uvloop

from fastci.config import Mode, Settings, secrets_of
from fastci.errors import ExitStatus, TechnicalError, UsageError
from fastci.node.console import Say, default_name, greet, stop_on_signals
from fastci.node.dsl import (
    Extension,
    builtin_extensions,
    clone_extensions,
    load_credentials,
    load_extensions,
)
from fastci.node.engine.journal import JournalPlace, subject_of, unfinished_runs
from fastci.node.engine.login import Login
from fastci.node.engine.run import run_tests
from fastci.node.policy import load_policy
from fastci.node.sharing import Part, SharedRun, as_one, key_of, parts_of
from fastci.node.store import Record, Store
from fastci.node.store.postgres import SharedStore
from fastci.reports import redacted, write_reports
from fastci.results import Run, parse_document, render_document
from fastci.verdict.gate import decide, with_verdict

NODE_REPORTS = ("txt", "json", "html")
"""What a node writes itself; the CI side renders the other formats from the results file."""


def run_node(settings: Settings, say: Say) -> ExitStatus:
    """Do what `CI_MODE` says and return the status to end with; `say` takes one console line.

    Raises FatalError with the reason when the mode cannot do its work.
    """
    modes = {Mode.RECORDING: _record, Mode.TESTING: _test, Mode.REPORT: _report}
    if not settings.ci_mode:
        raise UsageError("CI_MODE is not set", why=f"the node has the modes {', '.join(modes)}")
    return modes[Mode(settings.ci_mode)](settings, say)


def _record(settings: Settings, say: Say) -> ExitStatus:
    # A node that tests needs neither proxy nor certificates.
    from fastci.node.recording import record

    return record(settings, say)


# testing


def _test(settings: Settings, say: Say) -> ExitStatus:
    greet(settings, say)
    store = Store(settings.store_folder, key=settings.fast_record_key)
    # Who names the run takes its results file along and writes the reports of that: to write them twice
    # would take as long as a small test.
    reports = None if settings.fast_run_id else _writable(Path(settings.fast_reports))
    shared = (
        SharedStore(settings.fast_store, token=settings.wallarm_api_token) if settings.shares_store else None
    )
    chosen = _take_record(shared, store, settings) if shared else settings.test_record_id
    if not chosen and settings.fast_resume:
        chosen = _record_to_resume(store)
    record = store.choose(record_id=chosen, build_id=settings.build_id)
    policy = load_policy(settings.test_run_policy_id, Path(settings.fast_policies))
    extensions = extensions_of(settings, say)
    credentials = load_credentials(Path(settings.fast_auths))
    if credentials.changes:
        say(f"[info] Credentials for every test request from {settings.fast_auths}")
    login = Login(settings.fast_login_command) if settings.fast_login_command else None
    journal = _journal(settings, store, record, subject_of(settings, record, policy, extensions), say)
    run_id = journal.run_id
    changes = store.runs_dir / f"{run_id}.changes.jsonl"
    if not settings.fast_resume:
        changes.unlink(missing_ok=True)
    name = settings.test_run_name or default_name("TestRun", time.time())
    say(f"[info] Use TestRecord#{record.id} {record.name} for creating TestRun")
    say(f"[info] TestRun#{run_id} {name} created")
    say(f"[info] Test policy: {policy.name}")

    async def testing(stop: asyncio.Event, part: Part | None = None) -> Run:
        return await run_tests(
            run_id=run_id,
            settings=replace(
                settings, test_run_name=name, fast_shard=part.shard if part else settings.fast_shard
            ),
            record=record,
            baselines=store.baselines(record),
            extensions=extensions,
            policy=policy,
            say=say,
            stop=stop,
            credentials=credentials,
            phases=(part.phase,) if part else None,
            journal=None if part else journal,
            changes=changes,
            login=login,
        )

    async def whole() -> Run:
        stop = stop_on_signals()
        # A shard that somebody asked for is a share already.
        if shared is None or settings.fast_shard != (1, 1):
            return await testing(stop)
        parts = parts_of(record.baselines)
        share = SharedRun(shared, settings, say=say, stop=stop)
        key = key_of(settings, record.id, policy.name)
        runs = await share.work(key, record.id, parts, lambda part: testing(stop, part))
        if not runs:
            return replace(await testing(stop), state="interrupted", complete=False)
        return as_one(
            runs, len(parts), run_id=run_id, name=name, record_id=record.id, build_id=settings.build_id
        )

    run = uvloop.run(whole())
    given = [value for _, value in credentials.changes]
    run = redacted(run, known=[*secrets_of(settings), *given, *(login.values if login else ())])
    verdict = decide(run, settings)
    run = with_verdict(run, verdict)
    _keep(store, run)
    if run.complete:
        journal.remove()
    if changes.is_file():
        say(f"[info] what was sent that may change something at the target is listed in {changes.name}")
    for path in write_reports(run, reports, report_stem(run), NODE_REPORTS) if reports else ():
        say(f"[info] report {path}")
    say(f"[info] {verdict.reason}")
    say(f"[info] TestRun#{run.id} {'passed' if run.state == 'passed' else 'failed'}")
    return verdict.status


def _take_record(shared: SharedStore, store: Store, settings: Settings) -> str:
    """Bring the wanted record out of the shared store into this node's folder; its id."""
    found = shared.choose_record(record_id=settings.test_record_id, build_id=settings.build_id)
    path = store.record_path(found.id)
    if not path.is_file() or not path.stat().st_size:
        shared.take_record(found.id, path)
    return found.id


def _record_to_resume(store: Store) -> str:
    """The record of the latest run that did not come to its end; empty where there is none."""
    return next((run.record_id for run in unfinished_runs(store.runs_dir)), "")


def _journal(settings: Settings, store: Store, record: Record, subject: str, say: Say) -> JournalPlace:
    """Where this run writes down what it does: where an unfinished one did, if it goes on with that."""
    store.runs_dir.mkdir(parents=True, exist_ok=True)

    def place(run_id: str) -> JournalPlace:
        return JournalPlace(folder=store.runs_dir, run_id=run_id, record_id=record.id, subject=subject)

    unfinished = unfinished_runs(store.runs_dir) if settings.fast_resume else []
    if settings.fast_run_id:
        unfinished = [run for run in unfinished if run.run_id == settings.fast_run_id]
    for run in unfinished:
        if run.record_id == record.id and run.subject == subject:
            say(f"[info] TestRun#{run.run_id} goes on where it was interrupted")
            return place(run.run_id)
        say(
            f"[warn] TestRun#{run.run_id} cannot go on: the record, the policy, the extensions or the "
            "settings are others than it began with"
        )
    if settings.fast_resume:
        say("[info] There is no interrupted run to go on with: a new one begins")
    fresh = place(settings.fast_run_id or store.reserve_run())
    fresh.remove()
    return fresh


def report_stem(run: Run) -> str:
    """The documented name of report files, without the suffix: `<TEST RUN NAME>.<UNIX TIME>`."""
    return f"{run.name}.{int(run.start_time)}"


def _keep(store: Store, run: Run) -> None:
    store.runs_dir.mkdir(parents=True, exist_ok=True)
    path = store.runs_dir / f"{run.id}.json"
    path.write_bytes(render_document(run))


# report


def _report(settings: Settings, say: Say) -> ExitStatus:
    greet(settings, say)
    store = Store(settings.store_folder)
    reports = _writable(Path(settings.fast_reports))
    path = _choose_run(store, settings.test_run_id)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path.name} is damaged", why=str(error)) from error
    run = parse_document(document, source=path.name)
    verdict = decide(run, settings)
    run = with_verdict(run, verdict)
    summary, *others = write_reports(run, reports, report_stem(run), NODE_REPORTS)
    for line in summary.read_text(encoding="utf-8").splitlines():
        say(line)
    for written in (summary, *others):
        say(f"[info] report {written}")
    return verdict.status


def _choose_run(store: Store, run_id: str) -> Path:
    finished = sorted(
        (path for path in store.runs_dir.glob("tr_*.json") if path.stat().st_size),
        key=lambda path: (path.stat().st_mtime, path.name),
    )
    if run_id:
        finished = [path for path in finished if path.stem == run_id]
    if not finished:
        raise UsageError(
            f"there is no test run {run_id}" if run_id else "there is no test run to report",
            why=f"looked in {store.runs_dir}",
            hint="run the node with CI_MODE=testing first",
        )
    return finished[-1]


# shared by the modes


def extensions_of(settings: Settings, say: Say) -> list[Extension]:
    """Built-in and custom extensions; what is broken is named, the rest loads."""
    builtin = builtin_extensions()
    folder = Path(settings.fast_extensions)
    custom, faults = load_extensions(folder, builtin=False)
    if settings.git_extensions:
        cloned, broken = clone_extensions(settings.git_extensions)
        custom, faults = [*custom, *cloned], [*faults, *broken]
    for fault in faults:
        say(f"[error] extension not loaded: {fault}")
    say(f"[info] Loaded {len(custom)} custom extensions for fast scanner")
    say(f"[info] Loaded {len(builtin)} default extensions for fast scanner")
    return [*custom, *builtin]


def _writable(folder: Path) -> Path:
    """The folder, made if need be. Raises TechnicalError now rather than after an hour of testing."""
    probe = folder / f".fast-write-probe-{time.monotonic_ns()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise TechnicalError(
            f"the report folder {folder} cannot be written",
            why=str(error),
            hint="give the node's user write access to it, or name another folder in FAST_REPORTS",
        ) from error
    return folder

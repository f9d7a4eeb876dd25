"""The recording mode: from the node's first console line to its exit status.

Imports nothing of what tests, so that a recorder is ready in no time.
"""

import asyncio
import contextlib
import time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from fastci.config import Settings
from fastci.errors import ExitStatus, TechnicalError
from fastci.node.console import Say, default_name, greet, stop_on_signals
from fastci.node.proxy import Authority, ProxyReport, load_authority, serve
from fastci.node.store import Recorder, Store

if TYPE_CHECKING:
    from fastci.node.store.postgres import SharedStore


def record(settings: Settings, say: Say) -> ExitStatus:
    """Record until a signal comes. Raises FatalError with the reason when that cannot be done any more."""
    greet(settings, say)
    store = Store(settings.store_folder, key=settings.fast_record_key)
    shared = _shared_store(settings)
    _count_extensions(Path(settings.fast_extensions), say)
    authority = load_authority(settings)
    name = settings.test_record_name or default_name("TestRecord", time.time())
    record_id = settings.fast_record_id or (shared.reserve_record() if shared else "")
    recorder = store.create(name, build_id=settings.build_id, record_id=record_id)
    try:
        inactive, report = uvloop.run(_recording(settings, recorder, say, authority))
    finally:
        recorder.close()
    requests = "1 baseline request" if recorder.count == 1 else f"{recorder.count} baseline requests"
    if shared:
        _hand_in(shared, recorder, settings.build_id)
    say(f"[info] TestRecord#{recorder.id} {recorder.name} stopped, {requests} recorded")
    for (kind, host), number in sorted(report.seen.items()):
        say(f"[info] seen, not recorded: {number} x {kind} {host}")
    for line in report.advice:
        say(f"[warn] {line}")
    if not inactive:
        return ExitStatus.PASSED
    raise TechnicalError(
        f"no new baseline for {settings.inactivity_timeout} s: recording ended by itself",
        why="INACTIVITY_TIMEOUT passed before the CI tool stopped this container",
        hint=f"the record {recorder.id} stays usable; raise INACTIVITY_TIMEOUT for slower tests",
    )


def _shared_store(settings: Settings) -> "SharedStore | None":
    if not settings.shares_store:
        return None
    # Only a node that shares its records pays for the import.
    from fastci.node.store.postgres import SharedStore

    return SharedStore(settings.fast_store, token=settings.wallarm_api_token)


def _hand_in(shared: "SharedStore", recorder: Recorder, build_id: str) -> None:
    from fastci.node.store.postgres import SharedRecord

    if recorder.count:
        facts = SharedRecord(id=recorder.id, name=recorder.name, build_id=build_id, baselines=recorder.count)
        shared.put_record(recorder.path, facts)
    shared.close()


async def _recording(
    settings: Settings, recorder: Recorder, say: Say, authority: Authority
) -> tuple[bool, ProxyReport]:
    """Serve until a signal (False) or until nothing was recorded for the inactivity time-out (True)."""
    stop = stop_on_signals()

    def ready(host: str, port: int) -> None:
        say(f"[info] listening on {host}:{port}")
        say(f"[info] TestRecord#{recorder.id} {recorder.name} starts to record")

    watch = asyncio.create_task(_watch_inactivity(recorder, settings.inactivity_timeout, stop))
    try:
        report = await serve(settings, recorder, authority=authority, stop=stop, say=say, on_ready=ready)
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
    return watch.done() and not watch.cancelled() and watch.result(), report


async def _watch_inactivity(recorder: Recorder, limit: int, stop: asyncio.Event) -> bool:
    """Set `stop` and return True when `limit` seconds pass without a new baseline."""
    count, since = recorder.count, time.monotonic()
    while not stop.is_set():
        if recorder.count != count:
            count, since = recorder.count, time.monotonic()
        left = since + limit - time.monotonic()
        if left <= 0:
            stop.set()
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), min(left, 0.5))
    return False


def _count_extensions(folder: Path, say: Say) -> None:
    """Say what a test run would load, and at once what it could not; the built-in ones are just counted."""
    custom = 0
    if folder.is_dir() and any(folder.iterdir()):
        # Only here, as it takes as long as all the rest of the start.
        from fastci.node.dsl import load_extensions

        extensions, faults = load_extensions(folder, builtin=False)
        custom = len(extensions)
        for fault in faults:
            say(f"[error] extension not loaded: {fault}")
    builtin = sum(entry.name.endswith(".yaml") for entry in (files("fastci.node") / "detects").iterdir())
    say(f"[info] Loaded {custom} custom extensions for fast scanner")
    say(f"[info] Loaded {builtin} default extensions for fast scanner")

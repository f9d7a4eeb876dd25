"""A test run that several nodes share through a store: each leases parts of it until all are done.

The parts are shards of each phase: reading requests first, then those that change something, then, one after
the other, those that destroy. A node that dies loses its lease, and another one does that part again.
"""

import asyncio
import hashlib
import json
import os
import platform
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from fastci.config import Settings
from fastci.node.console import Say
from fastci.node.engine.plan import Phase
from fastci.node.store.postgres import SharedStore
from fastci.results import Run, parse_document, to_document
from fastci.verdict.merging import merge_runs

MOST_PARTS = 8
"""Parts of one phase: enough for some nodes, few enough that reading the record each time costs little."""
_LOOK_EVERY = 0.3


@dataclass(frozen=True, kw_only=True)
class Part:
    """One phase of one shard of a run."""

    phase: Phase
    shard: tuple[int, int]

    @property
    def name(self) -> str:
        return f"{self.phase.name.lower()} {self.shard[0]}/{self.shard[1]}"


def parts_of(baselines: int) -> list[Part]:
    """The parts of a run of a record, in the order of their numbers."""
    count = max(1, min(MOST_PARTS, baselines))
    return [Part(phase=phase, shard=(n, count)) for phase in Phase for n in range(1, count + 1)]


def key_of(settings: Settings, record_id: str, policy: str) -> str:
    """What nodes must have in common to share a run; without a BUILD_ID a node shares with nobody."""
    alike = (
        settings.build_id or uuid.uuid4().hex, record_id, policy, settings.test_run_uri, settings.fast_seed,
        settings.fast_shard, settings.fast_skip_duplicates, settings.file_extensions_to_exclude,
    )  # fmt: skip
    return hashlib.sha256(repr(alike).encode()).hexdigest()


class SharedRun:
    """This node's share in a run. `test` tests one part; `work` ends when every part is done, by whomever."""

    def __init__(self, store: SharedStore, settings: Settings, *, say: Say, stop: asyncio.Event) -> None:
        self._store = store
        self._lease = float(settings.fast_store_lease)
        self._say = say
        self._stop = stop
        self._owner = f"{platform.node()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"

    async def work(
        self, key: str, record_id: str, parts: list[Part], test: Callable[[Part], Awaitable[Run]]
    ) -> list[Run]:
        """Work off what is free; gives the runs of all parts, or those there are when it is stopped."""
        phases = [(int(part.phase), part.phase is Phase.DESTROY) for part in parts]
        run = await asyncio.to_thread(self._store.join_run, key, record_id, phases)
        self._say(f"[info] test run {run} of the shared store, {len(parts)} parts")
        while not self._stop.is_set():
            number = await asyncio.to_thread(self._store.claim, run, self._owner, self._lease)
            if number is not None:
                await self._do(run, number, parts[number], test)
            elif None not in await asyncio.to_thread(self._store.results, run):
                break
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _LOOK_EVERY)
        done = await asyncio.to_thread(self._store.results, run)
        owners = await asyncio.to_thread(self._store.owners, run)
        mine = sum(owner == self._owner for owner in owners.values())
        self._say(f"[info] {mine} of {len(parts)} parts were tested by this node")
        return [
            parse_document(json.loads(text), source=f"part {parts[number].name}")
            for number, text in enumerate(done)
            if text is not None
        ]

    async def _do(self, run: int, number: int, part: Part, test: Callable[[Part], Awaitable[Run]]) -> None:
        self._say(f"[info] part {part.name}")
        renewing = asyncio.create_task(self._renew(run, number))
        try:
            result = await test(part)
        except BaseException:
            await asyncio.to_thread(self._store.release, run, number, self._owner)
            raise
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
        if self._stop.is_set():
            await asyncio.to_thread(self._store.release, run, number, self._owner)
            return
        # What tells the parts apart has done its work; a run that was joined of parts is a whole one.
        text = json.dumps(to_document(replace(result, id=f"{run}/{number}", shard="")))
        if not await asyncio.to_thread(self._store.finish, run, number, self._owner, text):
            self._say(f"[info] part {part.name} was given to another node meanwhile; its results count")

    async def _renew(self, run: int, number: int) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            await asyncio.to_thread(self._store.renew, run, number, self._owner, self._lease)


def as_one(runs: list[Run], parts: int, *, run_id: str, name: str, record_id: str, build_id: str) -> Run:
    """The whole run of its parts; an incomplete one is interrupted."""
    whole = merge_runs(runs)
    missing = parts - len(runs)
    return replace(
        whole,
        id=run_id,
        name=name,
        record_id=record_id,
        build_id=build_id,
        merged=[],
        state="interrupted" if missing else whole.state,
        complete=whole.complete and not missing,
    )

"""One extension tried on a few requests against a real target, by the engine that does the runs."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fastci import results
from fastci.config import Settings
from fastci.node.dsl import Extension
from fastci.node.engine.client import WireClient
from fastci.node.engine.dial import Ways
from fastci.node.engine.run import run_tests
from fastci.node.engine.scope import Scope
from fastci.node.policy import Policy
from fastci.node.store import Baseline, Record

_TIMEOUT = 30.0


async def try_extension(
    extension: Extension, baselines: Iterable[Baseline], settings: Settings, policy: Policy
) -> results.Run:
    """A run of this extension alone. `settings.test_run_uri` is the target.

    Where a baseline has no answer (status 0) the target is asked for it first: what the unmodified request
    gives is what attacks are compared with. One that does not come counts as none, and the run says so.
    """
    recorded = await _recorded(baselines, settings)
    record = Record(
        id="rec_0000", name="trial", build_id="", created=time.time(), closed=time.time(),
        baselines=len(recorded), seen={}, path=Path("none"),
    )  # fmt: skip
    return await run_tests(
        run_id="tr_0000",
        settings=settings,
        record=record,
        baselines=recorded,
        extensions=[extension],
        policy=policy,
        say=_nobody,
        stop=asyncio.Event(),
    )


async def _recorded(baselines: Iterable[Baseline], settings: Settings) -> list[Baseline]:
    client = WireClient(ways=Ways.of(settings))
    scope = Scope.parse(settings.test_run_uri, settings.backend_https_ports)
    found = []
    for number, baseline in enumerate(baselines, 1):
        numbered = replace(baseline, sequence=number)
        found.append(numbered if baseline.response.status else await _answered(numbered, client, scope))
    client.close()
    return found


async def _answered(baseline: Baseline, client: WireClient, scope: Scope) -> Baseline:
    target, request = scope.target(baseline.origin), scope.request(baseline)
    data = request.with_target(target.address(request.target)).render()
    try:
        response, seconds = await client.send(target.origin, data, method=request.method, timeout=_TIMEOUT)
    except (OSError, TimeoutError):
        return baseline
    return replace(baseline, response=response, duration=seconds)


def _nobody(line: str) -> None:
    pass

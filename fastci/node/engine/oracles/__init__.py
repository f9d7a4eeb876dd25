"""Oracles: what decides where looking at one response cannot (named by `oracle:` in a detect section)."""

from collections.abc import Awaitable, Mapping
from typing import Protocol

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.confirm import Probe
from fastci.node.engine.oracles.boolean import decide_boolean
from fastci.node.engine.oracles.time import decide_time


class Oracle(Protocol):
    """Sends what it needs over the probe's channel; gives the evidence when the flaw is proven, else None."""

    def __call__(self, probe: Probe, attack: Attack, /) -> Awaitable[results.Evidence | None]: ...


ORACLES: Mapping[str, Oracle] = {"boolean": decide_boolean, "time": decide_time}

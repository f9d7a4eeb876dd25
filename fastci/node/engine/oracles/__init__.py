"""Oracles: what decides where looking at one response cannot (named by `oracle:` in a detect section)."""

from collections.abc import Awaitable, Mapping
from typing import Protocol

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.confirm import Probe
from fastci.node.engine.oracles.access import decide_access
from fastci.node.engine.oracles.boolean import decide_boolean
from fastci.node.engine.oracles.csrf import decide_csrf
from fastci.node.engine.oracles.dom import decide_dom
from fastci.node.engine.oracles.fuzzing import decide_anomaly
from fastci.node.engine.oracles.idor import decide_idor
from fastci.node.engine.oracles.jwt import decide_jwt
from fastci.node.engine.oracles.mass import decide_mass
from fastci.node.engine.oracles.passive import decide_passive
from fastci.node.engine.oracles.time import decide_time
from fastci.node.engine.oracles.union import decide_union
from fastci.node.engine.oracles.upload import decide_upload


class Oracle(Protocol):
    """Sends what it needs over the probe's channel; gives the evidence when the flaw is proven, else None."""

    def __call__(self, probe: Probe, attack: Attack, /) -> Awaitable[results.Evidence | None]: ...


ORACLES: Mapping[str, Oracle] = {
    "access": decide_access,
    "boolean": decide_boolean,
    "csrf": decide_csrf,
    "dom": decide_dom,
    "fuzzing": decide_anomaly,
    "idor": decide_idor,
    "jwt": decide_jwt,
    "mass": decide_mass,
    "passive": decide_passive,
    "time": decide_time,
    "union": decide_union,
    "upload": decide_upload,
}

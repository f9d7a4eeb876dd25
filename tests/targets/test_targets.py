"""Every built-in detect proves its flaw at a broken target and nothing at a repaired one."""

import os

import pytest

from fastci.node.dsl import Extension, builtin_extensions
from fastci.node.policy import load_policy
from targets import all_pairs
from targets.answers import broken_at_signs, everything_sent, lengths_sent
from targets.kit import Handler, Pair, get, post, run_detect
from targets.programs import NEEDS, available

DETECTS = {extension.name: extension for extension in builtin_extensions()}
MOST_REQUESTS = {"default": 90, "thorough": 150}
"""What a policy's detects may cost together at a harmless parameter; the promise to users is 300."""


def needs(pair: Pair) -> None:
    program = pair.needs or NEEDS.get(pair.detect)
    if program and not available(program):
        if os.environ.get("FAST_REQUIRE_SERVERS") == "1":
            pytest.fail(f"FAST_REQUIRE_SERVERS=1, but {program} is not installed")
        pytest.skip(f"NOT RUN: {program} is not installed")


def named(pair: Pair) -> str:
    return f"{pair.detect}: {pair.flaw}"


@pytest.mark.parametrize("pair", all_pairs(), ids=named)
def test_detect_at_broken_target_proves_the_flaw(pair: Pair):
    needs(pair)
    detect = DETECTS[pair.detect]
    outcome = run_detect(
        detect, pair.broken, pair.request, points=pair.point, company=pair.company, origin=pair.origin
    )
    assert list(outcome.proofs) == [pair.point]
    evidence = outcome.proofs[pair.point]
    assert evidence.matched
    assert evidence.payload or detect.oracle == "passive"


@pytest.mark.parametrize("pair", all_pairs(), ids=named)
def test_detect_at_repaired_target_stays_silent(pair: Pair):
    needs(pair)
    detect = DETECTS[pair.detect]
    request = pair.repaired_request or pair.request
    outcome = run_detect(
        detect, pair.repaired, request, points=pair.point, company=pair.company, origin=pair.origin
    )
    assert outcome.proofs == {}
    assert outcome.requests > 1 or detect.oracle == "passive"


REPAIRED = {
    pair.repaired: pair
    for pair in all_pairs()
    if not pair.detect.startswith(("rce", "headers", "deser-error")) and not pair.needs
}


@pytest.mark.parametrize("handler", REPAIRED, ids=lambda h: h.__qualname__)
def test_detects_of_all_types_at_repaired_target_stay_silent(handler: Handler):
    pair = REPAIRED[handler]
    request = pair.repaired_request or pair.request
    told = {
        name: run_detect(detect, handler, request, company=pair.company, origin=pair.origin).proofs
        for name, detect in DETECTS.items()
        if detect.type != "headers"
    }
    assert {name: proofs for name, proofs in told.items() if proofs} == {}


MIRRORED = {
    "query": get("/mirror?n=5&q=tea"),
    "form": post("/mirror", "n=5&q=tea"),
    "JSON": post("/mirror", '{"n":5,"q":"tea"}', "application/json"),
}


@pytest.mark.parametrize("place", MIRRORED)
@pytest.mark.parametrize(
    "handler", [everything_sent, lengths_sent, broken_at_signs], ids=lambda h: h.__qualname__
)
def test_detects_of_all_types_at_a_page_that_mirrors_the_request_stay_silent(handler: Handler, place: str):
    told = {name: run_detect(detect, handler, MIRRORED[place]).proofs for name, detect in DETECTS.items()}
    assert {name: proofs for name, proofs in told.items() if proofs and DETECTS[name].type != "headers"} == {}


def test_every_detect_has_a_broken_and_a_repaired_target():
    assert sorted(DETECTS) == sorted({pair.detect for pair in all_pairs()})


@pytest.mark.parametrize("policy", MOST_REQUESTS)
def test_policy_at_a_harmless_parameter_costs_few_requests(policy: str):
    from targets.databases import PAIRS, by_name_bound

    request = next(pair.request for pair in PAIRS if pair.repaired is by_name_bound)
    chosen = load_policy(policy, None)

    def cost(extension: Extension) -> int:
        return run_detect(extension, by_name_bound, request, points="GET_name_value").requests - 1

    tried = [e for e in DETECTS.values() if chosen.tries(e.type, builtin=True)]
    assert sum(cost(e) for e in tried if not e.detection.oob) <= MOST_REQUESTS[policy]

"""Every built-in detect proves its flaw at a broken target and nothing at a repaired one."""

import pytest

from fastci.node.dsl import Extension, builtin_extensions
from targets import all_pairs
from targets.kit import Handler, Pair, run_detect
from targets.programs import NEEDS, available

DETECTS = {extension.name: extension for extension in builtin_extensions()}
MOST_REQUESTS = 60
"""What the default policy's detects may cost together at a harmless parameter."""


def needs(detect: str) -> None:
    program = NEEDS.get(detect)
    if program and not available(program):
        pytest.skip(f"NOT RUN: {program} is not installed")


def named(pair: Pair) -> str:
    return f"{pair.detect}: {pair.flaw}"


@pytest.mark.parametrize("pair", all_pairs(), ids=named)
def test_detect_at_broken_target_proves_the_flaw(pair: Pair):
    needs(pair.detect)
    outcome = run_detect(DETECTS[pair.detect], pair.broken, pair.request, points=pair.point)
    assert list(outcome.proofs) == [pair.point]
    evidence = outcome.proofs[pair.point]
    assert evidence.matched
    assert evidence.payload


@pytest.mark.parametrize("pair", all_pairs(), ids=named)
def test_detect_at_repaired_target_stays_silent(pair: Pair):
    needs(pair.detect)
    outcome = run_detect(DETECTS[pair.detect], pair.repaired, pair.request, points=pair.point)
    assert outcome.proofs == {}
    assert outcome.requests > 1


REPAIRED = {pair.repaired: pair for pair in all_pairs() if not pair.detect.startswith("rce")}


@pytest.mark.parametrize("handler", REPAIRED, ids=lambda h: h.__qualname__)
@pytest.mark.parametrize("detect", DETECTS)
def test_detect_of_any_type_at_repaired_target_stays_silent(detect: str, handler: Handler):
    pair = REPAIRED[handler]
    assert run_detect(DETECTS[detect], handler, pair.request).proofs == {}


def test_every_detect_has_a_broken_and_a_repaired_target():
    assert sorted(DETECTS) == sorted({pair.detect for pair in all_pairs()})


def test_default_policy_at_a_harmless_parameter_costs_few_requests():
    from targets.databases import PAIRS, by_name_bound

    request = next(pair.request for pair in PAIRS if pair.repaired is by_name_bound)
    tried = [e for e in DETECTS.values() if e.type in ("ptrav", "rce", "sqli", "xss", "xxe")]

    def cost(extension: Extension) -> int:
        return run_detect(extension, by_name_bound, request, points="GET_name_value").requests - 1

    assert sum(cost(extension) for extension in tried if not extension.detection.oob) <= MOST_REQUESTS

"""Deciding from answer times, on servers that exist as numbers only."""

import random
from collections.abc import Callable

import pytest

from fastci.node.engine.oracles.time import judge_delays


def probe(server: Callable[[int], float]) -> tuple[bool, int]:
    """Whether the oracle is convinced, and how many requests it took."""
    judge, requests = judge_delays(server(0)), 0
    delay = next(judge)
    while True:
        requests += 1
        try:
            delay = judge.send(server(delay))
        except StopIteration as end:
            return end.value is not None, requests


@pytest.mark.parametrize(
    "server",
    [
        lambda d: d + 0.01,
        lambda d: 3 * d + 0.05,
        lambda d: d + 1.5,
        lambda d: d + random.Random(d).uniform(0, 0.5),
    ],
    ids=["exact", "once a row", "slow target", "noisy target"],
)
def test_target_that_sleeps_as_told_convinces(server: Callable[[int], float]):
    assert probe(server)[0]


def test_prompt_target_costs_one_request():
    assert probe(lambda _: 0.02) == (False, 1)


@pytest.mark.parametrize("longest", [1, 3])
def test_target_with_random_delays_never_convinces_in_10000_probes(longest: int):
    rng = random.Random(7)
    results = [probe(lambda _: rng.uniform(0, longest)) for _ in range(10_000)]
    assert not any(convinced for convinced, _ in results)
    assert sum(requests for _, requests in results) < 20_000


def test_target_with_rare_long_stalls_never_convinces_in_10000_probes():
    rng = random.Random(7)
    assert not any(probe(lambda _: 30.0 if rng.random() < 0.1 else 0.01)[0] for _ in range(10_000))


@pytest.mark.parametrize(
    "server",
    [
        lambda _: 4.0,
        lambda d: 6.0 if d else 0.01,
        lambda d: min(d, 3),
        lambda d: d * d + 0.01,
        lambda d: d / 2,
    ],
    ids=["always late", "late for any payload", "capped", "not in proportion", "half as long"],
)
def test_lateness_that_does_not_follow_the_delay_does_not_convince(server: Callable[[int], float]):
    assert not probe(server)[0]


def test_found_by_chance_despite_noise_as_long_as_the_delay():
    rng = random.Random(3)
    assert sum(probe(lambda d: d + rng.uniform(0, 3))[0] for _ in range(1000)) > 950

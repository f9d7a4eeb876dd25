"""What is said of how far a run is."""

import pytest

from fastci.node.engine.progress import Progress, spoken
from fastci.node.engine.run import testing_time as time_to_test


def at(done: int, seconds: float, limit: float = 0.0) -> Progress:
    return Progress(done=done, total=40, requests=500, current_rps=60.0, seconds=seconds, limit=limit)


def test_line_tells_rates_and_the_time_left():
    assert at(10, 20.0).line() == (
        "[info] Progress: 10 of 40 baselines, 500 requests, 60.0 requests/s now, 25.0 on average, "
        "1 min 0 s left"
    )


def test_time_left_is_unknown_before_the_first_baseline_is_done():
    assert at(0, 20.0).line().endswith("time left unknown")


def test_time_left_never_goes_beyond_the_budget():
    assert at(1, 20.0, limit=90.0).left == 70.0
    assert at(39, 20.0, limit=90.0).left == pytest.approx(20 / 39)


@pytest.mark.parametrize(("seconds", "words"), [(59.4, "59 s"), (61, "1 min 1 s"), (7384, "2 h 3 min")])
def test_seconds_are_spoken(seconds: float, words: str):
    assert spoken(seconds) == words


@pytest.mark.parametrize("budget", [1, 4, 30, 300, 36_000])
def test_budget_always_leaves_time_to_report(budget: int):
    left = budget - time_to_test(budget, 10_000)
    assert min(budget / 2, 2) <= left <= 30
    assert time_to_test(0, 10) == 0

"""The limiter's arithmetic, on a clock of the test's own."""

import pytest

from fastci.node.engine.pace import SLACK, Pace


def starts(rate: float, arrivals: list[float]) -> list[float]:
    pace = Pace(rate)
    return [pace.reserve(moment) for moment in arrivals]


def test_pace_without_rate_grants_at_once():
    assert starts(0, [5.0, 5.0, 5.0]) == [5.0, 5.0, 5.0]


@pytest.mark.parametrize("rate", [1, 7, 100, 1000])
def test_pace_under_steady_demand_keeps_its_grid(rate: int):
    granted = starts(rate, [100.0] * (rate * 10 + 1))
    assert granted[-1] - granted[0] == pytest.approx(10, abs=SLACK + 1 / rate)


@pytest.mark.parametrize("lateness", [0.0005, 0.003, 0.015])
def test_pace_with_late_wake_ups_loses_nothing(lateness: float):
    pace, now = Pace(200), 50.0
    for _ in range(2000):
        now = pace.reserve(now) + lateness
    assert now - 50.0 == pytest.approx(max(10, 2000 * lateness), rel=0.02)


def test_pace_after_idle_time_does_not_catch_up():
    pace = Pace(100)
    pace.reserve(0.0)
    granted = [pace.reserve(60.0) for _ in range(103)]
    assert sum(moment < 60.999 for moment in granted) <= 102


def test_pace_never_grants_before_now():
    pace = Pace(1000)
    assert all(pace.reserve(moment) >= moment for moment in (1.0, 1.5, 1.5, 2.0, 9.0))


def test_pace_held_up_again_and_again_keeps_its_rate_over_time():
    pace, now, granted = Pace(200), 10.0, []
    for number in range(8000):
        now = pace.reserve(now + (0.1 if number % 800 == 0 else 0.0))
        granted.append(now)
    assert (granted[-1] - granted[4000]) == pytest.approx(4000 / 200, rel=0.02)
    for first, later in zip(granted, granted[204:], strict=False):
        assert later - first >= 0.98


def test_pace_makes_up_at_most_a_second_of_idle_time():
    pace = Pace(100)
    pace.reserve(0.0)
    granted = [pace.reserve(60.0) for _ in range(20_300)]
    assert 20_000 < sum(moment < 260.0 for moment in granted) <= 20_103

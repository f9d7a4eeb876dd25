"""Requests over time."""

import pytest

from fastci.node.engine.pulse import FIRST_WIDTH, MOST, Pulse


@pytest.mark.parametrize("length", [0, 1, 2, MOST - 1, MOST, MOST + 1, 1000])
def test_pulse_of_any_length_keeps_every_request_in_few_slices(length: int):
    numbers = [number * 7919 % 1000 for number in range(1, length + 1)]
    pulse = Pulse()
    total = 0
    for number in numbers:
        total += number
        pulse.beat(total)
    slices = pulse.end(total)
    assert len(slices) < MOST
    assert sum(slices) == (total if len(slices) > 1 else 0)


@pytest.mark.parametrize(("beats", "width"), [(MOST - 1, 1), (MOST, 2), (MOST + MOST // 2, 4)])
def test_pulse_slices_get_wider_and_stay_equal(beats: int, width: int):
    pulse = Pulse()
    total = 0
    for _ in range(beats):
        total += round(3 * pulse.width / FIRST_WIDTH)
        pulse.beat(total)
    assert pulse.width == FIRST_WIDTH * width
    assert set(pulse.slices) == {3 * width}


def test_pulse_remainder_is_the_last_slice():
    pulse = Pulse()
    pulse.beat(5)
    assert pulse.end(7) == [5, 2]
    assert Pulse().end(7) == []

"""How the number of requests under way follows what a target can bear."""

import asyncio

from fastci.node.engine.strain import LATE, Strain


def strain_of(most: int) -> tuple[Strain, list[str]]:
    told: list[str] = []
    return Strain(most, told.append), told


def answered(strain: Strain, seconds: float, times: int) -> None:
    for _ in range(times):
        strain.under_way += 1
        strain.eased(seconds)


def test_strain_of_a_burst_of_refusals_halves_once_and_says_so():
    strain, told = strain_of(8)
    strain.under_way = 8
    for _ in range(8):
        strain.strained("status 503")
    assert (strain.limit, strain.under_way) == (4, 0)
    assert told == ["struggles (status 503): at most 4 at once for now"]


def test_strain_that_goes_on_leaves_one_request_at_a_time():
    strain, told = strain_of(8)
    for _ in range(9):
        strain.under_way += 1
        strain.strained("status 503")
    assert (strain.limit, len(told)) == (1, 3)


def test_strain_that_is_over_gives_all_back_and_a_second_one_is_not_told_again():
    strain, told = strain_of(4)
    strain.under_way = 1
    strain.strained("status 429")
    assert strain.limit == 2
    answered(strain, 0.01, 100)
    assert strain.limit == 4
    strain.under_way = 1
    strain.strained("status 429")
    assert (strain.limit, len(told)) == (2, 1)


def test_target_that_answers_ever_later_is_asked_less():
    strain, told = strain_of(8)
    answered(strain, 0.02, 100)
    answered(strain, 3 * LATE, 100)
    assert strain.limit < 8
    assert told


def test_target_that_is_slow_from_the_beginning_is_not_struggling():
    strain, _ = strain_of(8)
    answered(strain, 2 * LATE, 400)
    assert strain.limit == 8


def test_single_answers_that_are_late_on_purpose_are_no_strain():
    strain, _ = strain_of(8)
    for _ in range(50):
        answered(strain, 0.02, 15)
        answered(strain, 9.0, 1)
    assert strain.limit == 8


def test_requests_wait_while_as_many_as_may_be_are_under_way():
    async def work() -> None:
        strain, _ = strain_of(2)
        running, most = 0, 0

        async def send(number: int) -> None:
            nonlocal running, most
            if strain.under_way >= strain.limit:
                await strain.enter()
            strain.under_way += 1
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            strain.left() if number % 2 else strain.eased(0.01)

        async with asyncio.timeout(20):
            await asyncio.gather(*(send(number) for number in range(20)))
        assert (most, strain.under_way) == (2, 0)

    asyncio.run(work())

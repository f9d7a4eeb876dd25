"""The fuzzer against targets that are functions: what is sent, what is odd, what is found."""

import random
from collections.abc import Callable

import pytest

from fastci.node.fuzzer import Anomaly, Conditions, Recipe, Seen, Trial, fuzz, read_recipe

Target = Callable[[bytes], Seen]

FINE = Seen(status=200, length=1000, weight=1000, time=0.01, elements=20, words=frozenset({"hello"}))


def play(target: Target, recipe: Recipe | None = None, value: bytes = b"tea", seed: int = 1):
    """What was found, and every payload sent."""
    game = fuzz(value, recipe or Recipe(), random.Random(seed))
    trials: list[Trial] = [next(game)]
    while True:
        try:
            trials.append(game.send(target(trials[-1].value)))
        except StopIteration as end:
            return end.value, trials


def guilty(found: list[Anomaly]) -> bytes:
    return bytes(sorted(byte for anomaly in found for byte in anomaly.guilty))


def minds(*bytes_: bytes, answer: Seen) -> Target:
    return lambda value: answer if any(byte in value for byte in bytes_) else FINE


def payloads(trials: list[Trial]) -> list[bytes]:
    return [trial.payload for trial in trials if any(not 97 <= byte <= 122 for byte in trial.payload)]


# payloads


@pytest.mark.parametrize(("size", "sizes"), [(250, [250, 5]), (255, [255]), (100, [100, 100, 55])])
def test_bytes_go_out_in_runs_of_the_size_asked_for(size: int, sizes: list[int]):
    found, trials = play(lambda value: FINE, Recipe(size=size))
    assert found == []
    sent = payloads(trials)
    assert [len(payload) for payload in sent] == sizes
    assert b"".join(sent) == bytes(range(1, 256))


@pytest.mark.parametrize(
    ("payload", "shape"),
    [
        ({}, b"teas#"),
        ({"insert": "beginning"}, b"#teas"),
        ({"insert": "end"}, b"teas#"),
        ({"replace": "first", "bytes": 3}, b"#s"),
        ({"replace": "last", "bytes": 3}, b"t#"),
        ({"replace": "last", "bytes": 9}, b"#"),
        ({"replace": "first"}, b"#eas"),
        ({"replace": "whole"}, b"#"),
    ],
)
def test_payload_goes_where_the_policy_says(payload: dict, shape: bytes):
    recipe = read_recipe({"payload": payload})
    assert recipe.value(b"teas", b"#", random.Random(1)) == shape


def test_random_places_are_anywhere_and_repeat_with_the_seed():
    insert = read_recipe({"payload": {"insert": "random"}})
    replace = read_recipe({"payload": {"replace": "random", "bytes": 2}})
    chance = random.Random(3)
    assert {insert.value(b"abc", b"#", chance) for _ in range(99)} == {b"#abc", b"a#bc", b"ab#c", b"abc#"}
    assert {replace.value(b"abcd", b"#", chance) for _ in range(99)} == {b"#cd", b"a#d", b"ab#"}
    runs = [[trial.value for trial in play(lambda value: FINE, insert, seed=7)[1]] for _ in range(2)]
    assert runs[0] == runs[1]


# what is odd, learned


ODD = {
    "status": Seen(status=500, length=1000, weight=1000, time=0.01, elements=20),
    "redirect": Seen(status=302, length=0, weight=0, time=0.01, elements=0),
    "silence": Seen(status=0),
    "timeout": Seen(status=0, timed_out=True),
    "time": Seen(status=200, length=1000, weight=1000, time=3.0, elements=20),
    "elements": Seen(status=200, length=1000, weight=1000, time=0.01, elements=2),
    "weight": Seen(status=200, length=9000, weight=9000, time=0.01, elements=20),
    "words": Seen(
        status=200, length=1000, weight=1000, time=0.01, elements=20,
        words=frozenset({"hello", "syntax", "error"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_byte_that_changes_the_answer_is_found_with_its_reason(kind: str):
    found, _ = play(minds(b"'", b"\xfe", answer=ODD[kind]))
    assert guilty(found) == b"'\xfe"
    assert all(anomaly.reason for anomaly in found)
    first = found[0]
    assert b"'" in first.trial.value
    assert first.again.value != first.control.value
    assert b"'" not in first.control.value


def test_guilty_bytes_are_asked_once_each_in_their_run_and_never_again():
    _, trials = play(minds(b"'", answer=ODD["status"]), Recipe(size=255))
    singles = [payload for payload in payloads(trials) if len(payload) == 1]
    assert singles.count(b"'") == 1 + 3  # the byte itself, then its confirmation
    assert all(singles.count(payload) == 1 for payload in singles if payload != b"'")


def test_run_that_only_acts_together_is_told_without_guilty_bytes():
    def target(value: bytes) -> Seen:
        return ODD["status"] if b"{" in value and b"}" in value else FINE

    (anomaly,) = play(target, Recipe(size=255))[0]
    assert anomaly.guilty == b""
    assert len(anomaly.trial.payload) == 255


def test_refusal_is_no_anomaly_and_hides_none():
    """Most signs are refused, one of the others breaks the target."""

    def target(value: bytes) -> Seen:
        if any(byte in b'!"#$%&()*+,/:;<=>?@[\\]^`{|}\x01\x02\x7f' for byte in value):
            return Seen(status=400, length=10, weight=10)
        return ODD["status"] if b"'" in value else FINE

    assert guilty(play(target, Recipe(size=255))[0]) == b"'"


def test_value_that_harmless_letters_break_too_is_no_anomaly():
    assert play(lambda value: FINE if value == b"tea" else ODD["status"])[0] == []


def test_number_is_held_against_other_numbers():
    def target(value: bytes) -> Seen:
        return FINE if value.isdigit() else ODD["status"]

    found, _ = play(target, value=b"17")
    assert guilty(found) == bytes(byte for byte in range(1, 256) if not 48 <= byte <= 57)


def test_effect_that_does_not_come_again_is_no_anomaly():
    chance = random.Random(5)

    def target(value: bytes) -> Seen:
        return ODD["status"] if chance.random() < 0.03 else FINE

    assert [play(target, Recipe(size=8), seed=seed)[0] for seed in range(20)] == [[]] * 20


def test_target_that_jitters_has_no_anomalies_in_a_hundred_runs():
    words = [chr(97 + n) * 6 for n in range(12)]

    def target(chance: random.Random) -> Target:
        def answer(value: bytes) -> Seen:
            length = 1000 + chance.randint(0, 300)
            return Seen(
                status=200, length=length, weight=length, time=chance.uniform(0, 0.8),
                elements=20 + chance.randint(0, 4), words=frozenset(chance.sample(words, 3)),
            )  # fmt: skip

        return answer

    found = [play(target(random.Random(seed)), Recipe(size=16), seed=seed)[0] for seed in range(100)]
    assert found == [[]] * 100


def test_target_that_answers_nothing_reliably_is_left():
    count = iter(range(10_000))
    assert play(lambda value: ODD["silence"] if next(count) % 3 == 1 else FINE)[0] == []


# conditions


@pytest.mark.parametrize(
    ("section", "seen", "holds"),
    [
        ({"status": "< 500"}, Seen(status=404), True),
        ({"status": "500"}, Seen(status=500), True),
        ({"status": "5\\d\\d"}, Seen(status=503), True),
        ({"status": "5\\d"}, Seen(status=503), False),
        ({"status": "< 500"}, Seen(status=0), False),
        ({"length": ">= 10"}, Seen(status=200, length=10), True),
        ({"length": "> 10"}, Seen(status=200, length=10), False),
        ({"time": "> 1.5"}, Seen(status=200, time=2), True),
        ({"length-diff": "> 900"}, Seen(status=200, length=50), True),
        ({"length-diff": "> 900"}, Seen(status=200, length=1050), False),
        ({"time-diff": "> 1"}, Seen(status=200, time=2), True),
        ({"dom-diff": ">= 15"}, Seen(status=200, elements=5), True),
        ({"dom-diff": "= 0"}, Seen(status=200, elements=20), True),
        ({"body": "SQLITE_ERROR"}, Seen(status=200, body="x SQLITE_ERROR: y"), True),
        ({"body": "(?i)sqlite", "status": "200"}, Seen(status=500, body="SQLITE"), False),
        ({"status": "!= 200", "length": "< 9"}, Seen(status=500, length=1), True),
        ({}, Seen(status=200), False),
    ],
)
def test_conditions_all_hold_or_the_section_does_not(section: dict, seen: Seen, holds: bool):
    assert Conditions(section).hold(seen, FINE) is holds


def test_sections_work_together_as_in_the_documented_example():
    """Bytes 1 to 3 at the beginning; an error text; not below 500; stop when there are more than two."""
    section = {
        "payload": {"size": 250, "insert": "beginning"},
        "anomaly-if": {"body": "SQLITE_ERROR"},
        "not-anomaly-if": {"status": "< 500"},
        "stop-if": {"anomalies": "> 2"},
    }

    def target(value: bytes) -> Seen:
        if any(byte in value for byte in (b"'", b'"', b"`", b"\\")):
            return Seen(status=500, body="SQLITE_ERROR: near")
        return Seen(status=200, body="SQLITE_ERROR is explained here") if b"?" in value else FINE

    found, _ = play(target, read_recipe(section))
    assert guilty(found) == b"\"'\\"
    without = {key: part for key, part in section.items() if key != "stop-if"}
    assert guilty(play(target, read_recipe(without))[0]) == b"\"'\\`"


def test_condition_that_harmless_values_meet_too_finds_nothing():
    recipe = read_recipe({"anomaly-if": {"status": "200"}})
    assert play(lambda value: FINE, recipe)[0] == []


def test_stop_at_a_response_leaves_the_rest():
    recipe = read_recipe({"payload": {"size": 10}, "stop-if": {"status": "503"}})
    _, trials = play(minds(b"\x0f", answer=Seen(status=503)), recipe)
    assert max(max(payload) for payload in payloads(trials)) == 20


def test_stop_after_timeouts_counts_them():
    recipe = read_recipe({"payload": {"size": 10}, "stop-if": {"timeout-errors": ">= 3"}})
    found, trials = play(lambda value: FINE if value.isalpha() else ODD["timeout"], recipe)
    assert guilty(found) == b"\x01\x02"
    assert max(payload[0] for payload in payloads(trials) if len(payload) == 1) == 2


def test_anomaly_that_stops_the_fuzzing_itself_is_told():
    recipe = read_recipe({"payload": {"size": 10}, "stop-if": {"status": "500"}})
    (anomaly,) = play(minds(b"\x0f", answer=ODD["status"]), recipe)[0]
    assert anomaly.trial.payload == bytes(range(11, 21))

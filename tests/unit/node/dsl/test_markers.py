import re

import pytest

from fastci.node.dsl import Markers, MarkerSource


def many(seed: int, count: int = 300) -> list[Markers]:
    source = MarkerSource(seed, "*.oob.example")
    return [source.fresh() for _ in range(count)]


def test_markers_of_one_seed_repeat_and_of_another_differ():
    assert many(1) == many(1)
    assert not {m.text for m in many(1)} & {m.text for m in many(2)}


def test_text_is_letters_that_no_number_or_word_of_markup_is_made_of():
    assert all(re.fullmatch(r"[g-v]{10}", m.text) for m in many(1))
    assert len({m.text for m in many(1)}) == 300


def test_expression_has_the_result_as_its_value_and_does_not_hold_it():
    for markers in many(1):
        left, right = map(int, markers.expression.split("*"))
        assert str(left * right) == markers.result
        assert len(markers.result) >= 6
        assert int(markers.result) < 2**31
        assert markers.result not in markers.expression


def test_domain_has_its_token_where_the_listeners_want_it():
    assert all(re.fullmatch(r"[a-z][a-z0-9]{12}\.oob\.example", m.domain) for m in many(1))
    assert len({m.domain for m in many(1)}) == 300
    assert re.fullmatch(r"10\.0\.0\.1:80/w[a-z0-9]{13}", MarkerSource(1, "10.0.0.1:80/w*").fresh().domain)


def test_domain_without_a_listener_is_a_name_that_cannot_exist():
    markers = MarkerSource(1).fresh()
    assert markers.domain.endswith(".invalid")
    assert not markers.hears


def test_filling_a_payload_replaces_every_marker():
    markers = many(1)[0]
    filled = markers.fill("STR_MARKER-CALC_MARKER-DNS_MARKER-DELAY_MARKER-STR_MARKER", delay="3")
    assert filled == f"{markers.text}-{markers.expression}-{markers.domain}-3-{markers.text}"


def test_filling_a_pattern_escapes_and_looks_for_the_result():
    markers = many(1)[0]
    pattern = re.compile(markers.fill_pattern("STR_MARKER:DNS_MARKER:CALC_MARKER"))
    assert pattern.fullmatch(f"{markers.text}:{markers.domain}:{markers.result}")
    assert not pattern.fullmatch(f"{markers.text}:{markers.domain.replace('.', 'x')}:{markers.result}")


@pytest.mark.parametrize("sign", [",", ".", "'", " ", "\u00a0", "\u202f"])
def test_result_with_grouped_digits_is_found(sign: str):
    markers = Markers(text="a", expression="1234*5678", result="7006652", domain="")
    assert re.search(markers.fill_pattern("CALC_MARKER"), f"<b>7{sign}006{sign}652</b>")

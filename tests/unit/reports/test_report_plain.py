import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastci.reports.plain import count, duration, one_line, prose, shorten, text_of, visible


def test_visible_shows_what_would_act():
    assert visible("a\x1b[2J\x00\u202eb\u200b\t\n") == r"a\x1b[2J\x00\u{202e}b\u{200b}\t\n"


def test_visible_lines_kept_without_carriage_returns():
    assert visible("a\r\nb\rc\td", lines=True) == "a\nb\\rc\td"


def test_text_of_bytes_that_are_no_utf_8_shown_one_by_one():
    assert visible(text_of(b"caf\xe9 \xc3\xa9")) == r"caf\xe9 é"


@given(st.text() | st.binary().map(text_of))
def test_visible_of_any_text_is_printable_utf_8_fit_for_xml(text: str):
    shown = visible(text)
    shown.encode()
    assert not [c for c in shown if ord(c) < 32 or 127 <= ord(c) < 160 or c in "\ufffe\uffff"]


def test_shorten_says_how_much_is_missing():
    assert shorten("x" * 1500, 10) == "xxxxxxxxxx… (1,490 more characters)"
    assert shorten("short", 10) == "short"


def test_one_line_has_no_line_feed():
    assert "\n" not in one_line("a\nb")


def test_prose_joins_broken_sentences():
    assert prose("One\n  two.\n") == "One two."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.0414, "41 ms"), (0.9996, "1.0 s"), (1.44, "1.4 s"), (9.97, "10 s"), (59.4, "59 s"),
        (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3725, "1 h 02 min"), (-1, "0 ms"),
    ],
)  # fmt: skip
def test_duration_in_words(seconds: float, text: str):
    assert duration(seconds) == text


def test_count_one_and_many():
    assert count(1, "vulnerability", "vulnerabilities") == "1 vulnerability"
    assert count(2000, "request") == "2,000 requests"

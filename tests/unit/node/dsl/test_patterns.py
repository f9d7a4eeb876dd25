import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastci.node.dsl.markers import MarkerSource
from fastci.node.dsl.patterns import Pattern, Text, needles_of


@pytest.mark.parametrize(
    ("pattern", "needle"),
    [
        ("You have an error", "You have an error"),
        (r"ORA-\d{5}", "ORA-"),
        (r"sqlite3\.OperationalError: near", "sqlite3.OperationalError: near"),
        (r"a+bcd", "bcd"),
        (r"abcd?efg", "abc"),
        (r"abcd*", "abc"),
        (r"abc{2}def", "def"),
        (r'{"data":{"__schema"', '{"data":{"__schema"'),
        (r"(?:one|two) three", " three"),
        (r"one|two|(?:th|f)ree+d", ("one", "two", "ree")),
        (r"one|[a|b]", ()),
        (r"(one|two)", ()),
        (r"[abc]+", ""),
        (r"x[a\]b]yes", "yes"),
        (r"(a(b)\)c)tail", "tail"),
        (r"\x41bcdef", ""),
        (r"(?x) a b c d", ""),
        (r"ab", ""),
        (r"^\s*at [\w.]+\(", "at "),
    ],
)
def test_needle_is_text_that_every_match_holds(pattern: str, needle: str | tuple[str, ...]):
    expected = needle if isinstance(needle, tuple) else (needle,) if needle else ()
    assert needles_of(pattern)[0] == expected


def test_needles_of_a_pattern_that_ignores_case_is_lower_case():
    assert needles_of("(?i)SQL Syntax") == (("sql syntax",), True)


WORDS = st.sampled_from(
    [
        *("abc", "near ", "SQL", r"\d+", r"\w*", "x?", "y+", "z{2}", "(?:one|two)", "[a-c]", r"\.", "(?i)"),
        *("|", "^", ".*"),
    ]
)


@given(st.lists(WORDS, min_size=1, max_size=6), st.text("abcxyznear onetwoSQLsql.19|", max_size=40))
def test_prefilter_never_hides_a_match(parts: list[str], text: str):
    source = "".join(parts)
    try:
        pattern = Pattern(source)
    except ValueError:
        return
    assert pattern._compiled is not None
    direct = pattern._compiled.search(text)
    found = pattern.search(Text(text), MarkerSource(1).fresh())
    assert (found is None) == (direct is None)


def test_pattern_with_markers_looks_for_this_attacks_markers_only():
    source = MarkerSource(1, "oob.example")
    mine, other = source.fresh(), source.fresh()
    pattern = Pattern(r"STR_MARKER\.\w+|DNS_MARKER")
    assert pattern.search(Text(f"{mine.text}.com"), mine) is not None
    assert pattern.search(Text(f"{other.text}.com"), mine) is None
    assert pattern.search(Text(f"x {mine.domain}"), mine) is not None
    assert pattern.search(Text(f"x {mine.domain}"), MarkerSource(1).fresh()) is None

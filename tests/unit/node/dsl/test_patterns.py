import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastci.node.dsl.markers import MarkerSource
from fastci.node.dsl.patterns import Pattern, PatternSet, Text, first_match, needles_of


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
        (r"(passwd).*(shadow-).*(?:localtime)", "localtime"),
        (r"(Yii Debugger)|(yii-debug(?:-toolbar))", ("Yii Debugger", "yii-debug")),
        (r"(never)?(certain)+", "certain"),
        (r"(?=ahead)(?i:CASE)x", ""),
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
        *(
            "abc",
            "near ",
            "SQL",
            r"\d+",
            r"\w*",
            "x?",
            "y+",
            "z{2}",
            "(?:one|two)",
            "(abc)",
            "(?:near )?",
            "(x(SQL)y)",
            "(?!abc)",
            "[a-c]",
            r"\.",
            "(?i)",
        ),
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
    source = MarkerSource(1, "*.oob.example")
    mine, other = source.fresh(), source.fresh()
    pattern = Pattern(r"STR_MARKER\.\w+|DNS_MARKER")
    assert pattern.search(Text(f"{mine.text}.com"), mine) is not None
    assert pattern.search(Text(f"{other.text}.com"), mine) is None
    assert pattern.search(Text(f"x {mine.domain}"), mine) is not None
    assert pattern.search(Text(f"x {mine.domain}"), MarkerSource(1).fresh()) is None


SIGNATURES = st.lists(
    st.sampled_from(
        [
            'near "',
            "SQL syntax",
            "(?i)sql error",
            "ORA-\\d{5}",
            "ab",
            "error|fault",
            "(bad).*(token)",
            "[xy]z+",
        ]
    ),
    min_size=1,
    max_size=14,
)


@given(SIGNATURES, st.text('abEeOoRr -near"SQLsyntax0123fault badtokenxz', max_size=60))
def test_set_of_patterns_finds_what_the_first_matching_one_does(sources: list[str], text: str):
    markers = MarkerSource(1).fresh()
    patterns = [Pattern(source) for source in sources]
    # Padded with others, since a small set is looked for one by one.
    others = [Pattern(f"never found {number}") for number in range(10)]
    together = first_match(PatternSet([*patterns, *others]), Text(text), markers)
    assert together == first_match(tuple(patterns), Text(text), markers)


def test_set_of_patterns_leaves_out_those_that_cannot_match():
    words = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet")
    patterns = PatternSet(Pattern(f"{word}\\d") for word in words)
    assert patterns.candidates(Text("nothing of that kind" * 100)) == []
    candidates = patterns.candidates(Text("GOLF says: error"))
    assert [pattern.source[:4] for pattern in candidates] == ["golf"]
    assert pickle.loads(pickle.dumps(patterns)).candidates(Text("")) == []

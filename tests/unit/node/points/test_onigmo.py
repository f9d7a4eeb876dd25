import pytest

from fastci.node.points import compile_ruby


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^root:", "x\nroot:"), (r"x$", "x\ny"), (r"\Ax\Z", "x\n"), (r"\h{4}\H", "00fFg"),
        (r"[\h]+z", "a1z"),
        (r"(?m)a.b", "a\nb"), (r"(?m:a.)b", "a\nb"), (r"(?<n>a)\k<n>", "aa"), (r"(?'n'a)\k'n'", "aa"),
        (r"(a)(b)\k<-1>", "abb"), (r"(a)\1", "aa"), (r"(?<p>\((?:[^()]|\g<p>)*\))\z", "(a(b)c)"),
        (r"(a|b\g<1>c)\z", "bac"),
        (r"a{,2}b", "aab"), (r'{"id":1}', '{"id":1}'), (r"foo{e}", "foo{e}"), (r"x{1,y}", "x{1,y}"),
        (r"a{2}+\z", "aaaa"),
        (r"\Aa{2}?b", "b"), (r"a**b", "ab"), (r"[[:alpha:]]+\z", "é"), (r"[[:^digit:]]", "a"),
        (r"[[:word:]]\z", "_"),
        (r"\p{Alnum}\p{^Alpha}\P{Digit}", "a1a"), (r"[a-z&&[^aeiou]]", "b"), (r"[a-c[x-z]]", "y"),
        (r"(?u)\w", "é"),
        (r"a(?i)b|c", "aC"), (r"(?i-m:A)b", "ab"), (r"[]a]", "]"), (r"[a-]", "-"), (r"[\d-x]\z", "1-"),
        (r"[-a]", "-"), (r"[\w-]", "-"),
        (r"[||~~]", "~"), (r"\R", "\r\n"), (r"foo\Kbar", "foobar"), ("(?x) a b # c [\n c", "abc"),
        (r"(?x)[ ]\ ", "  "),
        (r"\u{61 62}", "ab"), (r"\u0041\x41\x{42}\101\0", "AABA\0"), (r"\m\i\y", "miy"), (r"(?<!a)b", "cb"),
        (r"\/etc\/passwd", "/etc/passwd"), (r"\cA\C-b", "\x01\x02"), (r"\e\a\t", "\x1b\x07\t"),
        (r"(?>a+)b", "aab"),
        (r"(?#what)a", "a"), (r"(a)?(?(1)b|c)", "ab"), (r"\X", "e\u0301"), (r"[\b]", "\b"),
        (r"a\.b", "a.b"), (r"[\s]", " "),
        (r"(?<=\d)x", "1x"), (r"é", "é"), (r"[\101-\x43]", "B"), (r"a{3", "a{3"),
    ],
)  # fmt: skip
def test_ruby_pattern_matches_as_in_ruby(pattern: str, text: str):
    assert compile_ruby(pattern).search(text, timeout=1)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"a.b", "a\nb"), (r"\Ax\z", "x\n"), (r"\Ax\z", "y\nx"), (r"\w", "é"), (r"\d", "٣"),
        (r"\s", "\u00a0"),
        (r"[a-z&&[^aeiou]]", "a"), (r"a(?i)b|c", "C"), (r"a++a", "aaa"), (r"[^\W\d]", "1"),
        (r"(?:foo){e}", "fop"),
        (r"\h", "g"), (r"(?m-m:a.b)", "a\nb"), (r"[[:^digit:]]", "1"),
    ],
)  # fmt: skip
def test_ruby_pattern_stays_silent_as_in_ruby(pattern: str, text: str):
    assert not compile_ruby(pattern).search(text, timeout=1)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(?~a)", "absent operator"), (r"a)", r"a \) too many"), (r"(a", "not closed"),
        (r"[a", "not closed"),
        (r"\k<n+1>", "reference"), (r"(?P<a>x)", "not Ruby"), (r"*a", "nothing to repeat"),
        (r"\M-a", "byte"),
        (r"(*SKIP)", "not Ruby"), (r"[[:foo:]]", "POSIX"), (r"(?|a)", "not Ruby"), ("a\\", "backslash"),
        ("[\\", "backslash"),
        (r"(?R)", "not Ruby"), (r"\p{Nope}", "property"), (r"(?<a b>x)", "group name"),
        (r"\x{110000}", "not a character"),
        (r"(?#x", "comment"), (r"[z-a]", "range"), (r"\k<nope>", "unknown group"),
        ("a" * 100_001, "100001"), ("[" * 5000, "deep"),
        ("(" * 5000 + ")" * 5000, "deep"), (r"((a{1000}){1000}){2}", "repetitions"),
        (r"(?:ab{3}(c{400}){400}){9}", "repetitions"),
    ],
)  # fmt: skip
def test_ruby_pattern_that_cannot_be_translated_says_why(pattern: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        compile_ruby(pattern)


def test_hostile_pattern_ends_with_the_timeout():
    with pytest.raises(TimeoutError):
        compile_ruby(r"(a|a|aa)+$").search("a" * 4000 + "b", timeout=0.2)

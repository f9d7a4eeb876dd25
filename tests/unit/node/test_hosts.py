import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastci.node.hosts import HostFilter


@pytest.mark.parametrize(
    ("text", "admitted", "others"),
    [
        ("", ["a", "b.test:80", "[::1]:80"], []),
        ("  , ;", ["a"], []),
        ("*", ["a", "b.test"], []),
        ("a.test", ["a.test", "A.Test:8000", "a.test."], ["b.a.test", "xa.test", "a.testx"]),
        ("A.Test:3000", ["a.test", "a.test:80"], ["b.test"]),
        (".example.local", ["example.local", "a.example.local", "a.b.example.local"], ["xexample.local"]),
        ("*.example.org", ["a.example.org", "a.b.example.org"], ["example.org", "axexample.org"]),
        ("mail.*", ["mail.a", "mail.a.b:25"], ["mail", "xmail.a"]),
        ("*.mail.*", ["a.mail.b"], ["mail.b", "a.mail"]),
        ("(node.example.local|example.com)", ["node.example.local", "example.com"], ["example.local"]),
        ("( a.test | *.b.test )", ["a.test", "x.b.test"], ["b.test"]),
        ("(www|api).a.test", ["www.a.test", "api.a.test"], ["a.test"]),
        ("~^w+\\.a\\.test$", ["www.a.test", "WWW.A.test:80"], ["wwx.a.test", "www.a.testx"]),
        ("~shop", ["my-shop.test"], ["sho.p"]),
        ("~^a{1,3}$", ["aa"], ["aaaa"]),
        ("~^[(,]?a$;b", ["a", "b"], ["c"]),
        ("~^(x|y)\\.t$", ["x.t", "y.t"], ["z.t"]),
        ("a,b;c d\te", ["a", "b", "c", "d", "e"], ["f"]),
        ("127.0.0.1", ["127.0.0.1", "127.0.0.1:3000"], ["127.0.0.2"]),
        ("::1 [fe80::1]:80", ["[::1]:3000", "::1", "[fe80::1]"], ["::2"]),
    ],
)
def test_filter_forms_of_server_name(text: str, admitted: list[str], others: list[str]):
    hosts = HostFilter.parse(text)
    assert [h for h in admitted if not hosts.admits(h)] == []
    assert [h for h in others if hosts.admits(h)] == []
    assert [h for h in admitted if not hosts.admits_header(h.encode())] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.*.b", "first or the last part"),
        ("a*", "first or the last part"),
        ("*.", "first or the last part"),
        ("ok ~(", "'~\\(' is not a regular expression: .*position"),
    ],
)
def test_filter_of_no_form_refused_with_the_word(text: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        HostFilter.parse(text)


def test_filter_pattern_that_takes_for_ever_does_not_match():
    assert not HostFilter.parse("~^(a|aa)+$").admits("a" * 200 + "b")


@given(st.text(max_size=40), st.binary(max_size=30))
def test_filter_any_text_works_or_is_refused(text: str, host: bytes):
    try:
        hosts = HostFilter.parse(text)
    except ValueError:
        return
    assert hosts.admits_header(host) is hosts.admits_header(host)

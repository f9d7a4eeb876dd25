import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastci.node.message import Field, Origin, Request, parse_request, parse_response

HEAD = (
    b"POST /a%20b?x=1&x=2 HTTP/1.1\r\nhost:  example.com \r\nX-Dup: 1\r\nx-dup:2\r\n"
    b"Cookie: a=b;c=d\r\nContent-Length: 3\r\n\r\n"
)

names = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
values = st.binary(max_size=40).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"").strip())


def test_request_read_and_written_again_same_bytes():
    assert parse_request(HEAD, b"abc").render() == HEAD + b"abc"


@given(st.lists(st.tuples(names, st.sampled_from([b":", b": ", b":  "]), values), max_size=8))
def test_request_any_headers_round_trip(rows: list[tuple[bytes, bytes, bytes]]):
    head = b"GET / HTTP/1.1\r\n" + b"".join(n + s + v + b"\r\n" for n, s, v in rows) + b"\r\n"
    request = parse_request(head)
    assert request.head() == head
    assert [(f.name, f.value) for f in request.fields] == [(n, v) for n, _, v in rows]


@given(names, values, values)
def test_field_with_value_keeps_name_and_spacing(name: bytes, old: bytes, new: bytes):
    field = Field.parse(name + b":  " + old + b" \r\n").with_value(new)
    assert Field.parse(field.raw).value == new
    assert field.raw.startswith(name + b":")
    if old:
        assert field.raw == name + b":  " + new + b" \r\n"


def test_field_value_equal_to_name_only_value_changes():
    assert Field.parse(b"Host: Host\r\n").with_value(b"x").raw == b"Host: x\r\n"


def test_request_lookup_ignores_case_and_keeps_duplicates():
    request = parse_request(HEAD)
    assert request.get(b"HOST") == b"example.com"
    assert request.get_all(b"X-DUP") == [b"1", b"2"]


def test_request_with_body_sets_content_length_in_place():
    changed = parse_request(HEAD, b"abc").with_body(b"hello")
    assert changed.render() == HEAD.replace(b"Length: 3", b"Length: 5") + b"hello"


def test_request_with_body_without_length_header_gets_one():
    assert b"Content-Length: 2\r\n" in parse_request(b"POST / HTTP/1.1\r\n\r\n").with_body(b"ab").head()


def test_request_chunked_is_written_as_one_chunk():
    request = parse_request(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"x" * 17)
    assert request.render().endswith(b"\r\n\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n")
    assert request.with_body(b"").render().endswith(b"\r\n\r\n0\r\n\r\n")


def test_request_with_header_none_removes_every_line_of_it():
    assert parse_request(HEAD).with_header(b"x-DUP", None).get(b"X-Dup") is None


def test_request_line_with_blanks_in_target_kept():
    request = parse_request(b"GET /a b HTTP/1.1\r\n\r\n")
    assert (request.target, request.version) == (b"/a b", b"HTTP/1.1")


def test_request_folded_header_is_one_field():
    request = parse_request(b"GET / HTTP/1.1\r\nX: a\r\n b\r\nY: c\r\n\r\n")
    assert [f.name for f in request.fields] == [b"X", b"Y"]


@pytest.mark.parametrize("head", [b"", b"\r\n", b"GET\r\n\r\n"])
def test_request_without_request_line_refused(head: bytes):
    with pytest.raises(ValueError, match="not a request line"):
        parse_request(head)


@pytest.mark.parametrize("head", [b"", b"ICY 200 OK\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_response_without_status_line_refused(head: bytes):
    with pytest.raises(ValueError, match="not a status line"):
        parse_response(head)


def test_response_parts():
    response = parse_response(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n", b"body")
    assert (response.status, response.reason, response.get(b"a")) == (404, b"Not Found", b"b")
    assert response.render() == b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nbody"


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin(scheme="http", host="a", port=80), "http://a"),
        (Origin(scheme="https", host="a", port=80), "https://a:80"),
        (Origin(scheme="https", host="::1", port=443), "https://[::1]"),
    ],
)
def test_origin_text_leaves_out_implied_port(origin: Origin, text: str):
    assert str(origin) == text


def test_request_is_immutable_value():
    a = parse_request(HEAD, b"abc")
    assert a == parse_request(HEAD, b"abc")
    assert a.with_target(b"/x").target == b"/x"
    assert isinstance(a, Request)
    assert a.target == b"/a%20b?x=1&x=2"

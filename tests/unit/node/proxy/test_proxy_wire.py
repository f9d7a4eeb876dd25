import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastci.node.proxy.wire import (
    CHUNKED,
    UNTIL_CLOSE,
    BadMessage,
    ChunkedBody,
    LengthBody,
    RequestHead,
    ResponseHead,
    head_end,
)

LIMIT = 1 << 20


def request(*lines: bytes, first: bytes = b"GET http://a.test/ HTTP/1.1") -> RequestHead:
    return RequestHead(b"\r\n".join([first, *lines, b"", b""]))


def response(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET") -> ResponseHead:
    return ResponseHead(b"\r\n".join([first, *lines, b"", b""]), method)


# where heads end


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", -1),
        (b"GET / HTTP/1.1\r\nA: b\r\n", -1),
        (b"GET / HTTP/1.1\r\n\r\nrest\r\n\r\n", 18),
        (b"GET / HTTP/1.1\n\nrest\r\n\r\n", 16),
        (b"GET / HTTP/1.1\nA: b\n\r\nrest", 22),
        (b"GET / HTTP/1.1\r\nA: b\n\r\nrest\r\n\r\n", 23),
        (b"GET / HTTP/1.1\r\nA: b\n\r\n\r\nrest", 23),
        (b"GET / HTTP/1.1\n\n\r\n", 16),
    ],
)
def test_head_end_found_behind_the_first_empty_line(data: bytes, end: int):
    assert head_end(data) == end


# requests


def test_request_head_tells_what_matters():
    head = request(
        b"host: a.test:80 ", b"CONTENT-LENGTH:5", b"x-fast-test: t.py::a b ", first=b"POST /x y HTTP/1.1"
    )
    assert (head.method, head.target, head.host, head.length) == (b"POST", b"/x y", b"a.test:80", 5)
    assert (head.test, head.keep_alive) == (b"t.py::a b", True)


@pytest.mark.parametrize(
    ("first", "lines", "keep_alive"),
    [
        (b"GET / HTTP/1.1", [], True),
        (b"GET / HTTP/1.1", [b"Connection: TE, Close"], False),
        (b"GET / HTTP/1.1", [b"Connection: Upgrade"], True),
        (b"GET / HTTP/1.0", [], False),
        (b"GET / HTTP/1.0", [b"Connection: Keep-Alive"], True),
        (b"GET / HTTP/1.0", [b"Connection: close"], False),
    ],
)
def test_request_keep_alive(first: bytes, lines: list[bytes], keep_alive: bool):
    assert request(*lines, first=first).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("lines", "length"),
    [
        ([], 0),
        ([b"Content-Length: 0"], 0),
        ([b"Content-Length: 7", b"content-length: 7"], 7),
        ([b"Content-Length: 7, 7"], 7),
        ([b"Transfer-Encoding: Chunked"], CHUNKED),
        ([b"Transfer-Encoding: gzip, chunked"], CHUNKED),
        ([b"Transfer-Encoding: chunked", b"Content-Length: 7"], CHUNKED),
        ([b"X-Content-Length: 7"], 0),
    ],
)
def test_request_framing(lines: list[bytes], length: int):
    assert request(*lines).length == length


@pytest.mark.parametrize(
    ("first", "lines", "status"),
    [
        (b"GET /", [], 400),
        (b"GET", [], 400),
        (b"G\xc3T / HTTP/1.1", [], 400),
        (b" / HTTP/1.1", [], 400),
        (b"GET / HTTP/3.0", [], 505),
        (b"GET / HTTP/1.1", [b"Content-Length: x"], 400),
        (b"GET / HTTP/1.1", [b"Content-Length: +1"], 400),
        (b"GET / HTTP/1.1", [b"Content-Length: " + b"9" * 30], 400),
        (b"GET / HTTP/1.1", [b"Content-Length: 1", b"Content-Length: 2"], 400),
        (b"GET / HTTP/1.1", [b"Transfer-Encoding: gzip"], 501),
    ],
)
def test_request_that_makes_no_sense_refused(first: bytes, lines: list[bytes], status: int):
    with pytest.raises(BadMessage) as raised:
        request(*lines, first=first)
    assert raised.value.status == status


def test_request_forwarded_without_own_lines_even_folded_ones():
    raw = (
        b"GET http://u@a.test/x HTTP/1.1\r\nHost: a.test\r\nPROXY-Authorization: Basic\r\n abc\r\nA:  b \r\n"
        b"X-Fast-Test: 1\r\nProxy-Connection: close\r\nX-Proxy-Connection: stays\r\n\r\n"
    )
    expected = b"GET /x HTTP/1.1\r\nHost: a.test\r\nA:  b \r\nX-Proxy-Connection: stays\r\n\r\n"
    assert RequestHead(raw).forwarded(b"/x", b"a.test") == expected


def test_request_inside_a_tunnel_loses_only_the_name_of_the_test():
    raw = b"GET / HTTP/1.1\r\nX-Fast-Test: 1\r\nProxy-Connection: close\r\n\r\n"
    assert RequestHead(raw).forwarded_inside() == b"GET / HTTP/1.1\r\nProxy-Connection: close\r\n\r\n"


# responses


@pytest.mark.parametrize(
    ("first", "lines", "method", "length", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK", [b"Content-Length: 3"], b"GET", 3, True),
        (b"HTTP/1.1 200", [b"Content-Length: 3"], b"GET", 3, True),
        (b"HTTP/1.1 200 OK", [b"Content-Length: 3"], b"HEAD", 0, True),
        (b"HTTP/1.1 204 No", [b"Content-Length: 3"], b"GET", 0, True),
        (b"HTTP/1.1 304 No", [b"Transfer-Encoding: chunked"], b"GET", 0, True),
        (b"HTTP/1.1 200 OK", [b"Content-Length: 3", b"Transfer-Encoding: chunked"], b"GET", CHUNKED, True),
        (b"HTTP/1.1 200 OK", [], b"GET", UNTIL_CLOSE, False),
        (b"HTTP/1.1 200 OK", [b"Content-Length: 3", b"Content-Length: 4"], b"GET", UNTIL_CLOSE, False),
        (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: gzip"], b"GET", UNTIL_CLOSE, False),
        (b"HTTP/1.1 200 OK", [b"Content-Length: x", b"Transfer-Encoding: chunked"], b"GET", CHUNKED, False),
        (b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked", b"Content-Length: x"], b"GET", CHUNKED, False),
        (b"HTTP/1.0 200 OK", [b"Content-Length: 3"], b"GET", 3, False),
        (b"HTTP/1.0 200 OK", [b"Content-Length: 3", b"Connection: keep-alive"], b"GET", 3, True),
        (b"HTTP/1.1 200 OK", [b"Content-Length: 3", b"Connection: close"], b"GET", 3, False),
    ],
)
def test_response_framing(first: bytes, lines: list[bytes], method: bytes, length: int, keep_alive: bool):
    head = response(*lines, first=first, method=method)
    assert (head.length, head.keep_alive) == (length, keep_alive)


@pytest.mark.parametrize(
    "first", [b"", b"200 OK", b"HTTP/2 200", b"HTTP/1.1 20", b"HTTP/1.1 2000 OK", b"SSH-2.0"]
)
def test_response_that_is_none_refused(first: bytes):
    with pytest.raises(BadMessage):
        response(first=first)


# bodies


pieces = st.lists(st.binary(min_size=1, max_size=50), max_size=6)


def feed_in_parts(body: ChunkedBody | LengthBody, data: bytes, cuts: list[int]) -> int:
    """Feed `data` cut at these places; how much of it the body took."""
    marks = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for start, stop in itertools.pairwise(marks):
        taken = body.feed(data[start:stop], 0)
        if taken < stop - start or body.done:
            return start + taken
    return len(data)


@given(pieces, st.lists(st.integers(0, 400), max_size=8), st.sampled_from([b"\r\n", b"\n"]))
def test_chunked_body_cut_anywhere_same_content(chunks: list[bytes], cuts: list[int], end: bytes):
    coded = (
        b"".join(b"%x ;a=b%s%s%s" % (len(c), end, c, end) for c in chunks) + b"0" + end + b"T: 1" + end + end
    )
    body = ChunkedBody(LIMIT)
    assert feed_in_parts(body, coded + b"GET / next", cuts) == len(coded)
    assert body.done
    assert body.content() == b"".join(chunks)


@given(st.binary(max_size=60), st.binary(max_size=9), st.lists(st.integers(0, 80), max_size=8))
def test_length_body_cut_anywhere_same_content(content: bytes, more: bytes, cuts: list[int]):
    body = LengthBody(len(content), LIMIT)
    if content:
        assert feed_in_parts(body, content + more, cuts) == len(content)
    assert body.done
    assert body.content() == content


@given(st.binary(max_size=100), st.integers(0, 100))
def test_body_above_the_limit_truncated(content: bytes, limit: int):
    body = LengthBody(UNTIL_CLOSE, limit)
    for at in range(len(content)):
        body.feed(content[at : at + 1], 0)
    assert body.content() == content[:limit]
    assert body.truncated is (len(content) > limit)
    assert not body.done


@pytest.mark.parametrize("coded", [b"x\r\n", b"\r\n", b"-1\r\n", b"5\r\nhelloworld\r\n", b"1" * 17 + b"\r\n"])
def test_chunked_body_that_makes_no_sense_refused(coded: bytes):
    with pytest.raises(BadMessage):
        ChunkedBody(LIMIT).feed(coded, 0)


@pytest.mark.parametrize("coded", [b"1;" + b"a" * 300_000, b"0\r\n" + b"T: 1\r\n" * 100_000])
def test_chunked_body_endless_lines_refused(coded: bytes):
    with pytest.raises(BadMessage):
        ChunkedBody(LIMIT).feed(coded, 0)


@given(st.binary(max_size=200))
def test_any_bytes_understood_or_refused_never_worse(data: bytes):
    for first in (b"GET http://a/ HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n", b""):
        raw = first + data
        end = head_end(raw + b"\r\n\r\n")
        for make in (RequestHead, lambda head: ResponseHead(head, b"GET")):
            try:
                body = make((raw + b"\r\n\r\n")[:end]).body(10)
                if body:
                    body.feed(data, 0)
            except BadMessage:
                pass

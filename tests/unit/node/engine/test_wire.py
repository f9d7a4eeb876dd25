"""Reading responses: framing, and what real servers get wrong."""

import pytest

from fastci.node.engine.wire import NotHttp, ResponseReader

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: 1\r\n\r\n"
)


def read(data: bytes, *, method: bytes = b"GET", limit: int = 1000, step: int = 0) -> ResponseReader:
    """Feed in pieces of `step` bytes (0: at once); then the peer closes unless the response has ended."""
    reader = ResponseReader(method=method, limit=limit)
    pieces = [data[i : i + step] for i in range(0, len(data), step)] if step else [data]
    if not any(reader.feed(piece) for piece in pieces):
        reader.finish()
    return reader


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7, 50])
def test_length_body_in_any_pieces_is_read_whole(step: int):
    reader = read(PLAIN, step=step)
    assert reader.response().body == b"hello"
    assert reader.response().status == 200
    assert reader.complete
    assert reader.reusable


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7, 50])
def test_chunked_body_in_any_pieces_is_joined(step: int):
    reader = read(CHUNKED, step=step)
    assert reader.response().body == b"hello, world"
    assert reader.complete
    assert reader.reusable


def test_head_bytes_are_kept_exactly():
    head = b"HTTP/1.1 200 Fine \xff\r\nx-ODD :  a\x00b\xfe \r\nFolded: a\r\n  b\r\nContent-Length: 0\r\n\r\n"
    response = read(head).response()
    assert b"".join(f.raw for f in response.fields) == head.partition(b"\r\n")[2][:-2]
    assert response.reason == b"Fine \xff"


def test_line_ends_without_carriage_return_are_read():
    reader = read(b"HTTP/1.1 404 Not Found\nContent-Length: 3\n\nabc")
    assert (reader.response().status, reader.response().body) == (404, b"abc")


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_body_ends_at_the_head(status: int):
    reader = read(b"HTTP/1.1 %d X\r\nContent-Length: 99\r\n\r\n" % status)
    assert reader.response().body == b""
    assert reader.reusable


def test_head_request_ends_at_the_head_whatever_length_is_said():
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", method=b"HEAD")
    assert reader.response().body == b""
    assert reader.reusable


def test_interim_responses_are_passed_over():
    reader = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + PLAIN, step=9)
    assert reader.response().body == b"hello"


def test_body_without_length_ends_when_the_peer_closes():
    reader = read(b"HTTP/1.1 200 OK\r\n\r\nab", step=4)
    assert reader.response().body == b"ab"
    assert reader.complete
    assert not reader.reusable


def test_length_too_long_gives_what_came():
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc")
    assert reader.response().body == b"abc"
    assert not reader.complete
    assert not reader.reusable


def test_length_too_short_gives_the_rest_as_well():
    reader = read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")
    assert reader.response().body == b"abcdef"
    assert not reader.reusable


def test_second_answer_behind_the_first_is_left_out_and_the_connection_given_up():
    reader = read(PLAIN + PLAIN)
    assert reader.response().body == b"hello"
    assert not reader.reusable


def test_body_above_the_limit_is_cut_there():
    for data in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + b"x" * 50,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 50,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50,
    ):
        reader = ResponseReader(method=b"GET", limit=20)
        assert reader.feed(data)
        assert reader.response().body == b"x" * 20
        assert not reader.reusable


def test_broken_chunk_size_gives_what_came():
    reader = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\nrest")
    assert reader.response().body == b"abczz\r\nrest"
    assert not reader.reusable


def test_chunked_body_that_breaks_off_gives_what_came():
    reader = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
    assert reader.response().body == b"hel"
    assert not reader.complete


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_connection_header_decides_whether_it_is_reused(head: bytes, reusable: bool):
    assert read(head + b"Content-Length: 0\r\n\r\n").reusable is reusable


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", b"hello", b"HTTP/1.1 abc\r\n\r\n", b"<html>"])
def test_answer_that_is_not_http_is_refused(data: bytes):
    with pytest.raises(NotHttp):
        read(data)


def test_head_that_never_ends_is_refused():
    reader = ResponseReader(method=b"GET", limit=10)
    assert not reader.feed(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 250_000)
    with pytest.raises(NotHttp):
        reader.feed(b"y" * 50_000)

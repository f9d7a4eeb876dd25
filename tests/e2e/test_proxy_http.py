"""The proxy between real sockets: what an origin gets, what a client gets, what is recorded."""

import base64
import contextlib
import json
import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from proxy_rig import (
    TIMEOUT,
    Origin,
    Rig,
    answering,
    is_closed,
    ok,
    read_all,
    read_exactly,
    read_head,
    read_message,
    read_some,
    wait_for,
)

from fastci.node.proxy import Patience
from fastci.node.store import Store

Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a rig or an origin, ended with the test."""
    with ExitStack() as stack:

        def enter(what: Any = None, **options: Any) -> Any:
            made = Rig(tmp_path / "store", **options) if what is None else Origin(what, **options)
            return stack.enter_context(made)

        yield enter


def get(origin: Origin, path: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> bytes:
    first = method + b" http://" + origin.authority + path + b" HTTP/1.1"
    return b"\r\n".join([first, b"Host: " + origin.authority, *lines, b"", b""])


CLOSE = b"Connection: close"


# bytes


def test_request_forwarded_same_bytes_but_for_what_is_said_to_the_proxy(start: Start):
    seen: list[bytes] = []
    origin, proxy = start(answering(ok(), seen=seen)), start()
    lines = [b"hOsT:  " + origin.authority, b"X-Dup: 1", b"x-dup:2", b"X-Dup: 1", b"Cookie: a=b;c=d ",
             b"Empty:", b"Content-Length: 3", b"Connection: close"]  # fmt: skip
    said = [
        b"Proxy-Connection: keep-alive",
        b"X-Fast-Test: tests/a.py::b[c]",
        b"proxy-authorization: Basic eA==",
    ]
    target = b"/a%20b/../c;d?x=1&x=2&y=%zz"
    first = b"PUT http://" + origin.authority + target + b" HTTP/1.1"
    answer = proxy.ask(b"\r\n".join([first, *lines[:3], *said, *lines[3:], b"", b"a\x00b"]))
    assert answer == ok()
    expected = b"\r\n".join([b"PUT " + target + b" HTTP/1.1", *lines, b"", b""])
    assert seen == [expected + b"a\x00b"]
    (baseline,) = proxy.baselines()
    assert (baseline.request.head(), baseline.request.body) == (expected, b"a\x00b")
    assert baseline.test == "tests/a.py::b[c]"
    assert (baseline.origin.scheme, baseline.origin.host, baseline.origin.port) == (
        "http",
        "127.0.0.1",
        origin.port,
    )
    assert not baseline.truncated


def test_response_relayed_same_bytes(start: Start):
    answer = b"HTTP/1.1 299 So  so\r\nset-cookie: a=1\r\nSet-Cookie:b=2\r\nX: \xff\r\n"
    answer += b"Content-Length: 2\r\n\r\n\x00\xff"
    origin, proxy = start(answering(answer)), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_exactly(client, len(answer)) == answer
    (baseline,) = proxy.baselines()
    assert baseline.response.render() == answer
    assert 0 < baseline.duration < TIMEOUT


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (b"http://AUTHORITY", b"GET / HTTP/1.1"),
        (b"HTTP://user:secret@AUTHORITY?a=b", b"GET /?a=b HTTP/1.1"),
        (b"http://AUTHORITY/a#part", b"GET /a HTTP/1.1"),
        (b"http://AUTHORITY/a b", b"GET /a b HTTP/1.1"),
    ],
)
def test_request_absolute_target_becomes_origin_form(start: Start, target: bytes, line: bytes):
    seen: list[bytes] = []
    origin, proxy = start(answering(ok(), seen=seen)), start()
    target = target.replace(b"AUTHORITY", origin.authority)
    assert proxy.ask(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").endswith(
        b"hello"
    )
    assert seen[0].split(b"\r\n")[0] == line


def test_request_options_of_the_whole_server_asked_with_a_star(start: Start):
    seen: list[bytes] = []
    origin, proxy = start(answering(ok(), seen=seen)), start()
    proxy.ask(b"OPTIONS http://" + origin.authority + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert seen[0].startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_request_with_own_host_header_keeps_it_and_without_gets_one(start: Start):
    seen: list[bytes] = []
    origin, proxy = start(answering(ok(), seen=seen)), start()
    first = b"GET http://" + origin.authority + b"/ HTTP/1.1\r\n"
    proxy.ask(first + b"Host: shop.test\r\nConnection: close\r\n\r\n")
    proxy.ask(first + b"Connection: close\r\n\r\n")
    assert b"\r\nHost: shop.test\r\n" in seen[0]
    assert b"\r\nHost: " + origin.authority + b"\r\n" in seen[1]


# bodies


def test_chunked_response_relayed_as_it_came_and_recorded_decoded(start: Start):
    body = b"5;ext=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    origin, proxy = start(answering(head + body)), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_exactly(client, len(head + body)) == head + body
        client.sendall(get(origin))
        assert read_exactly(client, len(head + body)) == head + body
    assert [b.response.body for b in proxy.baselines()] == [b"hello0123456789"] * 2
    assert origin.connections == 1


def test_response_that_comes_byte_by_byte_whole(start: Start):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    def handle(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while read_head(connection):
            for byte in answer:
                connection.sendall(bytes([byte]))

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        for _ in range(3):
            client.sendall(get(origin))
            assert read_message(client) == answer
    assert [b.response.body for b in proxy.baselines()] == [b"abc"] * 3


def test_chunked_response_streamed_before_it_ends(start: Start):
    go_on = threading.Event()

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert go_on.wait(TIMEOUT)
        connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")
        read_head(connection)

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_some(client, b"first\r\n").endswith(b"first\r\n")
        assert proxy.baselines() == []
        go_on.set()
        assert read_some(client, b"0\r\n\r\n") == b"4\r\nlast\r\n0\r\n\r\n"
        assert len(proxy.baselines()) == 1


def test_chunked_request_with_trailers_forwarded_as_it_came(start: Start):
    seen: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        head = read_head(connection)
        seen.append(head + read_some(connection, b"T: 1\r\n\r\n"))
        connection.sendall(ok())

    origin, proxy = start(handle), start()
    body = b"3\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
    with proxy.connect() as client:
        client.sendall(get(origin, b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        for byte in body:
            client.sendall(bytes([byte]))
        assert read_message(client) == ok()
    assert seen[0].endswith(b"\r\n\r\n" + body)
    assert proxy.baselines()[0].request.body == b"abcde"


def test_response_without_length_ends_with_the_connection(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    origin, proxy = start(handle), start()
    assert proxy.ask(get(origin)) == b"HTTP/1.0 200 OK\r\n\r\nall of it"
    assert proxy.baselines()[0].response.body == b"all of it"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_response_without_body_does_not_wait_for_one(start: Start, status: bytes):
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 10\r\nETag: x\r\n\r\n"
    origin, proxy = start(answering(answer, ok())), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_head(client) == answer
        client.sendall(get(origin))
        assert read_message(client) == ok()
    assert origin.connections == 1


def test_head_request_answered_without_body(start: Start):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    origin, proxy = start(answering(answer, ok())), start()
    with proxy.connect() as client:
        client.sendall(get(origin, method=b"HEAD"))
        assert read_head(client) == answer
        client.sendall(get(origin))
        assert read_message(client) == ok()
    assert [b.response.body for b in proxy.baselines()] == [b"", b"hello"]


def test_expect_continue_interim_response_relayed_then_body_sent(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = read_exactly(connection, 5)
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok(body))

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin, b"/", b"Expect: 100-continue", b"Content-Length: 5", method=b"POST"))
        assert read_head(client) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"12345")
        assert read_head(client).startswith(b"HTTP/1.1 103 Early Hints\r\n")
        assert read_message(client) == ok(b"12345")
    (baseline,) = proxy.baselines()
    assert (baseline.response.status, baseline.request.body) == (200, b"12345")


def test_early_answer_reaches_client_that_still_sends(start: Start):
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(refusal)

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin, b"/", b"Expect: 100-continue", b"Content-Length: 500000", method=b"POST"))
        assert read_head(client) == refusal
        assert is_closed(client)
    (baseline,) = proxy.baselines()
    assert baseline.truncated


def test_early_answer_without_length_reaches_client_that_still_sends(start: Start):
    refusal = b"HTTP/1.1 413 Too Large\r\n\r\nno more than 1 MB"

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(refusal)
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        # A proxy that closes at once would break this off, and the client would never read the answer.
        client.sendall(get(origin, b"/", b"Content-Length: 9000000", method=b"POST") + bytes(8_000_000))
        assert read_all(client) == refusal


def test_early_answer_on_open_connection_request_goes_on(start: Start):
    bodies: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(ok(b"early"))
        bodies.append(read_exactly(connection, 5))
        read_head(connection)
        connection.sendall(ok(b"next"))

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin, b"/", b"Content-Length: 5", method=b"POST"))
        assert read_message(client) == ok(b"early")
        client.sendall(b"12345" + get(origin))
        assert read_message(client) == ok(b"next")
    assert bodies == [b"12345"]


def test_bodies_above_the_limit_relayed_whole_recorded_in_part(start: Start):
    body = os.urandom(200_000)
    origin, proxy = start(answering(ok(body))), start(FAST_MAX_BODY="1000")
    with proxy.connect() as client:
        client.sendall(get(origin, b"/", b"Content-Length: 200000", method=b"POST") + body)
        assert read_message(client) == ok(body)
        client.sendall(get(origin, b"/", b"Content-Length: 3", method=b"POST") + b"abc")
        read_message(client)
    first, second = proxy.baselines()
    assert (first.request.body, first.response.body, first.truncated) == (body[:1000], body[:1000], True)
    assert (second.request.body, second.truncated) == (b"abc", True)


def test_huge_response_to_slow_client_memory_stays_bounded(start: Start):
    size, sent = 192 << 20, [0]

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        piece = bytes(1 << 20)
        while sent[0] < size:
            connection.sendall(piece)
            sent[0] += len(piece)

    origin, proxy = start(handle), start(FAST_MAX_BODY="100000")
    with proxy.connect() as client:
        client.sendall(get(origin))
        head = read_head(client)
        assert head.startswith(b"HTTP/1.1 200 OK")
        read_exactly(client, 1 << 20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Nothing is read here, so all that is under way must be held up at the origin.
        taken = 0
        while taken != sent[0]:
            taken = sent[0]
            threading.Event().wait(0.3)
        assert taken < size // 2
        rest, left = bytearray(1 << 20), size - (1 << 20)
        while left and (count := client.recv_into(rest)):
            left -= count
        assert left == 0
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 32 * 1024
    wait_for(lambda: len(proxy.baselines()) == 1, "recorded")
    assert proxy.baselines()[0].truncated


def test_endless_response_streams_with_bounded_memory_until_the_client_leaves(start: Start):
    left = threading.Event()

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(piece)
        left.set()

    origin, proxy = start(handle), start(FAST_MAX_BODY="100000")
    with proxy.connect() as client:
        client.sendall(get(origin))
        read_exactly(client, 8 << 20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        taken, left_over = bytearray(1 << 20), 200 << 20
        while left_over > 0:
            left_over -= client.recv_into(taken)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    assert left.wait(TIMEOUT)
    assert proxy.seen() == {("client-left", "127.0.0.1"): 1}
    assert proxy.baselines() == []


def test_pipelined_requests_of_client_that_does_not_read_held_back(start: Start):
    body, asked = bytes(4 << 20), [0]

    def handle(connection: socket.socket) -> None:
        while read_head(connection):
            asked[0] += 1
            connection.sendall(ok(body))

    origin, proxy = start(handle), start(FAST_MAX_BODY="1000")
    with proxy.connect() as client:
        client.sendall(get(origin) * 20)
        before = -1
        while before != asked[0]:
            before = asked[0]
            threading.Event().wait(0.3)
        assert before < 10
        for _ in range(20):
            assert len(read_message(client)) == len(ok(body))


def test_huge_request_to_slow_origin_held_up_at_the_client(start: Start):
    go_on = threading.Event()
    size = 64 << 20

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        assert go_on.wait(TIMEOUT)
        left = size
        while left:
            left -= len(connection.recv(min(left, 1 << 20)))
        connection.sendall(ok())

    origin, proxy = start(handle), start(FAST_MAX_BODY="100000")
    with proxy.connect() as client:
        client.sendall(get(origin, b"/", b"Content-Length: %d" % size, method=b"POST"))
        client.settimeout(1.0)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += client.send(bytes(1 << 16))
        assert sent < size // 2
        client.settimeout(TIMEOUT)
        go_on.set()
        client.sendall(bytes(size - sent))
        assert read_message(client) == ok()


# connections


def test_keep_alive_one_connection_on_both_sides(start: Start):
    origin, proxy = start(answering(ok())), start()
    with proxy.connect() as client:
        for _ in range(5):
            client.sendall(get(origin))
            assert read_message(client) == ok()
    assert origin.connections == 1
    assert [b.connection for b in proxy.baselines()] == [1] * 5


def test_new_clients_one_after_the_other_share_a_connection_for_safe_requests(start: Start):
    origin, proxy = start(answering(ok())), start()
    for method in (b"GET", b"GET", b"GET", b"POST"):
        with proxy.connect() as client:
            client.sendall(get(origin, b"/", b"Content-Length: 0", method=method))
            assert read_message(client) == ok()
    assert origin.connections == 2
    assert [b.connection for b in proxy.baselines()] == [1, 2, 3, 4]


def test_pipelined_requests_answered_in_order(start: Start):
    def handle(connection: socket.socket) -> None:
        while head := read_head(connection):
            connection.sendall(ok(head.split(b" ")[1]))

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(b"".join(get(origin, b"/%d" % n) for n in range(50)))
        for n in range(50):
            assert read_message(client) == ok(b"/%d" % n)
    assert [b.request.target for b in proxy.baselines()] == [b"/%d" % n for n in range(50)]


def test_requests_to_two_origins_on_one_connection(start: Start):
    one, two, proxy = start(answering(ok(b"one"))), start(answering(ok(b"two"))), start()
    with proxy.connect() as client:
        for origin, body in ((one, b"one"), (two, b"two"), (one, b"one")):
            client.sendall(get(origin))
            assert read_message(client) == ok(body)


def test_client_that_half_closes_still_gets_its_answer(start: Start):
    origin, proxy = start(answering(ok())), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == ok()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b"GET http://ORIGIN/ HTTP/1.1\r\nHost: x", b"HTTP/1.1 400 "),
        (b"POST http://ORIGIN/ HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel", b"HTTP/1.1 400 "),
        (b"POST http://ORIGIN/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"HTTP/1.1 400 "),
        (b"GET http://ORIGIN/ HTTP/1.1\r\n\r\n", b"HTTP/1.1 502 "),
        (b"CONNECT ORIGIN HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 "),
        (b"CONNECT ORIGIN HTTP/1.1\r\n\r\nGET / HT", b"HTTP/1.1 200 "),
    ],
)
def test_clients_that_half_close_anywhere_get_an_end_and_leave_nothing_open(
    start: Start, said: bytes, answer: bytes
):
    origin, proxy = start(read_all), start()
    said = said.replace(b"ORIGIN", origin.authority)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (no Path is wanted)
    with ExitStack() as stack:
        clients = [stack.enter_context(proxy.connect()) for _ in range(20)]
        for client in clients:
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
        for client in clients:
            told = read_all(client)
            assert told.startswith(answer)
            assert told or not answer
    wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before + 3, "everything closed")  # noqa: PTH208


def test_http_1_0_client_and_origin(start: Start):
    seen: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        seen.append(read_head(connection))
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin, proxy = start(handle), start()
    request = b"GET http://" + origin.authority + b"/ HTTP/1.0\r\nHost: a\r\n\r\n"
    assert proxy.ask(request).endswith(b"\r\n\r\nok")
    assert seen[0].startswith(b"GET / HTTP/1.0\r\n")


def test_connection_the_origin_closed_meanwhile_replaced(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(ok())

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        for _ in range(3):
            client.sendall(get(origin))
            assert read_message(client) == ok()
    assert origin.connections == 3


def test_connection_the_origin_closed_client_that_is_idle_sees_it_one_that_began_to_ask_is_served(
    start: Start,
):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(ok())

    origin, proxy = start(handle), start(patience=Patience(idle_end=0.5))
    with proxy.connect() as asking, proxy.connect() as idle:
        for client in (asking, idle):
            client.sendall(get(origin))
            assert read_message(client) == ok()
        asking.sendall(get(origin)[:20])
        assert is_closed(idle)
        asking.sendall(get(origin)[20:])
        assert read_message(asking) == ok()


def test_connection_closed_on_second_request_get_repeated_post_left_to_the_client(start: Start):
    methods: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(ok())
        methods.append(read_head(connection).split(b" ")[0])

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_message(client) == ok()
        client.sendall(get(origin))
        assert read_message(client) == ok()
        client.sendall(get(origin, b"/", b"Content-Length: 0", method=b"POST"))
        assert is_closed(client)
    assert methods == [b"GET", b"POST"]
    assert len(proxy.baselines()) == 2


def test_bytes_the_origin_sends_unasked_never_reach_the_client(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(ok(b"asked"))
        unasked.wait(TIMEOUT)
        connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        assert is_closed(connection)
        closed.set()

    unasked, closed = threading.Event(), threading.Event()
    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_message(client) == ok(b"asked")
        unasked.set()
        assert closed.wait(TIMEOUT)
        client.sendall(get(origin))
        assert read_message(client) == ok(b"asked")


def test_upgrade_becomes_a_tunnel_and_is_counted(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05first")
        while data := connection.recv(1000):
            connection.sendall(data.upper())
        connection.sendall(b"bye")

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin, b"/", b"Upgrade: websocket", b"Connection: Upgrade"))
        assert read_head(client).startswith(b"HTTP/1.1 101 ")
        assert read_exactly(client, 7) == b"\x81\x05first"
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_exactly(client, 18) == b"GET / HTTP/1.1\r\n\r\n"
        client.sendall(b"more")
        assert read_exactly(client, 4) == b"MORE"
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"bye"
    assert proxy.seen() == {("websocket", "127.0.0.1"): 1}
    assert proxy.baselines() == []


def test_thousand_idle_connections_hurt_nobody(start: Start):
    origin, proxy = start(answering(ok())), start()
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(proxy.connect())
        assert proxy.ask(get(origin, b"/", CLOSE)) == ok()


# faults


def test_origin_that_lies_short_client_sees_the_break(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

    origin, proxy = start(handle), start()
    assert proxy.ask(get(origin)).endswith(b"\r\n\r\nonly this")
    assert proxy.baselines() == []
    assert proxy.seen() == {("upstream-failed", "127.0.0.1"): 1}


def test_origin_that_resets_in_the_middle_client_sees_no_good_end(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nthe end is nowhere")
        assert go_on.wait(TIMEOUT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    go_on = threading.Event()
    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_some(client, b"nowhere").endswith(b"nowhere")
        go_on.set()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert proxy.baselines() == []


def test_origin_that_lies_long_surplus_relayed_not_recorded_and_connection_shared_with_nobody(start: Start):
    answer = ok(b"hello") + b"surplus"
    origin, proxy = start(answering(answer)), start()
    with proxy.connect() as client:
        for _ in range(2):
            client.sendall(get(origin))
            assert read_exactly(client, len(answer)) == answer
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_exactly(client, len(answer)) == answer
    assert origin.connections == 2
    assert [b.response.body for b in proxy.baselines()] == [b"hello"] * 3


def test_origin_that_breaks_chunked_coding_client_sees_the_break(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n")
        read_all(connection)

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_some(client, b"nonsense\r\n").endswith(b"hello\r\nnonsense\r\n")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    assert proxy.baselines() == []
    assert proxy.seen() == {("upstream-failed", "127.0.0.1"): 1}


def test_origin_refuses_502_with_one_line(start: Start):
    proxy = start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = proxy.ask(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % port)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"\r\nConnection: close" in head
    assert body == b"FAST proxy: no connection to 127.0.0.1:%d: Connection refused\n" % port
    assert proxy.seen() == {("upstream-failed", "127.0.0.1"): 1}


def test_origin_name_unknown_502(start: Start):
    answer = start().ask(b"GET http://no-such-host.invalid/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"the name no-such-host.invalid cannot be resolved" in answer


def test_origin_closes_without_answer_502(start: Start):
    origin, proxy = start(read_head), start()
    answer = proxy.ask(get(origin))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"closed the connection before its answer was complete" in answer


def test_origin_speaks_no_http_502(start: Start):
    origin, proxy = start(answering(b"220 mail ready\r\n\r\n")), start()
    assert proxy.ask(get(origin)).startswith(b"HTTP/1.1 502 ")


def test_origin_keeps_silent_504(start: Start):
    origin, proxy = start(read_all), start(patience=Patience(response=0.5))
    answer = proxy.ask(get(origin))
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"no answer from the target within 0.5 s" in answer


def test_origin_that_pauses_in_its_answer_is_waited_for(start: Start):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(ok(b"0123456789")[:-5])
        threading.Event().wait(2.0)
        connection.sendall(b"56789")

    origin, proxy = start(handle), start(patience=Patience(response=0.5))
    with proxy.connect() as client:
        client.sendall(get(origin))
        assert read_message(client) == ok(b"0123456789")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x00\x01\x02\r\n\r\n", b"400"),
        (b"GET http://127.0.0.1:1/ HTTP/2.0\r\n\r\n", b"505"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505"),
        (b"GET ftp://127.0.0.1:1/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://127.0.0.1:99999/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http:///nohost HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT nowhere HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://127.0.0.1:1/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET http://127.0.0.1:1/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET http://127.0.0.1:1/ HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"GET http://127.0.0.1:1/" + b"a" * 300_000, b"431"),
    ],
)
def test_request_that_makes_no_sense_refused_with_a_reason(start: Start, request_bytes: bytes, status: bytes):
    answer = start().ask(request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status + b" ")
    assert b"\r\n\r\nFAST proxy: " in answer


def test_client_that_goes_on_after_a_refusal_parted_from_in_the_end(start: Start):
    with start().connect() as client:
        client.sendall(b"nonsense\r\n\r\nand more")
        assert read_all(client).startswith(b"HTTP/1.1 400 ")

        def broken() -> bool:
            try:
                client.sendall(b"more")
            except OSError:
                return True
            return False

        wait_for(broken, "the connection is gone")


def test_request_chunked_wrongly_refused(start: Start):
    origin, proxy = start(answering(ok())), start()
    head = get(origin, b"/", b"Transfer-Encoding: chunked", method=b"POST")
    assert proxy.ask(head + b"zz\r\n").startswith(b"HTTP/1.1 400 ")


def test_client_leaves_in_the_middle_origin_sees_it_and_it_is_counted(start: Start):
    left = threading.Event()

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        if is_closed(connection):
            left.set()

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(get(origin))
        read_some(client, b"part")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert left.wait(TIMEOUT)
    assert proxy.seen() == {("client-left", "127.0.0.1"): 1}


# who is recorded


def test_host_not_admitted_proxied_not_recorded(start: Start):
    origin, proxy = start(answering(ok())), start(ALLOWED_HOSTS="shop.test *.example.org")
    first = b"GET http://" + origin.authority + b"/ HTTP/1.1\r\nConnection: close\r\n"
    assert proxy.ask(first + b"Host: 127.0.0.1\r\n\r\n") == ok()
    assert proxy.baselines() == []
    for host in (b"SHOP.test:8000", b"a.example.org"):
        assert proxy.ask(first + b"Host: " + host + b"\r\n\r\n") == ok()
    assert len(proxy.baselines()) == 2
    assert proxy.seen() == {("filtered", "127.0.0.1"): 1}


# the node's own pages


def test_health_page_tells_record_and_count(start: Start):
    origin, proxy = start(answering(ok())), start()
    for expected in (0, 1):
        facts = requests.get(f"{proxy.url}/health", timeout=TIMEOUT).json()
        told = {"status": "recording", "record": "rec_0001", "baselines": expected, "requests": expected}
        assert facts.items() >= told.items()
        assert [line[:24] for line in facts["advice"]][:1] == ["no request came to the n"][expected:]
        proxy.ask(get(origin, b"/", CLOSE))


@pytest.mark.parametrize("base", ["http://fast.node", "http://localhost:PORT", "http://127.0.0.1:PORT"])
def test_pages_reached_through_the_proxy_too(start: Start, base: str):
    proxy = start()
    base = base.replace("PORT", str(proxy.port))
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"http": proxy.url}
    assert session.get(f"{base}/health", timeout=TIMEOUT).json()["status"] == "recording"
    assert session.get(f"{base}/ca.pem", timeout=TIMEOUT).content == proxy.authority.certificate_pem
    assert proxy.baselines() == []


def test_pages_on_one_connection_head_and_unknown(start: Start):
    proxy = start()
    with proxy.connect() as client:
        client.sendall(b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"Content-Type: application/json" in read_head(client)
        client.sendall(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_message(client).startswith(b"HTTP/1.1 404 ")
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        body = read_all(client).partition(b"\r\n\r\n")[2]
    assert json.loads(body)["record"] == "rec_0001"


def test_record_page_hands_the_record_out_only_where_that_was_asked_for(start: Start, tmp_path: Path):
    origin = start(answering(ok()))
    closed, open_, locked = (
        start(**variables)
        for variables in (
            {},
            {"FAST_HAND_OUT": "true"},
            {"FAST_HAND_OUT": "true", "FAST_PROXY_AUTH": "me:secret"},
        )
    )
    login = {"Proxy-Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}
    assert b"nothing was recorded yet" in requests.get(f"{open_.url}/record", timeout=TIMEOUT).content
    for proxy in (closed, open_):
        proxy.ask(get(origin, b"/seen", CLOSE))
    proxies = {"http": locked.url.replace("//", "//me:secret@")}
    requests.get(f"{origin.url}/seen", timeout=TIMEOUT, proxies=proxies)
    assert requests.get(f"{closed.url}/record", timeout=TIMEOUT).status_code == 404
    assert requests.get(f"{locked.url}/record", timeout=TIMEOUT).status_code == 404
    for number, (proxy, headers) in enumerate(((open_, {}), (locked, login)), 1):
        taken = requests.get(f"{proxy.url}/record", timeout=TIMEOUT, headers=headers)
        store = Store(tmp_path / "taken")
        store.records_dir.mkdir(parents=True, exist_ok=True)
        store.record_path(f"rec_000{number}").write_bytes(taken.content)
        (baseline,) = store.baselines(store.choose(record_id=f"rec_000{number}"))
        assert baseline.request.target == b"/seen"


def test_request_to_the_proxy_itself_refused(start: Start):
    proxy = start()
    answer = proxy.ask(b"GET http://127.0.0.1:%d/other HTTP/1.1\r\nHost: x\r\n\r\n" % proxy.port)
    assert answer.startswith(b"HTTP/1.1 508 ")
    assert b"is this proxy itself" in answer
    answer = proxy.ask(b"CONNECT localhost:%d HTTP/1.1\r\nHost: x\r\n\r\n" % proxy.port)
    assert answer.startswith(b"HTTP/1.1 508 ")


def test_tls_spoken_to_the_proxy_port_named(start: Start):
    proxy = start()
    answer = proxy.ask(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert b"TLS was spoken to the proxy's port" in answer
    assert ("tls-to-proxy", "") in proxy.seen()

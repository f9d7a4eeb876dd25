"""Hostile clients and hostile targets, for a bounded time: the proxy never fails, hangs or grows."""

import contextlib
import resource
import socket
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy_rig import TIMEOUT, Origin, Rig, read_all, read_message

from fastci.node.proxy import Patience

EXAMPLES = 150
PIECES = [
    *(
        b"GET ",
        b"POST ",
        b"CONNECT ",
        b"HEAD ",
        b"http://AUTHORITY",
        b"https://AUTHORITY",
        b"AUTHORITY",
        b"/",
    ),
    *(b"*", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"\r\n", b"\n", b"\r\n\r\n", b"Host:"),
    *(b"Host: a\r\n", b"Content-Length: 5\r\n", b"Content-Length: 99999999999999999\r\n", b"hello"),
    *(b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b" folded\r\n"),
    *(b"Connection: upgrade\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n"),
    *(b"Expect: 100-continue\r\n", b"X-Fast-Test: \xff\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    *(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"x" * 70_000),
]
ANSWERS = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    *(b"HTTP/1.0 204\r\n", b"HTTP/1.1 304 No\r\n", b"HTTP/1.1 999 \xff\r\n", b"HTTP/9.9 1\r\n"),
]
words = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), min_size=1, max_size=10)
replies = st.lists(st.one_of(st.sampled_from(ANSWERS + PIECES), st.binary(max_size=20)), max_size=8)
valid = st.sampled_from([
    b"GET http://AUTHORITY/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT AUTHORITY HTTP/1.1\r\n\r\n",
    b"POST http://AUTHORITY/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"",
])  # fmt: skip


def test_hostile_bytes_from_both_sides_never_break_the_proxy(tmp_path: Path):
    saying: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.recv(65536)
            for piece in list(saying):
                connection.sendall(piece)

    with Origin(handle) as origin, Rig(tmp_path, patience=Patience(connect=2, response=2, stop=0.5)) as proxy:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(valid, words, replies)
        def fuzz(start: bytes, pieces: list[bytes], answers: list[bytes]) -> None:
            saying[:] = answers
            with proxy.connect() as client:
                with contextlib.suppress(OSError):
                    for piece in [start, *pieces]:
                        client.sendall(piece.replace(b"AUTHORITY", origin.authority))
                    client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    read_all(client)

        fuzz()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        fuzz()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024
        with proxy.connect() as client:
            client.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            assert read_message(client).startswith(b"HTTP/1.1 200 ")


def test_endless_head_refused_before_it_is_kept(tmp_path: Path):
    with Rig(tmp_path) as proxy, proxy.connect() as client:
        client.sendall(b"GET http://a.test/ HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                client.sendall(b"A: " + b"b" * 1000 + b"\r\n")
        client.settimeout(TIMEOUT)
        with contextlib.suppress(ConnectionResetError):
            assert read_all(client).startswith(b"HTTP/1.1 431 ")

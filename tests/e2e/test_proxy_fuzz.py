"""Hostile clients and hostile targets, for a bounded time: the proxy never fails, hangs or grows.

Every run plays the same games (`derandomize`); their number bounds the time.
"""

import contextlib
import resource
import socket
import ssl
import struct
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proxy_rig import TIMEOUT, Origin, Rig, read_all, read_head, read_message, self_signed

from fastci.node.proxy import Patience

EXAMPLES = 300
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
whole = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"",
    ]
)
valid = st.sampled_from([
    b"GET http://AUTHORITY/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT AUTHORITY HTTP/1.1\r\n\r\n",
    b"POST http://AUTHORITY/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"",
])  # fmt: skip


bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def answers_health(proxy: Rig) -> bool:
    with proxy.connect() as client:
        client.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        return read_message(client).startswith(b"HTTP/1.1 200 ")


def test_hostile_bytes_from_both_sides_never_break_the_proxy(tmp_path: Path):
    saying: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.recv(65536)
            for piece in list(saying):
                connection.sendall(piece)

    with Origin(handle) as origin, Rig(tmp_path, patience=Patience(connect=2, response=2, stop=0.5)) as proxy:

        @bounded
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
        assert answers_health(proxy)


def vector(size: int, data: bytes) -> bytes:
    """With its length in front, cut off where that does not fit."""
    return min(len(data), 256**size - 1).to_bytes(size, "big") + data[: 256**size - 1]


NAMES = [
    b"pinned.test",
    b"target.test",
    b"*.target.test",
    b"127.0.0.1",
    b"[::1]",
    b"-",
    b"",
    b"a." * 120 + b"test",
    b"\xff\x00",
]
PROTOCOLS = [b"h2", b"http/1.1", b"http/1.0", b"grpc-exp", b"", b"\x00" * 255]
server_name = st.sampled_from(NAMES).map(
    lambda name: struct.pack(">H", 0) + vector(2, vector(2, b"\x00" + vector(2, name)))
)
alpn = st.lists(st.sampled_from(PROTOCOLS), max_size=4).map(
    lambda listed: struct.pack(">H", 16) + vector(2, vector(2, b"".join(vector(1, one) for one in listed)))
)
any_extension = st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=30)).map(
    lambda pair: struct.pack(">H", pair[0]) + vector(2, pair[1])
)
made_hello = st.lists(st.one_of(server_name, alpn, any_extension), max_size=6).map(
    lambda extensions: b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01\xc0\x2b\xc0\x2f")
    + vector(1, b"\x00") + vector(2, b"".join(extensions))
)  # fmt: skip


def real_hello(name: str, protocols: list[str]) -> bytes:
    """What OpenSSL says first, without the header of its record and of its message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing := ssl.MemoryBIO(), server_hostname=name or None)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()[9:]


openssl = st.builds(
    real_hello,
    st.sampled_from(["target.test", "127.0.0.1", "", "a" * 60 + ".test"]),
    st.lists(st.sampled_from(["h2", "http/1.1"]), max_size=2, unique=True),
)


@st.composite
def hellos(draw: st.DrawFn) -> list[bytes]:
    """A ClientHello in records of any size, cut, with bytes that are wrong, and with something behind it."""
    message = bytearray(b"\x01" + vector(3, draw(st.one_of(made_hello, openssl))))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2)):
        message[at % len(message)] = value
    size = draw(st.sampled_from([1, 7, 100, 16384]))
    records = [
        b"\x16\x03\x01" + vector(2, bytes(message[at : at + size])) for at in range(0, len(message), size)
    ]
    whole = b"".join(records) + draw(st.binary(max_size=20))
    if draw(st.booleans()):
        whole = whole[: draw(st.integers(0, len(whole)))]
    cut = draw(st.integers(0, len(whole)))
    return [whole[:cut], whole[cut:]]


def test_client_hellos_of_every_kind_never_break_the_proxy(tmp_path: Path):
    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.recv(65536)

    patience = Patience(connect=2, response=2, stop=0.5)
    with Origin(handle) as origin, Rig(tmp_path, patience=patience, FAST_TUNNEL_HOSTS="pinned.test") as proxy:

        @bounded
        @given(hellos(), st.booleans())
        def fuzz(pieces: list[bytes], orderly: bool) -> None:
            with proxy.tunnel("127.0.0.1", origin.port) as client:
                with contextlib.suppress(OSError):
                    for piece in pieces:
                        client.sendall(piece)
                    if not orderly:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    read_all(client)

        fuzz()
        assert answers_health(proxy)
        assert {kind for kind, _ in proxy.seen()} >= {"tls-rejected", "http2", "untouched", "tunnel"}


def test_hostile_bytes_inside_tls_never_break_the_proxy(tmp_path: Path):
    saying: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            read_head(connection)
            for piece in list(saying):
                connection.sendall(piece)
            if len(saying) % 2:
                connection.unwrap()  # type: ignore[attr-defined]

    patience = Patience(connect=2, response=2, stop=0.5)
    with (
        Origin(handle, tls=self_signed(tmp_path)) as origin,
        Rig(tmp_path / "store", patience=patience) as proxy,
    ):
        trust = proxy.trust()

        @settings(bounded, max_examples=EXAMPLES // 2)
        @given(
            valid,
            words,
            st.tuples(whole, replies).map(lambda said: [said[0], *said[1]]),
            st.sampled_from(["end", "cut", "reset", "garbage"]),
        )
        def fuzz(start: bytes, pieces: list[bytes], answers: list[bytes], leave: str) -> None:
            saying[:] = answers
            bare = proxy.tunnel("127.0.0.1", origin.port)
            # Not one statement: what is suppressed must not leave the connection open.
            with trust.wrap_socket(bare, server_hostname="target.test") as client:  # noqa: SIM117
                with contextlib.suppress(OSError):
                    for piece in [start.replace(b"http://AUTHORITY", b""), *pieces]:
                        client.sendall(piece.replace(b"AUTHORITY", origin.authority))
                    if leave == "garbage":
                        socket.socket.sendall(client, b"\x17\x03\x03\x00\x05nonce")
                    elif leave == "reset":
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    if leave == "end":
                        client.settimeout(0.2)
                        client.unwrap()
                    else:
                        socket.socket.shutdown(client, socket.SHUT_WR)
                        read_all(client)

        fuzz()
        assert answers_health(proxy)
        assert len(proxy.baselines()) > 10


def test_endless_head_refused_before_it_is_kept(tmp_path: Path):
    with Rig(tmp_path) as proxy, proxy.connect() as client:
        client.sendall(b"GET http://a.test/ HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                client.sendall(b"A: " + b"b" * 1000 + b"\r\n")
        client.settimeout(TIMEOUT)
        with contextlib.suppress(ConnectionResetError):
            assert read_all(client).startswith(b"HTTP/1.1 431 ")

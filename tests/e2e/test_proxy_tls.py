"""CONNECT: TLS intercepted where it can be, everything else left alone."""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from cryptography import x509
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
    self_signed,
    wait_for,
)

from fastci.node.proxy import Authority

Start = Callable[..., Any]
REQUEST = b"GET /a?b=c HTTP/1.1\r\nHost: target.test\r\nX-Fast-Test: t.py::one\r\n\r\n"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a rig or an origin, ended with the test."""
    with ExitStack() as stack:

        def enter(what: Any = None, **options: Any) -> Any:
            made = Rig(tmp_path / "store", **options) if what is None else Origin(what, **options)
            return stack.enter_context(made)

        yield enter


@pytest.fixture
def secret(tmp_path: Path) -> ssl.SSLContext:
    return self_signed(tmp_path)


def secured(proxy: Rig, origin: Origin, name: str = "target.test", *alpn: str) -> ssl.SSLSocket:
    """A client's TLS connection through the proxy, the certificate verified against the proxy's authority.

    An end that the proxy does not announce in TLS is an error.
    """
    context = proxy.trust()
    if alpn:
        context.set_alpn_protocols(list(alpn))
    tunnel = proxy.tunnel("127.0.0.1", origin.port)
    return context.wrap_socket(tunnel, server_hostname=name, suppress_ragged_eofs=False)


def end_tls(connection: socket.socket) -> None:
    """Say in TLS that no more comes, as Origin's closing alone does not."""
    assert isinstance(connection, ssl.SSLSocket)
    connection.unwrap()


# interception


def test_requests_session_trusting_the_authority_recorded_over_https(
    start: Start, secret: ssl.SSLContext, tmp_path: Path
):
    origin, proxy = start(answering(ok()), tls=secret), start()
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(requests.get(f"{proxy.url}/ca.pem", timeout=TIMEOUT).content)
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"https": proxy.url}
        session.verify = str(bundle)
        for path in ("/one", "/two"):
            assert session.get(origin.url + path, timeout=TIMEOUT).text == "hello"
    first, second = proxy.baselines()
    assert [str(b.origin) for b in (first, second)] == [origin.url] * 2
    assert (first.request.target, second.request.target) == (b"/one", b"/two")
    assert first.connection == second.connection
    assert origin.connections == 1


def test_request_in_tls_reaches_the_origin_unchanged_without_the_name_of_the_test(
    start: Start, secret: ssl.SSLContext
):
    seen: list[bytes] = []
    origin, proxy = start(answering(ok(), seen=seen), tls=secret), start()
    with secured(proxy, origin) as client:
        client.sendall(REQUEST)
        assert read_message(client) == ok()
    assert seen == [b"GET /a?b=c HTTP/1.1\r\nHost: target.test\r\n\r\n"]
    (baseline,) = proxy.baselines()
    assert baseline.test == "t.py::one"
    assert (baseline.origin.scheme, baseline.origin.host) == ("https", "127.0.0.1")


def test_origin_asked_for_the_name_the_client_asked_for(start: Start, secret: ssl.SSLContext):
    names: list[str | None] = []
    secret.sni_callback = lambda _, name, __: names.append(name)
    origin, proxy = start(answering(ok()), tls=secret), start()
    with secured(proxy, origin, "Shop.test") as client:
        client.sendall(REQUEST)
        read_message(client)
    assert [name and name.lower() for name in names] == ["shop.test"]


def test_certificate_for_an_address_valid_and_without_wildcard(start: Start, secret: ssl.SSLContext):
    origin, proxy = start(answering(ok()), tls=secret), start()
    with secured(proxy, origin, "127.0.0.1") as client:
        der = client.getpeercert(binary_form=True)
        assert der
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
        assert names.value.get_values_for_type(x509.DNSName) == []


def test_certificate_of_a_host_made_once(start: Start, secret: ssl.SSLContext):
    origin, proxy = start(answering(ok()), tls=secret), start()
    serials = set()
    for _ in range(3):
        with secured(proxy, origin) as client:
            der = client.getpeercert(binary_form=True)
            assert der
            serials.add(x509.load_der_x509_certificate(der).serial_number)
    assert len(serials) == 1


def test_big_bodies_both_ways_in_tls(start: Start, secret: ssl.SSLContext):
    body = bytes(range(256)) * 8000

    def handle(connection: socket.socket) -> None:
        connection.sendall(ok(read_message(connection).partition(b"\r\n\r\n")[2]))

    origin, proxy = start(handle, tls=secret), start()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    with secured(proxy, origin) as client:
        # In one thread: OpenSSL does not bear a read and a write of one connection at the same time.
        client.sendall(head + body)
        assert read_message(client) == ok(body)
    (baseline,) = proxy.baselines()
    assert baseline.request.body == baseline.response.body == body


def test_response_in_tls_without_length_ends_in_order(start: Start, secret: ssl.SSLContext):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        end_tls(connection)

    origin, proxy = start(handle, tls=secret), start()
    with secured(proxy, origin) as client:
        client.sendall(REQUEST)
        assert read_all(client) == b"HTTP/1.1 200 OK\r\n\r\nall of it"
    assert len(proxy.baselines()) == 1


def test_client_that_ends_tls_but_not_its_connection_gets_an_end_too(start: Start, secret: ssl.SSLContext):
    origin, proxy = start(answering(ok()), tls=secret), start()
    with secured(proxy, origin) as client:
        client.sendall(REQUEST)
        assert read_message(client) == ok()
        with client.unwrap() as bare:
            assert is_closed(bare)


def test_upgrade_in_tls_passes_and_ends_in_order(start: Start, secret: ssl.SSLContext):
    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        connection.sendall(connection.recv(100).upper())
        end_tls(connection)

    origin, proxy = start(handle, tls=secret), start()
    with secured(proxy, origin) as client:
        client.sendall(REQUEST)
        assert read_head(client).startswith(b"HTTP/1.1 101 ")
        client.sendall(b"frame")
        assert read_all(client) == b"FRAME"
    assert proxy.seen() == {("upgrade", "127.0.0.1"): 1}


def test_client_that_speaks_both_protocols_gets_http_1(start: Start, secret: ssl.SSLContext):
    origin, proxy = start(answering(ok()), tls=secret), start()
    with secured(proxy, origin, "target.test", "h2", "http/1.1") as client:
        assert client.selected_alpn_protocol() == "http/1.1"
        client.sendall(REQUEST)
        assert read_message(client) == ok()


def test_hello_in_one_piece_with_connect_and_byte_by_byte(start: Start, secret: ssl.SSLContext):
    origin, proxy = start(answering(ok()), tls=secret), start()
    context = proxy.trust()
    for together in (True, False):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="target.test")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        connect = b"CONNECT %s HTTP/1.1\r\n\r\n" % origin.authority
        with proxy.connect() as client:
            if together:
                client.sendall(connect + hello)
            else:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for byte in connect + hello:
                    client.sendall(bytes([byte]))
            assert read_head(client).startswith(b"HTTP/1.1 200 ")
            while True:
                incoming.write(client.recv(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pass
            assert tls.getpeercert()


def test_authority_of_own_files_with_intermediate_sends_the_chain(
    start: Start, secret: ssl.SSLContext, tmp_path: Path
):
    from proxy_certs import make_chain

    root, cert, key = make_chain(tmp_path)
    origin, proxy = start(answering(ok()), tls=secret), start(authority=Authority.load(cert, key))
    context = ssl.create_default_context(cafile=str(root))
    with context.wrap_socket(proxy.tunnel("127.0.0.1", origin.port), server_hostname="target.test") as client:
        client.sendall(REQUEST)
        assert read_message(client) == ok()


def test_port_of_backend_https_ports_spoken_to_with_tls(start: Start, secret: ssl.SSLContext):
    origin = start(answering(ok()), tls=secret)
    proxy = start(BACKEND_HTTPS_PORTS=f"443;{origin.port}")
    head = b"HTTP/1.1\r\nHost: target.test\r\nConnection: close\r\n\r\n"
    assert proxy.ask(b"GET http://" + origin.authority + b"/plain " + head) == ok()
    with proxy.tunnel("127.0.0.1", origin.port) as client:
        client.sendall(b"GET /tunnel " + head)
        assert read_all(client) == ok()
    assert [b.origin.scheme for b in proxy.baselines()] == ["https", "https"]


# refusals


def test_client_that_does_not_trust_the_authority_counted_and_told_once(start: Start, secret: ssl.SSLContext):
    origin, proxy = start(answering(ok()), tls=secret), start()
    strict = ssl.create_default_context()
    for _ in range(2):
        with proxy.tunnel("127.0.0.1", origin.port) as client, pytest.raises(ssl.SSLCertVerificationError):
            strict.wrap_socket(client, server_hostname="target.test")
    wait_for(lambda: bool(proxy.said), "the console line")
    assert proxy.seen() == {("tls-rejected", "target.test"): 2}
    (line,) = proxy.said
    assert line.startswith("[warn] a client does not accept the certificate for target.test")


def test_client_that_leaves_during_the_handshake_counted(start: Start, secret: ssl.SSLContext):
    origin, proxy = start(answering(ok()), tls=secret), start()
    tls = proxy.trust().wrap_bio(ssl.MemoryBIO(), outgoing := ssl.MemoryBIO(), server_hostname="target.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with proxy.tunnel("127.0.0.1", origin.port) as client:
        client.sendall(outgoing.read())
        assert client.recv(1)
    wait_for(lambda: bool(proxy.said), "the console line")
    assert ("tls-rejected", "target.test") in proxy.seen()


def test_connect_to_refusing_port_502(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    proxy = start()
    answer = proxy.ask(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % port)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"Connection refused" in answer


def test_origin_that_speaks_no_tls_502_inside_the_tunnel(start: Start):
    def handle(connection: socket.socket) -> None:
        connection.recv(10)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    origin, proxy = start(handle), start()
    with secured(proxy, origin) as client:
        client.sendall(REQUEST)
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"TLS with the target failed: WRONG_VERSION_NUMBER" in answer


# what is left alone


def test_plain_http_in_a_tunnel_recorded(start: Start):
    seen: list[bytes] = []
    origin, proxy = start(answering(ok(), seen=seen)), start()
    with proxy.tunnel("127.0.0.1", origin.port) as client:
        for _ in range(2):
            client.sendall(REQUEST)
            assert read_message(client) == ok()
    assert seen[0] == b"GET /a?b=c HTTP/1.1\r\nHost: target.test\r\n\r\n"
    assert [(b.origin.scheme, b.test) for b in proxy.baselines()] == [("http", "t.py::one")] * 2
    assert origin.connections == 1


def test_client_of_http_2_only_tunnelled_to_the_real_certificate(start: Start, tmp_path: Path):
    origin = start(answering(b"h2 bytes"), tls=self_signed(tmp_path, alpn=("h2",)))
    proxy = start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(proxy.tunnel("127.0.0.1", origin.port), server_hostname="x.test") as client:
        assert client.selected_alpn_protocol() == "h2"
        der = client.getpeercert(binary_form=True)
        assert der
        assert "target.test" in x509.load_der_x509_certificate(der).subject.rfc4514_string()
        client.sendall(b"\r\n\r\n")
        assert read_exactly(client, 8) == b"h2 bytes"
    assert proxy.seen() == {("http2", "127.0.0.1"): 1}
    assert proxy.baselines() == []


@pytest.mark.parametrize("secured", [False, True])
def test_grpc_client_calls_through(start: Start, tmp_path: Path, secured: bool):
    self_signed(tmp_path)
    certificate = key = (tmp_path / "target.test.pem").read_bytes()
    server = grpc.server(ThreadPoolExecutor(2))
    count = grpc.unary_stream_rpc_method_handler(lambda request, _: iter([request] * 3))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", {"Count": count}),))
    if secured:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    proxy = start()
    options = [("grpc.http_proxy", proxy.url), ("grpc.ssl_target_name_override", "target.test")]
    address = f"127.0.0.1:{port}"
    try:
        with (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate), options)
            if secured
            else grpc.insecure_channel(address, options)
        ) as channel:
            call = channel.unary_stream("/shop.Shop/Count")
            assert list(call(b"tea", timeout=20)) == [b"tea"] * 3
    finally:
        server.stop(None)
    assert proxy.seen() == {("http2", "127.0.0.1"): 1}
    assert proxy.baselines() == []


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"),
        (b"\x00\x01binary", "tunnel"),
        (b"HELO", "tunnel"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "tunnel"),
    ],
)
def test_what_is_not_http_1_tunnelled_untouched(start: Start, first: bytes, kind: str):
    def handle(connection: socket.socket) -> None:
        assert read_exactly(connection, len(first)) == first
        connection.sendall(b"answer")
        assert connection.recv(1) == b""
        connection.sendall(b" and end")

    origin, proxy = start(handle), start()
    with proxy.tunnel("127.0.0.1", origin.port) as client:
        client.sendall(first)
        assert read_exactly(client, 6) == b"answer"
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b" and end"
    assert origin.faults == []
    assert proxy.seen() == {(kind, "127.0.0.1"): 1}


def test_client_that_says_everything_at_once_and_half_closes(start: Start):
    def handle(connection: socket.socket) -> None:
        connection.sendall(b"got " + read_all(connection))

    origin, proxy = start(handle), start()
    with proxy.connect() as client:
        client.sendall(b"CONNECT %s HTTP/1.1\r\n\r\n\x00\x01" % origin.authority)
        client.shutdown(socket.SHUT_WR)
        assert read_head(client).startswith(b"HTTP/1.1 200 ")
        assert read_all(client) == b"got \x00\x01"


def test_connect_within_a_tunnel_opens_one_behind_it(start: Start):
    def handle(connection: socket.socket) -> None:
        assert read_head(connection).startswith(b"CONNECT far.test:1 ")
        connection.sendall(b"HTTP/1.1 200 Yes\r\n\r\n220 ready\r\n")
        connection.sendall(connection.recv(100).upper())

    origin, proxy = start(handle), start()
    with proxy.tunnel("127.0.0.1", origin.port) as client:
        client.sendall(b"CONNECT far.test:1 HTTP/1.1\r\nHost: far.test:1\r\n\r\n")
        assert read_some(client, b"220 ready\r\n") == b"HTTP/1.1 200 Yes\r\n\r\n220 ready\r\n"
        client.sendall(b"get / http/1.1\r\n\r\n")
        assert read_all(client) == b"GET / HTTP/1.1\r\n\r\n"
    assert proxy.seen() == {("upgrade", "127.0.0.1"): 1}


@pytest.mark.parametrize(
    ("first", "kind"),
    [(b"220 ready\r\n", "tunnel"), (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", "http2")],
)
def test_server_that_speaks_first_tunnelled(start: Start, first: bytes, kind: str):
    def handle(connection: socket.socket) -> None:
        connection.sendall(first)
        connection.sendall(connection.recv(100).upper())

    origin, proxy = start(handle), start()
    with proxy.tunnel("127.0.0.1", origin.port) as client:
        assert read_exactly(client, len(first)) == first
        client.sendall(b"get / http/1.1\r\n\r\n")
        assert read_exactly(client, 18) == b"GET / HTTP/1.1\r\n\r\n"
    assert proxy.seen() == {(kind, "127.0.0.1"): 1}


def test_tls_to_host_not_admitted_left_alone_and_counted(start: Start, secret: ssl.SSLContext):
    origin, proxy = start(answering(ok()), tls=secret), start(ALLOWED_HOSTS="shop.test")
    context = ssl.create_default_context(cadata=None)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(proxy.tunnel("127.0.0.1", origin.port), server_hostname="other.test") as client:
        der = client.getpeercert(binary_form=True)
        assert der
        assert "target.test" in x509.load_der_x509_certificate(der).issuer.rfc4514_string()
        client.sendall(REQUEST)
        assert read_message(client) == ok()
    with secured(proxy, origin, "shop.test") as client:
        client.sendall(REQUEST.replace(b"target.test", b"shop.test"))
        assert read_message(client) == ok()
    assert len(proxy.baselines()) == 1
    assert proxy.seen() == {("filtered", "127.0.0.1"): 1}


@pytest.mark.parametrize("client_first", [True, False])
def test_tunnel_that_ended_both_ways_leaves_nothing_open(start: Start, client_first: bool):
    def handle(connection: socket.socket) -> None:
        connection.sendall(b"220 ready")
        if client_first:
            read_all(connection)
        else:
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (no Path is wanted)

    origin, proxy = start(handle), start()
    proxy.tunnel("127.0.0.1", origin.port).close()
    before = open_files()
    for _ in range(20):
        with proxy.tunnel("127.0.0.1", origin.port) as client:
            read_exactly(client, 9)
            if client_first:
                client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
    wait_for(lambda: open_files() <= before + 3, "everything closed")


def test_client_that_leaves_a_tunnel_origin_sees_it(start: Start):
    left = threading.Event()

    def handle(connection: socket.socket) -> None:
        read_exactly(connection, 4)
        if is_closed(connection):
            left.set()

    origin, proxy = start(handle), start()
    with proxy.tunnel("127.0.0.1", origin.port) as client:
        client.sendall(b"\x00\x01\x02\x03")
    assert left.wait(TIMEOUT)

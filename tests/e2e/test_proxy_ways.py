"""Which way requests go, and which they may not: upstream proxies, verification, credentials, addresses."""

import base64
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from proxy_rig import (
    TIMEOUT,
    Origin,
    Rig,
    answering,
    ok,
    read_all,
    read_exactly,
    read_head,
    read_message,
    self_signed,
)

from fastci.config import parse_settings
from fastci.errors import ConfigurationError
from fastci.node.proxy import Patience
from fastci.node.ways import load_context, parse_upstream

Start = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a rig or an origin, ended with the test; every rig records into a folder of its own."""
    with ExitStack() as stack:
        rigs = iter(range(10))

        def enter(what: Any = None, **options: Any) -> Any:
            made = (
                Rig(tmp_path / f"store{next(rigs)}", **options) if what is None else Origin(what, **options)
            )
            return stack.enter_context(made)

        yield enter


def get(origin: Origin, *lines: bytes) -> bytes:
    first = b"GET http://" + origin.authority + b"/a HTTP/1.1"
    return b"\r\n".join([first, b"Host: " + origin.authority, b"Connection: close", *lines, b"", b""])


# upstream proxies


def upstream_of(seen: list[bytes]) -> Callable[[socket.socket], None]:
    """A company's proxy: notes what it is asked, answers plain requests, connects tunnels."""

    def handle(connection: socket.socket) -> None:
        while head := read_head(connection):
            seen.append(head)
            if not head.startswith(b"CONNECT "):
                connection.sendall(ok(b"by the upstream"))
                continue
            host, _, port = head.split(b" ")[1].partition(b":")
            with socket.create_connection((host.decode(), int(port)), TIMEOUT) as onward:
                # The target's first bytes may come in one piece with the answer.
                onward.settimeout(0.2)
                try:
                    first = onward.recv(1000)
                except TimeoutError:
                    first = b""
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + first)
                pump(connection, onward)
            return

    return handle


def pump(one: socket.socket, other: socket.socket) -> None:
    import selectors

    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select(TIMEOUT):
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)


def test_upstream_proxy_gets_plain_requests_in_absolute_form(start: Start):
    seen: list[bytes] = []
    upstream = start(upstream_of(seen))
    proxy = start(
        FAST_UPSTREAM_PROXY=f"http://me:p%40ss@127.0.0.1:{upstream.port}", FAST_NO_PROXY="direct.test"
    )
    answer = proxy.ask(
        b"GET http://a.test:8000/x?y HTTP/1.1\r\nHost: a.test:8000\r\nConnection: close\r\n\r\n"
    )
    assert answer == ok(b"by the upstream")
    assert seen == [
        b"GET http://a.test:8000/x?y HTTP/1.1\r\nProxy-Authorization: Basic " + base64.b64encode(b"me:p@ss")
        + b"\r\nHost: a.test:8000\r\nConnection: close\r\n\r\n"
    ]  # fmt: skip
    (baseline,) = proxy.baselines()
    assert baseline.request.head() == b"GET /x?y HTTP/1.1\r\nHost: a.test:8000\r\nConnection: close\r\n\r\n"
    assert str(baseline.origin) == "http://a.test:8000"


def test_upstream_proxy_tunnels_tls(start: Start, tmp_path: Path):
    seen: list[bytes] = []
    origin, upstream = start(answering(ok()), tls=self_signed(tmp_path)), start(upstream_of(seen))
    proxy = start(FAST_UPSTREAM_PROXY=f"http://127.0.0.1:{upstream.port}", FAST_NO_PROXY="direct.test")
    with proxy.trust().wrap_socket(
        proxy.tunnel("127.0.0.1", origin.port), server_hostname="a.test"
    ) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert read_message(client) == ok()
    assert seen == [b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (origin.authority, origin.authority)]
    assert len(proxy.baselines()) == 1


def test_upstream_proxy_bytes_behind_its_answer_belong_to_the_tunnel(start: Start):
    origin = start(lambda connection: connection.sendall(b"220 ready") or read_all(connection))
    upstream = start(upstream_of([]))
    proxy = start(FAST_UPSTREAM_PROXY=f"http://127.0.0.1:{upstream.port}", FAST_NO_PROXY="direct.test")
    with proxy.tunnel("127.0.0.1", origin.port) as client:
        assert read_exactly(client, 9) == b"220 ready"


def test_upstream_proxy_refuses_502_with_its_words(start: Start):
    upstream = start(answering(b"HTTP/1.1 403 Not For You\r\nContent-Length: 3\r\n\r\nno!"))
    proxy = start(FAST_UPSTREAM_PROXY=f"http://127.0.0.1:{upstream.port}")
    answer = proxy.ask(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"the upstream proxy opens no way to a.test:443: HTTP/1.1 403 Not For You" in answer


def test_upstream_proxy_not_used_for_loopback_by_default(start: Start):
    upstream, origin = start(answering(b"")), start(answering(ok()))
    proxy = start(FAST_UPSTREAM_PROXY=f"http://127.0.0.1:{upstream.port}")
    assert proxy.ask(get(origin)) == ok()
    assert upstream.connections == 0


@pytest.mark.parametrize(
    ("no_proxy", "answer"),
    [("127.0.0.1", b"hello"), (".test ~^127", b"hello"), ("other.test", b"by the upstream")],
)
def test_upstream_proxy_used_but_for_the_hosts_of_no_proxy(start: Start, no_proxy: str, answer: bytes):
    upstream, origin = start(upstream_of([])), start(answering(ok()))
    proxy = start(FAST_UPSTREAM_PROXY=f"http://127.0.0.1:{upstream.port}", FAST_NO_PROXY=no_proxy)
    assert proxy.ask(get(origin)) == ok(answer)


def test_upstream_proxy_that_is_the_proxy_itself_refused(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = start(FAST_LISTEN=f"127.0.0.1:{port}", FAST_UPSTREAM_PROXY=f"http://127.0.0.1:{port}")
    answer = proxy.ask(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 508 ")


def test_two_recording_proxies_in_a_row_both_record(start: Start):
    origin, last = start(answering(ok())), start()
    first = start(FAST_UPSTREAM_PROXY=last.url, FAST_NO_PROXY="direct.test")
    assert first.ask(get(origin)) == ok()
    assert len(first.baselines()) == len(last.baselines()) == 1


# certificates of targets


def test_target_certificate_verified_when_asked(start: Start, tmp_path: Path):
    trusted = self_signed(tmp_path, "good.test")
    foreign = self_signed(tmp_path, "bad.test")
    good, bad = start(answering(ok()), tls=trusted), start(answering(ok()), tls=foreign)
    proxy = start(FAST_TARGET_CA=str(tmp_path / "good.test.pem"))

    def ask(origin: Origin, name: str) -> bytes:
        tunnel = proxy.tunnel("127.0.0.1", origin.port)
        with proxy.trust().wrap_socket(tunnel, server_hostname=name) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return read_all(client)

    assert ask(good, "good.test") == ok()
    assert b"TLS with the target failed: self-signed certificate" in ask(bad, "bad.test")
    assert b"Hostname mismatch, certificate is not valid for 'other.test'" in ask(good, "other.test")
    assert len(proxy.baselines()) == 1


def test_target_that_wants_a_client_certificate_gets_it(start: Start, tmp_path: Path):
    self_signed(tmp_path, "client.test")
    client = tmp_path / "client.test.pem"
    demanding = self_signed(tmp_path)
    demanding.verify_mode = ssl.CERT_REQUIRED
    demanding.load_verify_locations(client)
    origin = start(answering(ok()), tls=demanding)
    for variables, expected in (({"FAST_TARGET_CERT": str(client)}, ok()), ({}, b"HTTP/1.1 502 ")):
        proxy = start(BACKEND_HTTPS_PORTS=str(origin.port), **variables)
        assert proxy.ask(get(origin)).startswith(expected)


@pytest.mark.parametrize("name", ["FAST_TARGET_CA", "FAST_TARGET_CERT"])
def test_target_files_that_do_not_work_are_a_fault(tmp_path: Path, name: str):
    (tmp_path / "file").write_text("nothing")
    for path in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(ConfigurationError) as raised:
            load_context(parse_settings({name: str(path)}))
        assert raised.value.faults[0].startswith(f"{name}='{path}' cannot be used: ")


def test_hosts_reached_directly_that_make_no_sense_are_a_fault():
    variables = {"FAST_UPSTREAM_PROXY": "http://a:1", "FAST_NO_PROXY": "a.*.b"}
    with pytest.raises(ConfigurationError, match="not usable"):
        parse_upstream(parse_settings(variables))


def test_tls_to_hosts_that_are_to_be_left_alone_not_intercepted(start: Start, tmp_path: Path):
    origin = start(answering(ok()), tls=self_signed(tmp_path, "pinned.test"))
    proxy = start(FAST_TUNNEL_HOSTS="*.test", ALLOWED_HOSTS="")
    context = ssl.create_default_context(cafile=str(tmp_path / "pinned.test.pem"))
    tunnel = proxy.tunnel("127.0.0.1", origin.port)
    with context.wrap_socket(tunnel, server_hostname="pinned.test") as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert read_message(client) == ok()
    assert proxy.seen() == {("untouched", "127.0.0.1"): 1}


# who may pass, and where to


def test_credentials_asked_for_and_never_forwarded(start: Start):
    seen: list[bytes] = []
    origin, proxy = start(answering(ok(), seen=seen)), start(FAST_PROXY_AUTH="me:secret:word")
    for wrong in ([], [b"Proxy-Authorization: Basic " + base64.b64encode(b"me:wrong")]):
        answer = proxy.ask(get(origin, *wrong))
        assert answer.startswith(b"HTTP/1.1 407 ")
        assert b'\r\nProxy-Authenticate: Basic realm="FAST proxy"\r\n' in answer
    assert proxy.ask(b"CONNECT %s HTTP/1.1\r\n\r\n" % origin.authority).startswith(b"HTTP/1.1 407 ")
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": proxy.url.replace("//", "//me:secret%3Aword@")}
        assert session.get(origin.url, timeout=TIMEOUT).text == "hello"
    assert requests.get(f"{proxy.url}/health", timeout=TIMEOUT).json()["baselines"] == 1
    assert len(seen) == 1
    assert b"roxy" not in seen[0]
    assert proxy.seen()["unauthorized", ""] == 3


def test_proxy_listens_where_it_was_told_and_nowhere_else(start: Start):
    proxy = start(FAST_LISTEN="127.0.0.2:0")
    socket.create_connection(("127.0.0.2", proxy.port), TIMEOUT).close()
    assert list(own_listeners(proxy.port)) == ["127.0.0.2"]


def own_listeners(port: int) -> Iterator[str]:
    """The addresses at which this process listens on a port; others may use its number elsewhere."""
    own = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            own.add(str(each.readlink()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        address, _, number = words[1].partition(":")
        if int(number, 16) == port and words[3] == "0A" and f"socket:[{words[9]}]" in own:
            yield socket.inet_ntoa(bytes.fromhex(address)[::-1])


@pytest.mark.parametrize(
    "host",
    [b"169.254.169.254", b"[fe80::1]", b"[::ffff:169.254.169.254]", b"100.100.100.200", b"[fd00:ec2::254]"],
)
def test_link_local_and_metadata_addresses_refused(start: Start, host: bytes):
    proxy = start()
    answer = proxy.ask(b"GET http://" + host + b"/latest/meta-data HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"is a link-local address; FAST_LINK_LOCAL=true allows it" in answer
    assert proxy.ask(b"CONNECT " + host + b":80 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403 ")
    assert [kind for kind, _ in proxy.seen()] == ["address-refused"]


def test_link_local_addresses_allowed_when_told(start: Start):
    # Nobody has this address, and the question does not leave this machine.
    proxy = start(FAST_LINK_LOCAL="true", patience=Patience(connect=0.3))
    answer = proxy.ask(b"GET http://[fe80::1%lo]/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.split(b" ")[1] in (b"502", b"504")

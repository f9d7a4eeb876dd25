"""A recording proxy in a thread and origins made of plain sockets, for tests that look at bytes."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fastci.config import parse_settings
from fastci.node.proxy import Authority, Patience, ProxyReport, serve
from fastci.node.store import Baseline, Store

PATIENCE = Patience(connect=3.0, response=5.0, stop=2.0, idle_end=5.0)
TIMEOUT = 10.0


class Rig:
    """A proxy on a free port, recording into a folder. Settings are given as the variables they are."""

    def __init__(
        self,
        folder: Path,
        *,
        patience: Patience = PATIENCE,
        authority: Authority | None = None,
        **variables: str,
    ) -> None:
        self.store = Store(folder)
        self.authority = authority or Authority.create()
        self.said: list[str] = []
        self.report: ProxyReport | None = None
        self.error: BaseException | None = None
        self.faults: list[str] = []
        self.port = 0
        listen = {"FAST_LISTEN": "127.0.0.1:0", "FAST_STORE": str(folder)}
        self._settings = parse_settings({**listen, **variables})
        self._patience = patience
        self._recorder = self.store.create("rig")
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Rig":
        self._thread.start()
        assert self._ready.wait(TIMEOUT)
        if self.error:
            raise self.error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask the proxy to end and wait until it has; afterwards `report` or `error` is there."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()
        assert not self.faults, "\n".join(self.faults)
        assert not any(line.startswith("[error]") for line in self.said), self.said

    def baselines(self) -> list[Baseline]:
        """What is in the record at this moment."""
        (record,) = self.store.records()
        return list(self.store.baselines(record))

    def seen(self) -> dict[tuple[str, str], int]:
        """What passed without being recorded; known once the proxy has ended."""
        self.stop()
        (record,) = self.store.records()
        return record.seen

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT)

    def ask(self, data: bytes) -> bytes:
        """Send these bytes on a new connection and read until the proxy closes it."""
        with self.connect() as client:
            client.sendall(data)
            return read_all(client)

    def tunnel(self, host: str, port: int) -> socket.socket:
        """A connection on which CONNECT was answered well."""
        client = self.connect()
        client.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert read_head(client).startswith(b"HTTP/1.1 200 ")
        return client

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts this proxy's authority and nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority.certificate_pem.decode())
        return context

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:
            self.error = error
        finally:
            self._ready.set()
            with contextlib.suppress(Exception):
                self._recorder.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self.faults.append(_describe(context)))
        self._stop = asyncio.Event()
        self.report = await serve(
            self._settings,
            self._recorder,
            authority=self.authority,
            stop=self._stop,
            say=self.said.append,
            on_ready=self._on_ready,
            patience=self._patience,
        )

    def _on_ready(self, host: str, port: int) -> None:
        self.port = port
        self._ready.set()


def _describe(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context['message']}\n{''.join(traceback.format_exception(error)) if error else ''}"


Handler = Callable[[socket.socket], None]


class Origin:
    """A server whose every connection is served by `handler`, which sees the naked socket.

    `received` has what each connection sent so far, as far as the handler read it by `read_head` or `read`.
    """

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.faults: list[BaseException] = []
        self._handler = handler
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "Origin":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def authority(self) -> bytes:
        return b"127.0.0.1:%d" % self.port

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(TIMEOUT)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self._handler(connection)
        except OSError as error:
            self.faults.append(error)
        finally:
            connection.close()


def answering(*responses: bytes, seen: list[bytes] | None = None) -> Handler:
    """A handler that answers one request after the other, the last response again and again."""

    def handle(connection: socket.socket) -> None:
        left = list(responses)
        while request := read_message(connection):
            if seen is not None:
                seen.append(request)
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return handle


def ok(body: bytes = b"hello", *lines: bytes) -> bytes:
    """A response with this body and further header lines."""
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join([*head, b"", b""]) + body


def read_some(connection: socket.socket, marker: bytes) -> bytes:
    """Bytes up to and with `marker`, taken one by one so that nothing behind it is lost."""
    data = b""
    while not data.endswith(marker):
        byte = connection.recv(1)
        if not byte:
            return data
        data += byte
    return data


def read_head(connection: socket.socket) -> bytes:
    return read_some(connection, b"\r\n\r\n")


def read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := connection.recv(count - len(data))):
        data += piece
    return data


def read_message(connection: socket.socket) -> bytes:
    """A head and the body that its Content-Length or chunked coding announces."""
    head = read_head(connection)
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        return head + read_some(connection, b"0\r\n\r\n")
    if b"content-length: " in lower:
        length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
        return head + read_exactly(connection, length)
    return head


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side closes without another byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as `condition` holds; fail after a while."""
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=TIMEOUT)
    pause = threading.Event()
    while not condition():
        assert datetime.datetime.now(datetime.UTC) < end, f"never happened: {what}"
        pause.wait(0.01)


def self_signed(folder: Path, name: str = "target.test", *, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """A server's context with a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context

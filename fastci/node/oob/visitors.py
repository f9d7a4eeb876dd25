"""The node's listener for requests: HTTP, HTTPS and LDAP on one port, told apart by the first byte.

Whoever comes is answered with as little as will do: an empty document, which is a valid DTD too; to LDAP that
it may go on and say which entry it wants.
"""

import asyncio
import datetime
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastci.node.oob.callbacks import Log

_TIMEOUT = 5.0
_LONGEST_HEAD = 64 << 10
_MOST_AT_ONCE = 256
_TLS = b"\x16"
_LDAP = b"\x30"
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n"
    b"Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
)


@asynccontextmanager
async def receive_visitors(log: Log, host: str, port: int) -> AsyncIterator[int]:
    """Listen until the end of the block; gives the port. Raises OSError where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=128)
    listener.setblocking(False)
    door = _Door(log)
    task = asyncio.create_task(door.keep(listener))
    try:
        yield int(listener.getsockname()[1])
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        listener.close()
        await door.close()


class _Door:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._tls = _own_certificate()
        self._visits: set[asyncio.Task[None]] = set()

    async def keep(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError:
                # Out of descriptors, or gone before it was taken: the next one may be luckier.
                await asyncio.sleep(0.05)
                continue
            if len(self._visits) >= _MOST_AT_ONCE:
                connection.close()
                continue
            visit = asyncio.create_task(self._receive(connection, str(address[0])))
            self._visits.add(visit)
            visit.add_done_callback(self._visits.discard)

    async def close(self) -> None:
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _receive(self, connection: socket.socket, source: str) -> None:
        connection.setblocking(False)
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_TIMEOUT):
                start = await _peek(connection)
                tls = start[:1] == _TLS
                if tls:
                    # The name that is wanted stands in the first message: even who breaks off here is known.
                    said = start.decode("latin-1")
                    self._log.hear(said, kind="http", source=source, what="TLS connection")
                reader, writer = await _streams(connection, self._tls if tls else None)
                if start[:1] == _LDAP:
                    await self._hear_ldap(reader, writer, source)
                else:
                    await self._hear_http(reader, writer, source)
        except (OSError, TimeoutError, EOFError):
            pass
        finally:
            if writer is not None:
                writer.close()
            else:
                connection.close()

    async def _hear_http(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str
    ) -> None:
        head = b""
        try:
            while b"\r\n\r\n" not in head and len(head) < _LONGEST_HEAD:
                data = await reader.read(_LONGEST_HEAD)
                if not data:
                    break
                head += data
        finally:
            text = head.partition(b"\r\n\r\n")[0].decode("latin-1")
            agent = next((line for line in text.split("\r\n") if line.lower().startswith("user-agent:")), "")
            line = ", ".join(filter(None, (text.split("\r\n")[0], agent)))
            self._log.hear(text, kind="http", source=source, what=line)
        writer.write(_ANSWER)
        await writer.drain()

    async def _hear_ldap(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: str
    ) -> None:
        """Grant a bind (RFC 4511, section 4.2) and hear what is searched for."""
        for _ in range(3):
            data = await reader.read(_LONGEST_HEAD)
            said = data.decode("latin-1")
            if not data or self._log.hear(said, kind="ldap", source=source, what="LDAP search"):
                return
            writer.write(_granted(data))
            await writer.drain()


def _granted(bind: bytes) -> bytes:
    """The answer "success" to a bind request, with its message number."""
    number = bind[2 : 4 + bind[3]] if len(bind) > 4 and bind[2] == 2 and bind[3] <= 4 else b"\x02\x01\x01"
    message = number + b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
    return _LDAP + bytes([len(message)]) + message


async def _peek(connection: socket.socket) -> bytes:
    """What has come so far, left where it is; empty when nothing will come."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def come() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(connection.fileno(), come)
    try:
        await ready
    finally:
        loop.remove_reader(connection.fileno())
    return connection.recv(_LONGEST_HEAD, socket.MSG_PEEK)


async def _streams(
    connection: socket.socket, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LONGEST_HEAD)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _own_certificate() -> ssl.SSLContext:
    """A context with a certificate that nobody has signed: who checks it breaks off, and was here."""
    # A node that listens to nobody has no need of the certificates' library.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    certificate = builder.not_valid_after(now + datetime.timedelta(days=30)).sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "own.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path)
    return context

"""TLS as a layer over bytes, without any I/O, and what a ClientHello tells before it is answered.

Not the event loop's own TLS: the proxy must see a client's first bytes before it decides to be the TLS server
or to stay out of the way, and the loop has no way to hand bytes back. The same layer serves both sides.
"""

import contextlib
import ssl
from dataclasses import dataclass

_READ = 256 * 1024
_SERVER_NAME = 0
_ALPN = 16
_HELLO_LIMIT = 64 * 1024


class TlsLayer:
    """One TLS connection. What `start` and `receive` leave in `take_outgoing` must be sent to the peer."""

    __slots__ = ("_in", "_out", "_tls", "ended", "established")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._in, self._out, server_side=server_side, server_hostname=server_name
        )
        self.established = False
        self.ended = False
        """The peer said that it sends no more."""

    def start(self) -> None:
        """Begin the handshake (a client has to)."""
        self.receive(b"")

    def receive(self, data: bytes) -> bytes:
        """Plain bytes from encrypted ones. Raises ssl.SSLError; even then there may be something to send."""
        self._in.write(data)
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            plain = self._tls.read(_READ)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:
            self.ended = True
            return b""
        pieces = [plain]
        while plain:
            try:
                plain = self._tls.read(_READ)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.ended = True
                break
            pieces.append(plain)
        else:
            self.ended = True
        return b"".join(pieces)

    def seal(self, data: bytes) -> bytes:
        """Everything to send so that the peer reads `data`."""
        self._tls.write(data)
        return self._out.read()

    def end(self) -> bytes:
        """What tells the peer that no more is sent."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._out.read()

    def take_outgoing(self) -> bytes:
        return self._out.read() if self._out.pending else b""


@dataclass(frozen=True, kw_only=True)
class ClientHello:
    """What a client asks for: the host it means, empty when not told, and the protocols it speaks."""

    server_name: str
    protocols: tuple[bytes, ...]

    @property
    def speaks_http1(self) -> bool:
        """Without ALPN (RFC 7301) a client of HTTP speaks HTTP/1.1."""
        return not self.protocols or b"http/1.1" in self.protocols or b"http/1.0" in self.protocols

    @property
    def speaks_http2(self) -> bool:
        return b"h2" in self.protocols


def parse_client_hello(data: bytes) -> ClientHello | None:
    """The ClientHello (RFC 8446, section 4.1.2) at the start of `data`; None while it is incomplete.

    Raises ValueError when these bytes do not start one.
    """
    message = b""
    at = 0
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        if at and len(message) > _HELLO_LIMIT:
            raise ValueError("too long for a ClientHello")
        if data[at : at + 2] not in (b"", b"\x16", b"\x16\x03"):
            raise ValueError("not a TLS handshake")
        if len(data) < at + 5:
            return None
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if len(data) < at + 5 + size:
            return None
        if not size:
            raise ValueError("an empty TLS record")
        message += data[at + 5 : at + 5 + size]
        if message[0] != 1:
            raise ValueError("not a ClientHello")
        at += 5 + size
    return _parse_hello(_Reader(message[4 : 4 + int.from_bytes(message[1:4], "big")]))


class _Reader:
    """Takes length-prefixed pieces off a TLS structure. Raises ValueError past its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise ValueError("a ClientHello that ends too early")
        piece, self.data = self.data[:count], self.data[count:]
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> "_Reader":
        return _Reader(self.take(self.number(size)))


def _parse_hello(hello: _Reader) -> ClientHello:
    hello.take(2 + 32)  # version, random
    hello.vector(1)  # session
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression
    name, protocols = "", []
    extensions = hello.vector(2) if hello.data else hello
    while extensions.data:
        kind, value = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME and value.data:
            names = value.vector(2)
            names.take(1)
            name = names.vector(2).data.decode("ascii", "replace").lower()
        elif kind == _ALPN and value.data:
            listed = value.vector(2)
            while listed.data:
                protocols.append(listed.vector(1).data)
    return ClientHello(server_name=name, protocols=tuple(protocols))

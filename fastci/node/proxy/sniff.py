"""What the first bytes in a tunnel tell about what is spoken there."""

import re
from enum import Enum

from fastci.node.proxy.tls import ClientHello, parse_client_hello

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}"
_REQUEST_LINE = re.compile(_TOKEN + rb" [^\r\n]* HTTP/1\.[01]\r?\n")
_PREFACE = b"PRI * HTTP/2.0\r\n"
_SETTINGS = re.compile(rb"...\x04[\x00\x01]\x00\x00\x00\x00", re.DOTALL)
"""The frame that an HTTP/2 server begins with (RFC 9113, section 3.4), as soon as it is connected."""
_BEGINNING = re.compile(_TOKEN + rb"(?: [^\r\n]*\r?)?\Z")


class Speech(Enum):
    UNDECIDED = "more bytes are needed"
    TLS = "TLS"
    HTTP = "HTTP/1.x in plain text"
    HTTP2 = "HTTP/2 in plain text"
    OTHER = "something else"


def sniff(data: bytes) -> tuple[Speech, ClientHello | None]:
    """What `data`, the beginning of what a client says, is; with the ClientHello if it is TLS."""
    if data[:1] == b"\x16":
        try:
            hello = parse_client_hello(data)
        except ValueError:
            return Speech.OTHER, None
        return (Speech.TLS, hello) if hello else (Speech.UNDECIDED, None)
    if data.startswith(_PREFACE):
        return Speech.HTTP2, None
    if _REQUEST_LINE.match(data):
        return Speech.HTTP, None
    return (Speech.UNDECIDED if _BEGINNING.match(data) else Speech.OTHER), None


def greets_http2(data: bytes) -> bool:
    """Whether a server that speaks first speaks HTTP/2."""
    return _SETTINGS.match(data) is not None

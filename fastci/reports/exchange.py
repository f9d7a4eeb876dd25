"""What a report shows of a request or a response: start line, header lines, body, without judging them."""

import re
import zlib
from dataclasses import dataclass
from functools import cached_property

from fastci.reports.plain import text_of

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,200}\r?\n")
_MOST_INFLATED = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message taken apart as far as it can be; of bytes that are no HTTP everything is the start line.

    The body begins at `body_at` of `data`: it may be large, and is cut out when it is asked for.
    """

    start: str
    fields: list[tuple[str, str]]
    data: bytes
    body_at: int

    @property
    def body(self) -> bytes:
        return self.data[self.body_at :]

    @property
    def method(self) -> str:
        return self.start.partition(" ")[0]

    @property
    def target(self) -> str:
        rest = self.start.partition(" ")[2]
        target, blank, version = rest.rpartition(" ")
        return target if blank and version.startswith("HTTP/") else rest

    @property
    def reason(self) -> str:
        return self.start.partition(" ")[2].partition(" ")[2]

    def get(self, name: str) -> str:
        """Value of the first header of that name in any case, else empty."""
        return next((value for key, value in self.fields if key.lower() == name), "")

    def readable(self) -> bytes:
        """The body as a person reads it, without chunks and compression where they can be taken off."""
        body = self.body
        chunked, packed = self.codings
        if chunked:
            body = _without_chunks(body)
        return _inflated(body) if packed else body

    @cached_property
    def codings(self) -> tuple[bool, bool]:
        """Whether the body is in chunks, and whether it is compressed in a way that can be undone here."""
        chunked = "chunked" in self.get("transfer-encoding").lower()
        return chunked, self.get("content-encoding").lower() in ("gzip", "x-gzip", "deflate")


def _without_chunks(body: bytes) -> bytes:
    pieces: list[bytes] = []
    position = 0
    while chunk := _CHUNK.match(body, position):
        size = int(chunk[1], 16)
        pieces.append(body[chunk.end() : chunk.end() + size])
        position = chunk.end() + size + 2
        if not size:
            break
    return b"".join(pieces) if pieces else body


def _inflated(body: bytes) -> bytes:
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        try:
            return zlib.decompressobj(window).decompress(body, _MOST_INFLATED)
        except zlib.error:
            continue
    return body


def read_message(data: bytes) -> Message:
    """Take a message apart (RFC 9112, section 2.1); never fails."""
    end = data.find(b"\r\n\r\n")
    body_at = end + 4
    if end < 0:
        end = data.find(b"\n\n")
        body_at = end + 2
    if end < 0:
        end = body_at = len(data)
    start, *lines = text_of(data[:end]).replace("\r\n", "\n").split("\n")
    fields = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Message(start=start, fields=[field for field in fields if field[0]], data=data, body_at=body_at)


def origin_of(url: str) -> str:
    """Scheme and authority of a URL: `http://app:3000`."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return ""
    return scheme + separator + rest.split("/", 1)[0].split("?", 1)[0].split("#", 1)[0]

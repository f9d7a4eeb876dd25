"""Where HTTP/1.x messages begin and end (RFC 9112), without any I/O.

The proxy passes bytes on as they came, so it needs to know a message's framing and a few header values, and
otherwise keeps its hands off: heads are cut out of the stream whole, bodies are followed, not rebuilt.
"""

import re
from typing import Protocol

HEAD_LIMIT = 256 * 1024
"""Bytes of a head, of a chunk's size line, or of all trailers, that are read before giving up."""

_FIELDS = re.compile(
    rb"\n(?:host[ \t]*(:[^\r\n]*)|"
    rb"con(?:nection[ \t]*(:[^\r\n]*)|tent-length[ \t]*(:[^\r\n]*))|"
    rb"transfer-encoding[ \t]*(:[^\r\n]*)|"
    rb"(proxy-authorization|proxy-connection|x-fast-(?:test|canary))[ \t]*:)"
)
"""For a head in lower case: the lines that count, each value with the colon before it, as it may be empty."""
_OWN_FIELDS = re.compile(
    rb"\n(proxy-authorization|x-fast-test|x-fast-canary)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE
)
_FRAMING = re.compile(
    rb"\n(?:con(?:nection[ \t]*(:[^\r\n]*)|tent-length[ \t]*(:[^\r\n]*))|"
    rb"transfer-encoding[ \t]*(:[^\r\n]*))"
)
_HEAD_END = re.compile(rb"\n\r?\n")
_TEST_LINE = re.compile(rb"(?im)^x-fast-(?:test|canary)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*")
_OWN_LINES = re.compile(
    rb"(?im)^(?:proxy-authorization|proxy-connection|x-fast-(?:test|canary))[ \t]*:[^\n]*\n"
    rb"(?:[ \t][^\n]*\n)*"
)
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\n]+) HTTP/1\.([01])\r*\n")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\Z")
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9])[ \t]+([0-9]{3})(?=[ \t\r\n])")
_BODYLESS_STATUS = frozenset((204, 304))

UNTIL_CLOSE = -1
CHUNKED = -2
"""Framings beside a length in bytes."""


class BadMessage(ValueError):
    """These bytes are not the HTTP/1.x message they should be; `status` is what a client is told."""

    def __init__(self, reason: str, status: int = 400) -> None:
        self.status = status
        super().__init__(reason)


def head_end(data: bytes) -> int:
    """Where the body begins, behind the empty line; -1 when the head is not complete yet.

    Bare line feeds count as line ends (RFC 9112, section 2.2).
    """
    end = _HEAD_END.search(data)
    return end.end() if end else -1


class Body(Protocol):
    """Follows a body over the wire and keeps its decoded content, up to a limit."""

    done: bool
    truncated: bool

    def feed(self, data: bytes, start: int) -> int:
        """Take what belongs to the body from `data[start:]`; the index behind it. Raises BadMessage."""

    def content(self) -> bytes: ...


class _Kept:
    """The content of a body as far as there is room for it."""

    __slots__ = ("_pieces", "_room", "done", "truncated")

    def __init__(self, limit: int) -> None:
        self._room = limit
        self._pieces: list[bytes] = []
        self.truncated = False
        self.done = False

    def _keep(self, piece: bytes) -> None:
        room = self._room - len(piece)
        if room < 0:
            self.truncated = True
            piece, room = piece[: self._room], 0
        if piece:
            self._room = room
            self._pieces.append(piece)

    def content(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class LengthBody(_Kept):
    """A body of `length` bytes; of UNTIL_CLOSE, one that only the end of the connection ends."""

    __slots__ = ("_left",)

    def __init__(self, length: int, limit: int) -> None:
        self._room = limit
        self._pieces = []
        self.truncated = False
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes, start: int) -> int:
        end, left = len(data), self._left
        if left >= 0:
            if end - start > left:
                end = start + left
            self._left = left = left - end + start
            self.done = left == 0
        self._keep(data[start:end])
        return end


class WholeBody:
    """A body that came in one piece."""

    __slots__ = ("_content",)
    done = True
    truncated = False

    def __init__(self, content: bytes) -> None:
        self._content = content

    def feed(self, data: bytes, start: int) -> int:
        return start

    def content(self) -> bytes:
        return self._content


class ChunkedBody(_Kept):
    """A body in chunked transfer coding (RFC 9112, section 7.1), trailers included in what it spans."""

    __slots__ = ("_left", "_line", "_trailers", "_within")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._left = 0
        self._line = b""
        self._within = b"size"
        self._trailers = 0

    def feed(self, data: bytes, start: int) -> int:
        at, end = start, len(data)
        while at < end and not self.done:
            if self._left:
                stop = min(end, at + self._left)
                self._keep(data[at:stop])
                self._left -= stop - at
                at = stop
                continue
            feed = data.find(b"\n", at) + 1
            self._line += data[at : feed or end]
            at = feed or end
            if len(self._line) > HEAD_LIMIT:
                raise BadMessage("a line of the chunked coding is too long")
            if feed:
                self._take_line(self._line.strip())
                self._line = b""
        return at

    def _take_line(self, line: bytes) -> None:
        if self._within == b"size":
            size = line.partition(b";")[0].strip()
            if not _SIZE.match(size):
                raise BadMessage(f"{size[:20]!r} is not the size of a chunk")
            self._left = int(size, 16)
            self._within = b"end" if self._left else b"trailers"
        elif self._within == b"end":
            if line:
                raise BadMessage("a chunk is longer than its size says")
            self._within = b"size"
        elif not line:
            self.done = True
        else:
            self._trailers += len(line)
            if self._trailers > HEAD_LIMIT:
                raise BadMessage("the trailers are too long")


def _new_body(framing: int, limit: int) -> Body | None:
    if framing == 0:
        return None
    return ChunkedBody(limit) if framing == CHUNKED else LengthBody(framing, limit)


class RequestHead:
    """What the proxy must know of a request. `raw` is the head as it came, request line first.

    `length` is the body's framing: bytes, or CHUNKED. `host` is None without a Host header.
    """

    __slots__ = (
        "_own", "_version", "authorization", "canary", "host", "keep_alive", "length", "line_end", "method",
        "raw", "target", "test",
    )  # fmt: skip

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        line = _REQUEST_LINE.match(raw)
        if not line:
            raise _not_a_request(raw)
        self.method, self.target, minor = line.groups()
        self.line_end = line_end = line.end() - 1
        self._version = line.end(2)
        self.host: bytes | None = None
        self.test = b""
        self.authorization = b""
        self.canary = False
        """Sent to find out whether the way is open; not to be recorded."""
        self._own = False
        self.keep_alive = minor == b"1"
        length, chunked = -1, False
        for host, connection, counted, coding, _own in _FIELDS.findall(raw.lower(), line_end):
            if host:
                self.host = host[1:].strip()
            elif connection:
                self.keep_alive = _stays_open(connection[1:], self.keep_alive)
            elif counted:
                length = _length(counted[1:], length)
            elif coding:
                chunked = _is_chunked(coding[1:])
                if not chunked:
                    raise BadMessage("the body of a request must end its transfer codings with chunked", 501)
            else:
                self._own = True
        if self._own:
            for name, value in _OWN_FIELDS.findall(raw, line_end):
                name = name.lower()
                if name == b"x-fast-test":
                    self.test = value.strip()
                elif name == b"x-fast-canary":
                    self.canary = True
                else:
                    self.authorization = value.strip()
        self.length = CHUNKED if chunked else max(length, 0)

    def body(self, limit: int) -> Body | None:
        """A follower for this request's body, None when it has none."""
        return _new_body(self.length, limit)

    def forwarded(self, target: bytes, authority: bytes) -> bytes:
        """The head for the origin: origin-form target, without what was said to the proxy only.

        A Host header that differs from the target's authority stays, against RFC 9112, section 3.2.2: a test
        that sets its own Host means it. A missing one is added.
        """
        head = self.raw
        if self.host is not None and not self._own:
            return self.method + b" " + target + head[self._version :]
        line = self.method + b" " + target + head[self._version : self.line_end + 1]
        if self.host is None:
            line += b"Host: " + authority + b"\r\n"
        rest = head[self.line_end + 1 :]
        return line + (_OWN_LINES.sub(b"", rest) if self._own else rest)

    def forwarded_inside(self) -> bytes:
        """The head for the origin at the end of a tunnel: only the name of the test is taken out."""
        return _TEST_LINE.sub(b"", self.raw) if self.test or self.canary else self.raw


class ResponseHead:
    """What the proxy must know of a response to `method`; `length` as in RequestHead, or UNTIL_CLOSE.

    A Content-Length that makes no sense leaves the end to the connection, unless the body is chunked: the
    client is to judge it.
    """

    __slots__ = ("keep_alive", "length", "raw", "status")

    def __init__(self, raw: bytes, method: bytes) -> None:
        self.raw = raw
        start = _STATUS_LINE.match(raw)
        if not start:
            raise BadMessage(f"{raw[:60]!r} is not the beginning of an HTTP/1.x response", 502)
        minor, digits = start.groups()
        self.status = status = int(digits)
        keep_alive = minor != b"0"
        length, chunked, senseless = UNTIL_CLOSE, False, False
        for connection, counted, coding in _FRAMING.findall(raw.lower(), start.end()):
            if counted:
                try:
                    length = _length(counted[1:], length)
                except BadMessage:
                    senseless = True
            elif connection:
                keep_alive = _stays_open(connection[1:], keep_alive)
            else:
                chunked = _is_chunked(coding[1:])
        if senseless:
            length, keep_alive = UNTIL_CLOSE, False
        if (
            status < 200
            or status in _BODYLESS_STATUS
            or method == b"HEAD"
            or (method == b"CONNECT" and status < 300)
        ):
            length = 0
        elif chunked:
            length = CHUNKED
        self.length = length
        self.keep_alive = keep_alive and length != UNTIL_CLOSE

    def body(self, limit: int) -> Body | None:
        """A follower for this response's body, None when it has none."""
        return _new_body(self.length, limit)


def _not_a_request(raw: bytes) -> BadMessage:
    line = raw.partition(b"\n")[0].rstrip(b"\r")
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if not target or not _METHOD.match(method):
        return BadMessage(f"{line[:60]!r} is not the first line of an HTTP request")
    return BadMessage(f"{version[:20]!r} is not HTTP/1.1", 505 if version[:5] == b"HTTP/" else 400)


def _length(value: bytes, before: int) -> int:
    """One Content-Length line after others; a list of equal values is one value (RFC 9110, section 8.6)."""
    word = value.strip()
    if before == -1 and word.isdigit() and len(word) <= 18:
        return int(word)
    for word in value.split(b","):
        word = word.strip()
        if not word.isdigit() or len(word) > 18:
            raise BadMessage(f"{value[:30]!r} is not a Content-Length")
        if before not in (-1, int(word)):
            raise BadMessage("the Content-Length headers contradict each other")
        before = int(word)
    return before


def _is_chunked(value: bytes) -> bool:
    return value.rpartition(b",")[2].strip() == b"chunked"


def _stays_open(value: bytes, default: bool) -> bool:
    if value == b" keep-alive":
        return True
    tokens = [word.strip() for word in value.split(b",")]
    if b"close" in tokens:
        return False
    return default or b"keep-alive" in tokens

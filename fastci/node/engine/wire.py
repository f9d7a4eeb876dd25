"""Reading one HTTP/1.x response from a byte stream, as leniently as browsers do. Sans-io.

httptools refuses what real targets send (illegal header bytes, wrong lengths, lines without CR) and keeps no
header bytes, so the reader is ours. Heads that were read before are not read again, which makes it cheaper
than httptools' callbacks.
"""

import re
from dataclasses import dataclass

from fastci.node.message import Response, parse_fields

_STATUS_LINE = re.compile(rb"(HTTP/[^ \t\r\n]*)[ \t]+([0-9]{3}) ?([^\r\n]*)")
_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?\n")
_CHUNKED = re.compile(rb"\ntransfer-encoding[ \t]*:[^\n]*chunked")
_CONNECTION = re.compile(rb"\n(?:proxy-)?connection[ \t]*:([^\n]*)")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[^\n]*\n")
_LONGEST_HEAD = 256 << 10
_LONGEST_CHUNK_LINE = 4096
_WITHOUT_BODY = frozenset({204, 304})
_UNTIL_CLOSE = -1
_CHUNKED_BODY = -2
_NO_BODY = -3
_MOST_KEPT = 256
_LONGEST_KEPT = 4096

Answer = tuple[Response, bool]
"""A response, and whether its connection may carry another request."""


class NotHttp(OSError):
    """What came back is no HTTP response, or its head never ends."""


@dataclass(kw_only=True, slots=True)
class _Head:
    """What a head says: the response without its body, and how the body is framed.

    `length` is a number of bytes, or one of _UNTIL_CLOSE, _CHUNKED_BODY and _NO_BODY. `latest` are the bytes
    of the last answer that had this head, and what they were read as.
    """

    response: Response
    length: int
    reusable: bool
    latest: tuple[bytes, Answer | None] = (b"", None)


class _Memory:
    """What was read lately: a target says the same over and over, but for some bodies."""

    def __init__(self) -> None:
        self._heads: dict[bytes, _Head] = {}
        self._latest: tuple[bytes, Answer | None] = b"", None

    def head(self, data: bytes) -> _Head:
        heads = self._heads
        known = heads.get(data)
        if known is None:
            known = _read_head(data)
            if len(data) <= _LONGEST_KEPT:
                if len(heads) >= _MOST_KEPT:
                    heads.clear()
                heads[data] = known
        return known

    def answer(self, data: bytes, *, method: bytes, limit: int) -> Answer | None:
        """What a ResponseReader would read from these first bytes, where that takes no effort; else None.

        They are an answer as a whole, whose head was read before. The same bytes twice are one response.
        """
        if method == b"HEAD" or len(data) > limit:
            return None
        known, answer = self._latest
        if data == known:
            return answer
        end = data.find(b"\r\n\r\n") + 4
        head = self._heads.get(data[:end])
        if head is None or head.length != len(data) - end:
            return None
        if data != head.latest[0]:
            head.latest = data, (head.response.with_body(data[end:]), head.reusable)
        self._latest = latest = head.latest
        return latest[1]


_memory = _Memory()


read_at_once = _memory.answer


def _read_head(head: bytes) -> _Head:
    """Length of the body (RFC 9112, section 6.3), and whether the connection stays open (9.3).

    Raises NotHttp without a status.
    """
    line = _STATUS_LINE.match(head)
    if line is None:
        raise NotHttp(f"no status in the answer: {head[:60]!r}")
    fields = parse_fields(head.partition(b"\n")[2])
    response = Response(version=line[1], status=int(line[2]), reason=line[3], fields=fields)
    lower = head.lower()
    options = b",".join(_CONNECTION.findall(lower)) if b"connection" in lower else b""
    reusable = b"close" not in options and (lower[:8] != b"http/1.0" or b"keep-alive" in options)
    if response.status in _WITHOUT_BODY:
        length = _NO_BODY
    elif response.status == 101:
        length, reusable = _NO_BODY, False
    elif b"\ntransfer-encoding" in lower and _CHUNKED.search(lower):
        length = _CHUNKED_BODY
    elif stated := _LENGTH.search(lower):
        length = int(stated[1])
    else:
        length, reusable = _UNTIL_CLOSE, False
    return _Head(response=response, length=length, reusable=reusable)


class ResponseReader:
    """Collects one response: `feed` what arrives until it returns True, or `finish` when the peer closed.

    `limit` is the number of body bytes kept; what is longer is cut there and the response counts as complete.
    `reusable` tells whether the connection may carry another request, `complete` whether all of the body is
    there (a wrong Content-Length, a cut or a deadline make it False). `began` is set by the first byte.
    """

    __slots__ = (
        "_body", "_buffer", "_chunked", "_empty", "_head", "_left", "_limit", "began", "complete", "reusable",
    )  # fmt: skip

    def __init__(self, *, method: bytes, limit: int) -> None:
        self._empty = method == b"HEAD"
        self._limit = limit
        self._buffer = b""
        self._head: _Head | None = None
        self._body: bytes | bytearray = b""
        self._left = 0
        self._chunked = False
        self.began = False
        self.complete = False
        self.reusable = False

    @property
    def has_head(self) -> bool:
        return self._head is not None

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the response has ended. Raises NotHttp."""
        self.began = True
        if self._head is None:
            data = self._buffer + data if self._buffer else data
            rest = self._take_head(data)
            if rest is None:
                return False
            data = rest
            if not self._left and not self._chunked:
                self._take_nothing(data)
                return True
        if self._chunked:
            return self._take_chunks(data)
        return self._take_plain(data)

    def finish(self) -> None:
        """The peer closed, or time is up: what is there is the response. Raises NotHttp without a head."""
        if self._head is None:
            raise NotHttp(f"the answer ended within its head: {self._buffer[:60]!r}")
        self.complete = not self._chunked and self._left == _UNTIL_CLOSE
        self.reusable = False

    def response(self) -> Response:
        """The response that was read."""
        assert self._head is not None
        return self._head.response.with_body(bytes(self._body))

    def answer(self) -> Answer:
        return self.response(), self.reusable

    def _take_head(self, data: bytes) -> bytes | None:
        """What follows the head, None while it is not whole. Interim responses (1xx) are passed over."""
        while True:
            start = data.lstrip(b"\r\n") if data[:1] in (b"\r", b"\n") else data
            if not b"HTTP/".startswith(start[:5]):
                raise NotHttp(f"not an HTTP answer: {start[:60]!r}")
            end = _HEAD_END.search(start)
            if end is None:
                if len(start) > _LONGEST_HEAD:
                    raise NotHttp(f"the head of the answer is longer than {_LONGEST_HEAD} bytes")
                self._buffer = start
                return None
            found, rest = start[: end.end()], start[end.end() :]
            head = _memory.head(found)
            if not 100 <= head.response.status < 200 or head.response.status == 101:
                self._begin(head)
                return rest
            data = rest

    def _begin(self, head: _Head) -> None:
        self._head = head
        self._buffer = b""
        self.reusable = head.reusable
        if self._empty or head.length == _NO_BODY:
            self._empty = True
        elif head.length == _CHUNKED_BODY:
            self._chunked = True
        else:
            self._left = head.length

    def _take_nothing(self, data: bytes) -> None:
        """No body is due; what comes all the same is kept where its length was only miscounted."""
        self.complete = self._empty or not data
        if data:
            self.reusable = False
            if not self._empty and data[:5] != b"HTTP/":
                self._add(data)
                self._is_cut()

    def _add(self, piece: bytes) -> None:
        if not self._body:
            self._body = piece
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += piece

    def _take_plain(self, data: bytes) -> bool:
        if self._left == _UNTIL_CLOSE:
            self._add(data)
            return self._is_cut()
        surplus = len(data) - self._left
        if surplus > 0:
            # Counting characters instead of bytes is a common mistake: the rest of the page follows.
            self.reusable = False
            if data[self._left : self._left + 5] == b"HTTP/":
                data = data[: self._left]
        self._add(data)
        self._left -= len(data)
        if self._left <= 0:
            self.complete = surplus <= 0
            self._is_cut()
            return True
        return self._is_cut()

    def _take_chunks(self, data: bytes) -> bool:
        """Chunked transfer coding (RFC 9112, section 7.1). `_left` counts chunk data and its line end."""
        data = self._buffer + data if self._buffer else data
        position = 0
        while True:
            if self._left > 0:
                piece = data[position : position + self._left]
                self._add(piece if len(piece) <= self._left - 2 else piece[: self._left - 2])
                position += len(piece)
                self._left -= len(piece)
                if self._is_cut():
                    return True
                if self._left:
                    self._buffer = b""
                    return False
            size = _CHUNK_SIZE.match(data, position)
            if size is None:
                self._buffer = data[position:]
                if b"\n" not in self._buffer and len(self._buffer) < _LONGEST_CHUNK_LINE:
                    return False
                self._add(self._buffer)
                self.reusable = False
                return True
            if int(size[1], 16) == 0:
                end = self._end_of_trailers(data, size.end())
                if end < 0:
                    self._buffer = data[position:]
                    return len(self._buffer) > _LONGEST_HEAD
                self.reusable = self.reusable and end == len(data)
                self.complete = True
                return True
            position = size.end()
            self._left = int(size[1], 16) + 2

    @staticmethod
    def _end_of_trailers(data: bytes, start: int) -> int:
        for ending in (b"\r\n", b"\n"):
            if data.startswith(ending, start):
                return start + len(ending)
        end = _HEAD_END.search(data, start)
        return end.end() if end else -1

    def _is_cut(self) -> bool:
        if len(self._body) <= self._limit:
            return False
        self._body = self._body[: self._limit]
        self.complete = self.reusable = False
        return True

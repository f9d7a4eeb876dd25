"""Reading one HTTP/1.x response from a byte stream, as leniently as browsers do. Sans-io.

httptools refuses what real targets send (illegal header bytes, wrong lengths, lines without CR) and keeps no
header bytes, so the reader is ours; on short answers it costs what httptools' callbacks cost.
"""

import re

from fastci.node.message import Response, parse_response

_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?\n")
_CHUNKED = re.compile(rb"\ntransfer-encoding[ \t]*:[^\n]*chunked")
_CONNECTION = re.compile(rb"\n(?:proxy-)?connection[ \t]*:([^\n]*)")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[^\n]*\n")
_LONGEST_HEAD = 256 << 10
_LONGEST_CHUNK_LINE = 4096
_WITHOUT_BODY = frozenset({204, 304})
_UNTIL_CLOSE = -1


class NotHttp(OSError):
    """What came back is no HTTP response, or its head never ends."""


class ResponseReader:
    """Collects one response: `feed` what arrives until it returns True, or `finish` when the peer closed.

    `limit` is the number of body bytes kept; what is longer is cut there and the response counts as complete.
    `reusable` tells whether the connection may carry another request, `complete` whether all of the body is
    there (a wrong Content-Length, a cut or a deadline make it False). `began` is set by the first byte.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_empty",
        "_head",
        "_left",
        "_limit",
        "began",
        "complete",
        "reusable",
    )

    def __init__(self, *, method: bytes, limit: int) -> None:
        self._empty = method == b"HEAD"
        self._limit = limit
        self._buffer = b""
        self._head = b""
        self._body = bytearray()
        self._left = 0
        self._chunked = False
        self.began = False
        self.complete = False
        self.reusable = False

    @property
    def has_head(self) -> bool:
        return bool(self._head)

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the response has ended. Raises NotHttp."""
        self.began = True
        if not self._head:
            data = self._buffer + data if self._buffer else data
            rest = self._take_head(data)
            if rest is None:
                return False
            data = rest
            if self._empty:
                self.reusable = self.reusable and not data
                self.complete = True
                return True
        if self._chunked:
            return self._take_chunks(data)
        return self._take_plain(data)

    def finish(self) -> None:
        """The peer closed, or time is up: what is there is the response. Raises NotHttp without a head."""
        if not self._head:
            raise NotHttp(f"the answer ended within its head: {self._buffer[:60]!r}")
        self.complete = not self._chunked and self._left == _UNTIL_CLOSE
        self.reusable = False

    def response(self) -> Response:
        """The response that was read."""
        return parse_response(self._head, bytes(self._body))

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
            head, rest = start[: end.end()], start[end.end() :]
            status = head[8:14].strip(b" \t\r\n")[:3]
            if not status.isdigit():
                raise NotHttp(f"no status in the answer: {head[:60]!r}")
            if not (status[:1] == b"1" and status != b"101"):
                self._buffer = b""
                self._read_framing(head, int(status))
                return rest
            data = rest

    def _read_framing(self, head: bytes, status: int) -> None:
        """Length of the body (RFC 9112, section 6.3), and whether the connection stays open (9.3)."""
        self._head = head
        lower = head.lower()
        options = b",".join(_CONNECTION.findall(lower)) if b"connection" in lower else b""
        self.reusable = b"close" not in options and (lower[:8] != b"http/1.0" or b"keep-alive" in options)
        if self._empty or status in _WITHOUT_BODY:
            self._empty = True
        elif status == 101:
            self._empty, self.reusable = True, False
        elif b"\ntransfer-encoding" in lower and _CHUNKED.search(lower):
            self._chunked = True
        elif length := _LENGTH.search(lower):
            self._left = int(length[1])
        else:
            self._left, self.reusable = _UNTIL_CLOSE, False

    def _take_plain(self, data: bytes) -> bool:
        if self._left == _UNTIL_CLOSE:
            self._body += data
            return self._is_cut()
        surplus = len(data) - self._left
        if surplus > 0:
            # Counting characters instead of bytes is a common mistake: the rest of the page follows.
            self.reusable = False
            if data[self._left : self._left + 5] == b"HTTP/":
                data = data[: self._left]
        self._body += data
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
                self._body += piece if len(piece) <= self._left - 2 else piece[: self._left - 2]
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
                self._body += self._buffer
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
        del self._body[self._limit :]
        self.complete = self.reusable = False
        return True

"""Escapes inside a text format: how bytes are spelt, read and spelt again.

A changed value keeps the recorded spelling of everything that did not change: only the bytes between the
common beginning and the common end of the old and the new value are escaped afresh.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote_to_bytes

from fastci.node.points.model import Put


@dataclass(frozen=True, slots=True)
class Spelling:
    """`escapes` matches every escape sequence, `read` gives the bytes it stands for, `write` escapes.

    `read_all`, where there is one, decodes a whole text and does it faster.
    """

    escapes: re.Pattern[bytes]
    read: Callable[[re.Match[bytes]], bytes]
    write: Callable[[bytes], bytes]
    read_all: Callable[[bytes], bytes] | None = None

    def decode(self, raw: bytes) -> bytes:
        return self.read_all(raw) if self.read_all else self.escapes.sub(self.read, raw)

    def respell(self, raw: bytes, value: bytes) -> bytes:
        """`value` escaped, spelt as `raw` is where both mean the same bytes."""
        old = self.decode(raw)
        if old == value:
            return raw
        head = _common_prefix(old, value)
        tail = _common_suffix(old[head:], value[head:])
        if not head and not tail:
            return self.write(value)
        start, head = self._boundary(raw, head, down=True)
        end, tail_start = self._boundary(raw, len(old) - tail, down=False)
        middle = value[head : len(value) - (len(old) - tail_start)]
        spelt = raw[:start] + self.write(middle) + raw[end:]
        # A lone % or & of the recorded text can join with what now follows it.
        return spelt if self.decode(spelt) == value else self.write(value)

    def _boundary(self, raw: bytes, position: int, *, down: bool) -> tuple[int, int]:
        """Offset in `raw` of a position in the decoded bytes, both moved out of an escape if inside one."""
        decoded = at = 0
        for match in self.escapes.finditer(raw):
            before = decoded + match.start() - at
            if position <= before:
                break
            after = before + len(self.read(match))
            if position < after:
                return (match.start(), before) if down else (match.end(), after)
            decoded, at = after, match.end()
        return at + position - decoded, position


def splice(data: bytes, start: int, end: int, spelling: Spelling) -> Put[bytes]:
    """A place that is `data[start:end]`, spelt by `spelling`."""
    return partial(_put, data, start, end, spelling)


def _put(data: bytes, start: int, end: int, spelling: Spelling, value: bytes, raw: bool, /) -> bytes:
    spelt = value if raw else spelling.respell(data[start:end], value)
    return data[:start] + spelt + data[end:]


def verbatim(data: bytes, start: int, end: int) -> Put[bytes]:
    """A place without any escapes."""
    return partial(_put_verbatim, data, start, end)


def _put_verbatim(data: bytes, start: int, end: int, value: bytes, raw: bool, /) -> bytes:
    return data[:start] + value + data[end:]


def _common_prefix(a: bytes, b: bytes) -> int:
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_suffix(a: bytes, b: bytes) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _escape_table(safe: bytes) -> list[bytes]:
    return [bytes([c]) if c in safe else b"%%%02X" % c for c in range(256)]


def _read_percent(match: re.Match[bytes]) -> bytes:
    token = match.group()
    return b" " if token == b"+" else bytes.fromhex(token[1:].decode("ascii"))


def percent_spelling(safe: bytes, *, plus: bool = False) -> Spelling:
    """RFC 3986, section 2.1. Bytes outside `safe` are escaped; `plus`: a `+` is read as a blank."""
    table = _escape_table(safe)
    unsafe = re.compile(b"[^" + re.escape(safe) + b"]")
    escapes = re.compile(rb"%[0-9A-Fa-f]{2}|\+" if plus else rb"%[0-9A-Fa-f]{2}")

    def write(value: bytes) -> bytes:
        return unsafe.sub(lambda m: table[m.group()[0]], value)

    def read_all(raw: bytes) -> bytes:
        if plus:
            raw = raw.replace(b"+", b" ")
        return unquote_to_bytes(raw) if len(raw) <= _CHUNK else b"".join(map(unquote_to_bytes, _chunks(raw)))

    return Spelling(escapes, _read_percent, write, read_all)


def _chunks(raw: bytes) -> Iterator[bytes]:
    """Pieces of a long text, none of which ends inside an escape: decoding takes 70 times its bytes."""
    at = 0
    while at < len(raw):
        end = at + _CHUNK
        percent = raw.rfind(b"%", max(at, end - 2), end)
        end = percent if percent > at else end
        yield raw[at:end]
        at = end


_CHUNK = 65_536
UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
NO_ESCAPES = re.compile(rb"(?!)")
_LINE_BREAKERS = re.compile(rb"[\0\r\n]")


def keep_on_line(value: bytes) -> bytes:
    """NUL, CR and LF percent-encoded: a header line has no escapes, and these would end it."""
    return _LINE_BREAKERS.sub(lambda m: b"%%%02X" % m.group()[0], value)

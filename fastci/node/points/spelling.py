"""Escapes inside a text format: how bytes are spelt, read and spelt again.

A changed value keeps the recorded spelling of everything that did not change: only the bytes between the
common beginning and the common end of the old and the new value are escaped afresh.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote_to_bytes

from fastci.node.points.model import Container, Put


class Coded(bytes):
    """What an encoding gave: all of it is new, even where it begins as the old value does."""

    __slots__ = ()


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

    def respell(self, raw: bytes, old: bytes, value: bytes) -> bytes:
        """`value` escaped, spelt as `raw` is where both mean the same bytes; `old` is what `raw` means."""
        if old == value:
            return raw
        if isinstance(value, Coded) or self.is_plain(raw, old):
            return self.write(value)
        head = _common_prefix(old, value)
        tail = _common_suffix(old[head:], value[head:])
        start, head = self._boundary(raw, head, down=True)
        end, tail_start = self._boundary(raw, len(old) - tail, down=False)
        middle = value[head : len(value) - (len(old) - tail_start)]
        spelt = raw[:start] + self.write(middle) + raw[end:]
        # A lone % or & of the recorded text can join with what now follows it.
        return spelt if self.decode(spelt) == value else self.write(value)

    def is_plain(self, raw: bytes, old: bytes) -> bool:
        """Whether there is no odd spelling to keep."""
        return self.write(old) == raw

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


def splice(data: bytes, start: int, end: int, spelling: Spelling, old: bytes) -> Put[bytes]:
    """A place that is `data[start:end]`, spelt by `spelling`, with the value `old`."""
    if not spelling.is_plain(data[start:end], old):
        return partial(_put, data, start, end, spelling, old)
    if len(data) <= _CUT_BEFORE:
        return partial(_put_between, data[:start], data[end:], spelling.write)
    return partial(_put_afresh, data, start, end, spelling.write)


def _put_between(
    before: bytes, after: bytes, write: Callable[[bytes], bytes], value: bytes, raw: bool, /
) -> bytes:
    return before + (value if raw else write(value)) + after


def _put_afresh(
    data: bytes, start: int, end: int, write: Callable[[bytes], bytes], value: bytes, raw: bool, /
) -> bytes:
    return data[:start] + (value if raw else write(value)) + data[end:]


def _put(
    data: bytes, start: int, end: int, spelling: Spelling, old: bytes, value: bytes, raw: bool, /
) -> bytes:
    spelt = value if raw else spelling.respell(data[start:end], old, value)
    return data[:start] + spelt + data[end:]


def lifted(put: Put[bytes], lift: Callable[[bytes], Container]) -> Put[Container]:
    """A place in what `lift` makes of the bytes that `put` gives."""
    if isinstance(put, partial) and put.func is _put_between:  # nearly every attack goes through here
        return partial(_put_between_and_lift, lift, *put.args)
    return partial(_put_and_lift, lift, put)


def _put_and_lift(
    lift: Callable[[bytes], Container], put: Put[bytes], value: bytes, raw: bool, /
) -> Container:
    return lift(put(value, raw))


def _put_between_and_lift(
    lift: Callable[[bytes], Container],
    before: bytes, after: bytes, write: Callable[[bytes], bytes], value: bytes, raw: bool, /,
) -> Container:  # fmt: skip
    return lift(before + (value if raw else write(value)) + after)


def verbatim(data: bytes, start: int, end: int) -> Put[bytes]:
    """A place without any escapes."""
    return partial(_put_verbatim, data, start, end)


def _put_verbatim(data: bytes, start: int, end: int, value: bytes, raw: bool, /) -> bytes:
    return data[:start] + value + data[end:]


def _common_prefix(a: bytes, b: bytes) -> int:
    low, step, high = 0, _STEP, min(len(a), len(b))
    while low < high and a[low : low + step] == b[low : low + step]:
        low, step = min(low + step, high), 2 * step
    high = min(high, low + step)
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_suffix(a: bytes, b: bytes) -> int:
    low, step, high = 0, _STEP, min(len(a), len(b))
    end_a, end_b = len(a), len(b)
    while (
        low < high
        and a[max(end_a - low - step, 0) : end_a - low] == b[max(end_b - low - step, 0) : end_b - low]
    ):
        low, step = min(low + step, high), 2 * step
    high = min(high, low + step)
    while low < high:
        middle = (low + high + 1) // 2
        if a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]:
            low = middle
        else:
            high = middle - 1
    return low


_STEP = 16
_CUT_BEFORE = 1024  # bytes of a text up to which what stands around its places is kept for each of them
_SHORT = 64  # bytes up to which looking every byte up is faster than one replacement for each kind of byte


def escaper(escaped: Mapping[int, bytes]) -> Callable[[bytes], bytes]:
    """A function that writes these bytes as the given escapes and leaves all others as they are.

    These are no letters and digits. All escapes begin with the same byte; of the bytes to escape they hold at
    most that one and their own.
    """
    lead = next(iter(escaped.values()))[:1]
    table = [escaped.get(c) or bytes([c]) for c in range(256)]
    unsafe = re.compile(b"[" + re.escape(bytes(escaped)) + b"]")

    def write(value: bytes) -> bytes:
        if value.isalnum() or unsafe.search(value) is None:
            return value
        if len(value) <= _SHORT:
            return b"".join([table[c] for c in value])
        for each in sorted(set(unsafe.findall(value)), key=lambda found: found != lead):
            value = value.replace(each, table[each[0]])
        return value

    return write


def percent_escaper(unsafe: bytes) -> Callable[[bytes], bytes]:
    """A function that writes these bytes as RFC 3986, section 2.1, has it."""
    return escaper({c: b"%%%02X" % c for c in unsafe})


def _read_percent(match: re.Match[bytes]) -> bytes:
    token = match.group()
    return b" " if token == b"+" else bytes.fromhex(token[1:].decode("ascii"))


def percent_spelling(safe: bytes, *, plus: bool = False) -> Spelling:
    """RFC 3986, section 2.1. Bytes outside `safe` are escaped; `plus`: a `+` is read as a blank."""
    escapes = re.compile(rb"%[0-9A-Fa-f]{2}|\+" if plus else rb"%[0-9A-Fa-f]{2}")

    def read_all(raw: bytes) -> bytes:
        if plus:
            raw = raw.replace(b"+", b" ")
        if b"%" not in raw:
            return raw
        return unquote_to_bytes(raw) if len(raw) <= _CHUNK else b"".join(map(unquote_to_bytes, _chunks(raw)))

    unsafe = bytes(c for c in range(256) if c not in safe)
    return Spelling(escapes, _read_percent, percent_escaper(unsafe), read_all)


def plain_spelling(write: Callable[[bytes], bytes]) -> Spelling:
    """A format that has no escapes of its own: it is read as it stands, and written as well as it can be."""
    return Spelling(_NO_ESCAPES, _read_percent, write, _as_it_is)


def _as_it_is(raw: bytes) -> bytes:
    return raw


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
_NO_ESCAPES = re.compile(rb"(?!)")
UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

keep_on_line = percent_escaper(b"\0\r\n")
"""NUL, CR and LF percent-encoded: a header line has no escapes, and these would end it."""

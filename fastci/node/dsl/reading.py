"""A response as something to search in: head lines, and the body as text without its codings."""

import html
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from fastci.node.dsl.patterns import Text
from fastci.node.dsl.places import Place, places_of
from fastci.node.message import Field, Response

LARGEST = 4 << 20
"""Bytes of a decoded body that are looked at; a bomb ends there."""

_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.I)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w-]+)", re.I)
_BYTE_ORDER = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_BYTE_ORDER_STARTS = {start[:1] for start, _ in _BYTE_ORDER}
_META = 2048
_JSON_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_JSON_CHARS = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
# MIME Sniffing Standard, section 7.1: what a resource without a type is taken for HTML by.
_HTML_START = re.compile(
    r"[\t\n\f\r ]*<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[ >]"
    r"|[\t\n\f\r ]*<!--",
    re.I,
)
_RECENT = 8
_RECENT_HEADS = 64

UNESCAPES = ("html", "json", "percent")


class _Head:
    """What header lines say of a body. Responses share them, as the wire client reads equal heads once."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        named = [(field.name.lower(), field.value.decode("latin-1")) for field in fields]
        first = dict(reversed(named))
        content_type = first.get(b"content-type", "")
        charset = _CHARSET.search(content_type)
        self.media_type = content_type.partition(";")[0].strip().lower()
        self.charset = charset[1] if charset else ""
        self.is_attachment = first.get(b"content-disposition", "").lstrip().lower().startswith("attachment")
        self.may_be_sniffed = first.get(b"x-content-type-options", "").strip().lower() != "nosniff"
        codings = ",".join(value for name, value in named if name == b"content-encoding")
        self.codings = tuple(coding for part in codings.lower().split(",") if (coding := part.strip()))


class Reading:
    """One response, decoded once. Every text is a `str`; bytes that fit no charset become U+FFFD.

    `silent` is for those who look: what found nothing in it and would find nothing again.
    """

    __slots__ = ("_head", "_places", "_plain", "_unescaped", "response", "silent")

    def __init__(self, response: Response, head: _Head) -> None:
        self.response = response
        self.silent: set[object] = set()
        self._head = head
        self._plain: Text | None = None
        self._places: list[Place] | None = None
        self._unescaped: dict[str, Text] | None = None

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """The header lines as name and value."""
        fields = self.response.fields
        return tuple((f.name.decode("latin-1"), f.value.decode("utf-8", "replace")) for f in fields)

    @property
    def media_type(self) -> str:
        """Type and subtype of Content-Type in lower case, empty when there is none."""
        return self._head.media_type

    @property
    def is_html(self) -> bool:
        """Whether a browser shows this response as HTML."""
        head = self._head
        if head.is_attachment:
            return False
        if head.media_type:
            return head.media_type in _HTML_TYPES
        return head.may_be_sniffed and _HTML_START.match(self.body) is not None

    @property
    def body(self) -> str:
        """The body without its content coding, as text."""
        return self.plain.text

    @property
    def plain(self) -> Text:
        """The body to search in, as it is."""
        if self._plain is None:
            data, head = self.response.body, self._head
            if head.codings or len(data) > LARGEST:
                data = self._decompressed()
            self._plain = Text(_as_text(data, head.charset))
        return self._plain

    @property
    def places(self) -> list[Place]:
        """Where things stand in the body, parsed as HTML5."""
        if self._places is None:
            self._places = places_of(self.body)
        return self._places

    def texts(self, unescape: Sequence[str]) -> list[Text]:
        """The body as it is, then with these escapes read, where that makes a difference."""
        plain = self._plain or self.plain
        if not unescape:
            return [plain]
        if self._unescaped is None:
            self._unescaped = {}
        found = [plain]
        for way in unescape:
            text = self._unescaped.get(way)
            if text is None:
                text = self._unescaped[way] = Text(_UNESCAPE[way](plain.text))
            if text.text != plain.text:
                found.append(text)
        return found

    def _decompressed(self) -> bytes:
        data = self.response.body[:LARGEST]
        for coding in reversed(self._head.codings):
            data = _decompress(data, coding)
        return data


def _have_one_head(first: Response, second: Response) -> bool:
    """Whether two with the same body are the same. Equal heads share their fields."""
    return first.fields is second.fields and first.status == second.status and first.reason == second.reason


def _as_text(data: bytes, charset: str) -> str:
    if not charset and data.isascii():
        return data.decode("ascii")
    if data[:1] in _BYTE_ORDER_STARTS:
        for start, marked in _BYTE_ORDER:
            if data.startswith(start):
                return data.decode(marked, "replace")
    if not charset and b"charset" in data[:_META].lower() and (meta := _META_CHARSET.search(data, 0, _META)):
        charset = meta[1].decode("ascii", "replace")
    try:
        return data.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


class _Readings:
    """The readings of late by their bodies: conditions ask in turn, and a target repeats itself."""

    def __init__(self) -> None:
        self._known: dict[bytes, Reading] = {}
        self._heads: dict[int, _Head] = {}
        self._last: Reading | None = None

    def of(self, response: Response) -> Reading:
        """The reading of a response. It is shared by those whose head and body are the same bytes."""
        last = self._last
        if last is not None and last.response is response:
            return last
        known, fields = self._known, response.fields
        reading = known.get(response.body)
        if reading is None or not _have_one_head(reading.response, response):
            if len(known) >= _RECENT:
                known.clear()
            head = self._heads.get(id(fields)) or self._read_head(fields)
            reading = known[response.body] = Reading(response, head)
        self._last = reading
        return reading

    def _read_head(self, fields: tuple[Field, ...]) -> _Head:
        if len(self._heads) >= _RECENT_HEADS:
            del self._heads[next(iter(self._heads))]
        head = self._heads[id(fields)] = _Head(fields)
        return head


read = _Readings().of


def _decompress(data: bytes, coding: str) -> bytes:
    if coding == "br":
        return _brotli(data)
    for window in _WINDOWS.get(coding, ()):
        with suppress(zlib.error):
            return zlib.decompressobj(window).decompress(data, LARGEST)
    return data


def _brotli(data: bytes) -> bytes:
    """Without the optional library the bytes stay as they are: nothing is found in them."""
    try:
        brotli = import_module("brotli")
    except ImportError:
        return data
    try:
        decoder = brotli.Decompressor()
        out = bytearray()
        for start in range(0, len(data), 4096):
            out += decoder.process(data[start : start + 4096])
            if len(out) > LARGEST:
                break
        return bytes(out[:LARGEST])
    except brotli.error:
        return data


def _from_html(text: str) -> str:
    return html.unescape(text) if "&" in text else text


def _from_json(text: str) -> str:
    if "\\" not in text:
        return text
    return _JSON_ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _JSON_CHARS[m[2]], text)


def _from_percent(text: str) -> str:
    if "%" not in text:
        return text
    return _PERCENT.sub(lambda m: chr(int(m[1], 16)), text)


_UNESCAPE = {"html": _from_html, "json": _from_json, "percent": _from_percent}

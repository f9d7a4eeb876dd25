"""A response as something to search in: head lines, and the body as text without its codings."""

import html
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from importlib import import_module

from fastci.node.dsl.patterns import Text
from fastci.node.dsl.places import Place, places_of
from fastci.node.message import Response

LARGEST = 4 << 20
"""Bytes of a decoded body that are looked at; a bomb ends there."""

_WINDOWS = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.I)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w-]+)", re.I)
_BYTE_ORDER = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
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

UNESCAPES = ("html", "json", "percent")


class Reading:
    """One response, decoded once. Every text is a `str`; bytes that fit no charset become U+FFFD.

    `silent` is for those who look: what found nothing in it and would find nothing again.
    """

    def __init__(self, response: Response) -> None:
        self.response = response
        self.silent: dict[int, object] = {}
        self._texts: dict[str, Text] = {}

    @cached_property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """The header lines as name and value."""
        fields = self.response.fields
        return tuple((f.name.decode("latin-1"), f.value.decode("utf-8", "replace")) for f in fields)

    @cached_property
    def media_type(self) -> str:
        """Type and subtype of Content-Type in lower case, empty when there is none."""
        return self._content_type.partition(";")[0].strip().lower()

    @cached_property
    def is_html(self) -> bool:
        """Whether a browser shows this response as HTML."""
        disposition = (self.response.get(b"content-disposition") or b"").lstrip().lower()
        if disposition.startswith(b"attachment"):
            return False
        if self.media_type:
            return self.media_type in _HTML_TYPES
        sniffs = (self.response.get(b"x-content-type-options") or b"").strip().lower() != b"nosniff"
        return sniffs and _HTML_START.match(self.body) is not None

    @cached_property
    def body(self) -> str:
        """The body without its content coding, as text."""
        data = self._decompressed()
        for start, charset in _BYTE_ORDER:
            if data.startswith(start):
                return data.decode(charset, "replace")
        match = _CHARSET.search(self._content_type)
        declared = match[1] if match else ""
        if not declared and (meta := _META_CHARSET.search(data, 0, 2048)):
            declared = meta[1].decode("ascii", "replace")
        with suppress(LookupError, ValueError):
            return data.decode(declared or "utf-8", "replace")
        return data.decode("utf-8", "replace")

    @cached_property
    def places(self) -> list[Place]:
        """Where things stand in the body, parsed as HTML5."""
        return places_of(self.body)

    def texts(self, unescape: Sequence[str]) -> list[Text]:
        """The body as it is, then with these escapes read, where that makes a difference."""
        found = [self._text("")]
        for way in unescape:
            text = self._text(way)
            if text.text != found[0].text:
                found.append(text)
        return found

    def _text(self, way: str) -> Text:
        if way not in self._texts:
            self._texts[way] = Text(_UNESCAPE[way](self.body) if way else self.body)
        return self._texts[way]

    @property
    def _content_type(self) -> str:
        return (self.response.get(b"content-type") or b"").decode("latin-1")

    def _decompressed(self) -> bytes:
        data = self.response.body[:LARGEST]
        codings = b",".join(self.response.get_all(b"content-encoding")).decode("latin-1").lower().split(",")
        for coding in reversed([c.strip() for c in codings]):
            data = _decompress(data, coding)
        return data


class _Readings:
    """The readings of late: conditions ask one after the other, and a target repeats itself."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Reading] = {}
        self._last: Reading | None = None

    def of(self, response: Response) -> Reading:
        if self._last is None or self._last.response is not response:
            self._last = self._find(response)
        return self._last

    def _find(self, response: Response) -> Reading:
        # Equal heads share their fields, so these need not be compared one by one.
        key = (id(response.fields), response.status, response.reason, response.body)
        reading = self._known.get(key)
        if reading is None:
            if len(self._known) >= _RECENT:
                del self._known[next(iter(self._known))]
            reading = self._known[key] = Reading(response)
        return reading


_readings = _Readings()


def read(response: Response) -> Reading:
    """The reading of a response. It is shared by those whose head and body are the same bytes."""
    return _readings.of(response)


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

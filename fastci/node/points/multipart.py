"""multipart/form-data bodies (RFC 7578, RFC 2046 section 5.1). Every part keeps its own header lines."""

import re
from dataclasses import dataclass

from fastci.node.points.keys import key_words
from fastci.node.points.limits import MAX_ELEMENTS
from fastci.node.points.model import Element, Elements
from fastci.node.points.spelling import (
    Spelling,
    keep_on_line,
    percent_escaper,
    plain_spelling,
    splice,
    verbatim,
)

_BOUNDARY = re.compile(rb"boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;,\"]{1,200}))", re.IGNORECASE)
_FIRST_LINE = re.compile(rb"--([^\r\n]{1,200}?)[ \t]*\r?\n")
_HEADERS_END = re.compile(rb"\n\r?\n")
_DISPOSITION = re.compile(rb"^content-disposition[ \t]*:[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_TYPE = re.compile(rb"^content-type[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_PARAMETER = r';[ \t]*%s[ \t]*=[ \t]*(?:"((?:[^"\\\r\n]|\\.)*+)"|([^\s;"]*+))'
_NAME = re.compile((_PARAMETER % "name").encode(), re.IGNORECASE)
_FILENAME = re.compile((_PARAMETER % "filename").encode(), re.IGNORECASE)

# HTML's form submission escapes these three; a backslash before a quote is the older way.
_ESCAPES = re.compile(rb"%22|%0[dD]|%0[aA]|\\[\"\\]")
_READ = {b"%22": b'"', b"%0D": b"\r", b"%0A": b"\n"}
Span = tuple[int, int]


def _read(match: re.Match[bytes]) -> bytes:
    return _READ.get(match.group().upper()) or match.group()[1:]


QUOTED = Spelling(_ESCAPES, _read, percent_escaper(b'\0"\r\n'))
LINE = plain_spelling(keep_on_line)


@dataclass(frozen=True, slots=True)
class _Part:
    name: Span
    filename: Span | None
    type: Span | None
    content: Span


class Multipart:
    word = "MULTIPART"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return hint[:10].lower() == b"multipart/" or (hint not in (b"", b"cookie") and data.startswith(b"--"))

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        parts = _parts(data, hint)
        keys = [QUOTED.decode(data[slice(*part.name)]) for part in parts]
        elements: Elements = []
        for part, key, (words, aliases) in zip(parts, keys, key_words(keys), strict=True):
            spellings = [(self.word, *spelling) for spelling in (words, *aliases)]
            elements += _part_elements(data, part, key, spellings[0], tuple(spellings[1:]))
        return elements or None


def _part_elements(
    data: bytes, part: _Part, key: bytes, words: tuple[str, ...], aliases: tuple[tuple[str, ...], ...]
) -> Elements:
    elements: Elements = []

    def add(
        span: Span, spelling: Spelling | None, *below: str, hint: bytes = b"", nests: bool = True
    ) -> None:
        raw = data[slice(*span)]
        value = spelling.decode(raw) if spelling else raw
        put = splice(data, *span, spelling, value) if spelling else verbatim(data, *span)
        others = tuple((*alias, *below) for alias in aliases)
        elements.append(Element((*words, *below), value, put, aliases=others, hint=hint, nests=nests))

    hint = data[slice(*part.type)] if part.type else b""
    if part.filename is None:
        add(part.content, None, hint=hint)
    else:
        add(part.content, None, "FILE", hint=hint)
        add(part.filename, QUOTED, "FILENAME")
    if part.type is not None:
        add(part.type, LINE, "TYPE", nests=False)
    put = splice(data, *part.name, QUOTED, key)
    elements.append(Element(words, key, put, service="name", aliases=aliases, nests=False))
    return elements


def _parts(data: bytes, hint: bytes) -> list[_Part]:
    """The parts that have headers and a content; a missing last boundary is forgiven."""
    stated = _BOUNDARY.search(hint) or _FIRST_LINE.match(data)
    if stated is None:
        return []
    boundary = re.escape(stated[1] or stated[stated.lastindex or 1])
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + boundary + rb"(--)?[ \t]*(?:(?=\r?\n)|\Z)")
    parts: list[_Part] = []
    start = -1
    for match in delimiter.finditer(data):
        if start >= 0 and (part := _part(data, start, match.start())):
            parts.append(part)
        start = match.end()
        if match[1] or len(parts) >= MAX_ELEMENTS:
            return parts
    end = len(data.rstrip(b"\r\n")) if start >= 0 else 0
    if end > start >= 0 and (part := _part(data, start, end)):
        parts.append(part)
    return parts


def _part(data: bytes, start: int, end: int) -> _Part | None:
    """The part between two boundary lines; `start` is where the line end of the first one stands."""
    blank = _HEADERS_END.search(data, start, min(end + 2, len(data)))
    if blank is None or blank.start() > end:
        return None
    disposition = _DISPOSITION.search(data, start, blank.start() + 1)
    name = disposition and _NAME.search(data, *disposition.span())
    if disposition is None or name is None:
        return None
    filename = _FILENAME.search(data, *disposition.span())
    media = _TYPE.search(data, start, blank.start() + 1)
    return _Part(
        name=name.span(name.lastindex or 1),
        filename=filename.span(filename.lastindex or 1) if filename else None,
        type=media.span(1) if media else None,
        content=(min(blank.end(), end), end),
    )

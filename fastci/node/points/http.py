"""The implicit parser: a request's own parts (spec/points.md, RFC 9112 section 3, RFC 3986 section 3)."""

from collections import Counter
from dataclasses import replace
from functools import partial

from fastci.node.message import Field, Request
from fastci.node.points.form_urlencoded import parse_parameters
from fastci.node.points.keys import to_text
from fastci.node.points.model import Element, Put
from fastci.node.points.spelling import (
    UNRESERVED,
    keep_on_line,
    lifted,
    percent_escaper,
    percent_spelling,
    plain_spelling,
    splice,
)

HttpElements = list[Element[Request]]

_SUB_DELIMS = b"!$&'()*+,;=:@"
_SEGMENT = percent_spelling(UNRESERVED + _SUB_DELIMS)
_TOKEN_SAFE = b"!#$%&'*+.^_`|~-" + UNRESERVED
_write_token = percent_escaper(bytes(c for c in range(256) if c not in _TOKEN_SAFE))
_URI = plain_spelling(percent_escaper(bytes(range(0x21)) + b'"<>\\^`{|}#' + bytes(range(0x7F, 0x100))))


def parse_http(request: Request) -> HttpElements:
    """Method, path, query, headers, body; in the order of the bytes."""
    elements: HttpElements = [
        Element(("METHOD",), request.method, partial(_put_method, request), nests=False)
    ]
    elements += _target_elements(request)
    elements += _header_elements(request)
    if request.body:
        hint = request.get(b"content-type") or b"unknown"
        put = partial(_put_body, request)
        elements.append(Element(("POST",), request.body, put, kind="document", hint=hint))
    return elements


def _target_elements(request: Request) -> HttpElements:
    target = request.target
    start = _path_start(target)
    if start < 0:
        return []
    query = target.find(b"?", start)
    end = len(target) if query < 0 else query
    path = target[start:end]
    uri: Put[Request] = partial(_put_path, request, splice(target, start, end, _URI, path))
    elements: HttpElements = [Element(("URI",), path, uri, nests=False)]
    *parts, action = target[start + 1 : end].split(b"/")
    at = start + 1
    for index, part in enumerate(parts):
        elements.append(_segment(request, ("PATH", str(index)), at, at + len(part)))
        at += len(part) + 1
    name, period, _ = action.partition(b".")
    elements.append(_segment(request, ("ACTION_NAME",), at, at + len(name)))
    if period:
        elements.append(_segment(request, ("ACTION_EXT",), at + len(name) + 1, end))
    if query >= 0:
        for element in parse_parameters(target, "GET", query + 1):
            elements.append(_lift(element, lifted(element.put, request.with_target)))
    return elements


def _path_start(target: bytes) -> int:
    """Where the path begins, in origin form and in absolute form. -1 for `*` and for authority form."""
    if target[:1] == b"/":
        return 0
    scheme = target.find(b"://")
    return target.find(b"/", scheme + 3) if scheme > 0 else -1


def _segment(request: Request, words: tuple[str, ...], start: int, end: int) -> Element[Request]:
    value = _SEGMENT.decode(request.target[start:end])
    put = splice(request.target, start, end, _SEGMENT, value)
    return Element(words, value, lifted(put, request.with_target))


def _header_elements(request: Request) -> HttpElements:
    times = Counter(field.name.lower() for field in request.fields)
    seen: Counter[bytes] = Counter()
    elements: HttpElements = []
    for index, field in enumerate(request.fields):
        lower = field.name.lower()
        words: tuple[str, ...] = ("HEADER", to_text(field.name))
        upper: tuple[str, ...] = ("HEADER", words[1].upper())
        aliases: tuple[tuple[str, ...], ...] = () if upper == words else (upper,)
        if times[lower] > 1:
            place = ("ARRAY", str(seen[lower]))
            bare = (words, *aliases) if not seen[lower] else ()
            aliases = (*bare, *((*alias, *place) for alias in aliases))
            words = (*words, *place)
            seen[lower] += 1
        hint = b"cookie" if lower == b"cookie" else b""
        put = partial(_put_header, request, index)
        elements.append(Element(words, field.value, put, aliases=aliases, hint=hint))
        name_put = partial(_put_header_name, request, index)
        elements.append(Element(words, field.name, name_put, service="name", aliases=aliases, nests=False))
    return elements


def _lift(element: Element[bytes], put: Put[Request]) -> Element[Request]:
    return Element(
        element.words, element.value, put, element.kind, element.service, element.aliases, element.nests
    )


def _put_method(request: Request, value: bytes, raw: bool, /) -> Request:
    return replace(request, method=value if raw else _write_token(value))


def _put_path(request: Request, put: Put[bytes], value: bytes, raw: bool, /) -> Request:
    return request.with_target(put(value if raw or value[:1] == b"/" else b"/" + value, raw))


def _put_header(request: Request, index: int, value: bytes, raw: bool, /) -> Request:
    if value == request.fields[index].value:
        return request
    return request.with_field(index, value if raw else keep_on_line(value))


def _put_header_name(request: Request, index: int, value: bytes, raw: bool, /) -> Request:
    field = request.fields[index]
    name = value if raw or value == field.name else _write_token(value)
    start = field.raw.index(field.name) if field.name else 0
    line = field.raw[:start] + name + field.raw[start + len(field.name) :]
    changed = Field(name, field.value, line)
    return replace(request, fields=(*request.fields[:index], changed, *request.fields[index + 1 :]))


def _put_body(request: Request, value: bytes, raw: bool, /) -> Request:
    return request if value == request.body else request.with_body(value)

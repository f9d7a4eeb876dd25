"""JSON documents (RFC 8259), read by spans so that a write changes one token and nothing else."""

import json
import re
from functools import partial

from fastci.node.points.keys import to_text
from fastci.node.points.limits import MAX_DEPTH, MAX_ELEMENTS, MAX_WORDS
from fastci.node.points.model import Element, Elements, Kind
from fastci.node.points.spelling import Spelling, escaper, splice, verbatim

_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_TOKEN = re.compile(
    rb"[ \t\r\n]*+(?:(" + _STRING + rb")|(" + _NUMBER + rb")|(true|false)|(null)|(\{)|(\[)|(\})|(\])|(,))"
)
_COLON = re.compile(rb"[ \t\r\n]*+:")
_REST = re.compile(rb"[ \t\r\n]*+\Z")
_IS_NUMBER = re.compile(_NUMBER)
_TEXT, _NULL, _OBJECT, _ARRAY, _END_OBJECT, _END_ARRAY, _COMMA = 1, 4, 5, 6, 7, 8, 9
_KINDS: tuple[Kind, ...] = ("raw", "text", "number", "boolean", "null")

_SHORT = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_ESCAPED = {c: b"\\u%04x" % c for c in range(0x20)} | {0x22: b'\\"', 0x5C: b"\\\\"}
_ESCAPED |= {ord(meaning): b"\\" + short for short, meaning in _SHORT.items()}


def _read(match: re.Match[bytes]) -> bytes:
    escape = match.group()[1:]
    if escape[:1] != b"u":
        return _SHORT.get(escape, escape)
    code = int(escape[1:5], 16)
    if len(escape) > 5:
        code = 0x10000 + ((code & 0x3FF) << 10) + (int(escape[7:11], 16) & 0x3FF)
    return chr(code).encode("utf-8", "surrogatepass")


def _read_all(raw: bytes) -> bytes:
    if b"\\" not in raw:
        return raw
    try:
        text: str = json.loads(b'"%s"' % raw)
    except ValueError:  # bytes that are not UTF-8
        return _ESCAPES.sub(_read, raw)
    return text.encode("utf-8", "surrogatepass")


_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^u])", re.DOTALL
)
STRING = Spelling(_ESCAPES, _read, escaper(_ESCAPED), _read_all)


class JsonDoc:
    word = "JSON_DOC"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return data[:1] in (b"{", b"[") or b"json" in hint.lower() or data[:64].lstrip()[:1] in (b"{", b"[")

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        members = _members(data, self.word)
        if members is None:
            return None
        whole: Element[bytes] = Element(
            (self.word,), data, verbatim(data, 0, len(data)), kind="document", nests=False
        )
        return [whole, *members]


def _members(data: bytes, word: str) -> Elements | None:
    """Every scalar of the document, and every member name. None when it is not JSON.

    One pass without recursion. Reading stops, and checking too, once there is more than a request may have.
    """
    elements: Elements = []
    path = [word]
    closers: list[int] = []
    words_left = MAX_WORDS
    value_due, name_due, may_close = True, False, False
    at = 0
    while True:
        token = _TOKEN.match(data, at)
        if token is None:
            return None
        at = token.end()
        kind = token.lastindex or 0
        if name_due and kind == _TEXT:
            colon = _COLON.match(data, at)
            if colon is None:
                return None
            at = colon.end()
            start, end = token.span(1)
            name = STRING.decode(data[start + 1 : end - 1])
            path[-1] = to_text(name)
            put = splice(data, start + 1, end - 1, STRING, name)
            elements.append(Element(tuple(path), name, put, service="name", nests=False))
            words_left -= len(path)
            if words_left <= 0:
                return elements
            value_due, name_due, may_close = True, False, False
            continue
        if value_due and kind <= _NULL:
            start, end = token.span(kind)
            elements.append(_scalar(data, start, end, kind, tuple(path)))
            words_left -= len(path)
            if len(elements) >= MAX_ELEMENTS or words_left <= 0:
                return elements
        elif value_due and kind in (_OBJECT, _ARRAY):
            if len(closers) >= MAX_DEPTH:
                return None
            closers.append(_END_OBJECT if kind == _OBJECT else _END_ARRAY)
            path += ("HASH", "") if kind == _OBJECT else ("ARRAY", "0")
            value_due, name_due, may_close = kind == _ARRAY, kind == _OBJECT, True
            continue
        elif may_close and closers and kind == closers[-1]:
            closers.pop()
            del path[-2:]
        elif kind == _COMMA and closers and not value_due and not name_due:
            if closers[-1] == _END_ARRAY:
                path[-1] = str(int(path[-1]) + 1)
                value_due = True
            else:
                name_due = True
            may_close = False
            continue
        else:
            return None
        if not closers:
            return elements if _REST.match(data, at) else None
        value_due, name_due, may_close = False, False, True


def _scalar(data: bytes, start: int, end: int, kind: int, words: tuple[str, ...]) -> Element[bytes]:
    value = STRING.decode(data[start + 1 : end - 1]) if kind == _TEXT else data[start:end]
    put = partial(_put_scalar, data, start, end, value)
    return Element(words, value, put, kind=_KINDS[kind], nests=kind == _TEXT)


def _put_scalar(data: bytes, start: int, end: int, old: bytes, value: bytes, raw: bool, /) -> bytes:
    token = data[start:end]
    if raw:
        token = value
    elif token[:1] == b'"':
        token = b'"' + STRING.respell(token[1:-1], old, value) + b'"'
    elif value != token:
        token = value if _IS_NUMBER.fullmatch(value) else b'"' + STRING.write(value) + b'"'
    return data[:start] + token + data[end:]

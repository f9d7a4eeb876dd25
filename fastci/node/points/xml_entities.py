"""How XML spells text, and its document type: entities are read and expanded within bounds, never fetched."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from fastci.node.points.spelling import Spelling, escaper, plain_spelling

_NAME = rb"[A-Za-z_:\x80-\xff][\w:.\-\x80-\xff]*+"
_LITERAL = rb"(?:\"[^\"]*+\"|'[^']*+')"
_DOCTYPE = re.compile(
    rb"<!DOCTYPE\s++"
    + _NAME
    + rb"(?:\s++(?:SYSTEM|PUBLIC\s++"
    + _LITERAL
    + rb")\s++("
    + _LITERAL
    + rb"))?\s*+"
)
_END = re.compile(rb"\s*+>")
_ENTITY = re.compile(
    rb"<!ENTITY\s++(?:(%)\s++)?(" + _NAME + rb")\s++(?:(" + _LITERAL + rb")|"
    rb"(?:SYSTEM|PUBLIC\s++" + _LITERAL + rb")\s++(" + _LITERAL + rb")(?:\s++NDATA\s++" + _NAME + rb")?)\s*+>"
)
_SKIPPED = re.compile(
    rb"\s++|%"
    + _NAME
    + rb";|<!--.*?-->|<\?.*?\?>|<!(?:ELEMENT|ATTLIST|NOTATION)(?:[^<>\"']|"
    + _LITERAL
    + rb")*+>",
    re.DOTALL,
)
_REFERENCE = re.compile(rb"&(?:#[0-9]{1,7}+|#x[0-9a-fA-F]{1,6}+|" + _NAME + rb");")
_IN_TEXT = re.compile(rb"<!\[CDATA\[.*?\]\]>|" + _REFERENCE.pattern, re.DOTALL)
_IN_ENTITY = re.compile(rb"&#38;#[0-9]{1,7}+;|" + _REFERENCE.pattern)
_PREDEFINED = {b"lt": b"<", b"gt": b">", b"amp": b"&", b"quot": b'"', b"apos": b"'"}

MAX_ENTITY = 64 * 2**10  # bytes that one entity may expand to
MAX_EXPANDED = 2**20  # bytes that all references of a document may expand to
MAX_CHAIN = 40  # entities that refer to one another


@dataclass(frozen=True, slots=True)
class Entity:
    """A declaration: spans of the name and of the literal's inside. `external` ones are a system id."""

    name: tuple[int, int]
    value: tuple[int, int]
    external: bool
    parameter: bool


@dataclass(frozen=True, slots=True)
class Doctype:
    system: tuple[int, int] | None
    entities: tuple[Entity, ...]
    end: int


def parse_doctype(data: bytes, at: int) -> Doctype | None:
    """The declaration at this offset. None when it is malformed."""
    head = _DOCTYPE.match(data, at)
    if head is None:
        return None
    system = (head.start(1) + 1, head.end(1) - 1) if head[1] else None
    entities: list[Entity] = []
    at = head.end()
    if data.startswith(b"[", at):
        at += 1
        while not data.startswith(b"]", at):
            if found := _ENTITY.match(data, at):
                literal = 3 if found[3] else 4
                value = (found.start(literal) + 1, found.end(literal) - 1)
                entities.append(Entity(found.span(2), value, literal == 4, found[1] is not None))
            else:
                found = _SKIPPED.match(data, at)
            if found is None:
                return None
            at = found.end()
        at += 1
    end = _END.match(data, at)
    return Doctype(system, tuple(entities), end.end()) if end else None


def expansions(data: bytes, entities: tuple[Entity, ...]) -> dict[bytes, bytes]:
    """What the internal general entities stand for. Too long, too deep or circular ones are left out.

    All are left out when the document's references together would expand beyond MAX_EXPANDED.
    """
    declared: dict[bytes, bytes] = {}
    for entity in entities:
        if not entity.external and not entity.parameter:
            literal = _REFERENCE.sub(_read_character, data[slice(*entity.value)])
            declared.setdefault(data[slice(*entity.name)], literal)
    table: dict[bytes, bytes | None] = {}
    for name in declared:
        _expand(name, declared, table, 0)
    known = {name: meaning for name, meaning in table.items() if meaning is not None}
    referred = (match.group()[1:-1] for match in _REFERENCE.finditer(data)) if known else ()
    total = sum(len(known.get(name, b"")) for name in referred)
    return known if total <= MAX_EXPANDED else {}


def _expand(
    name: bytes, declared: Mapping[bytes, bytes], table: dict[bytes, bytes | None], depth: int
) -> bytes | None:
    if name in table:
        return table[name]
    table[name] = None  # stays so for an entity that refers to itself
    if depth >= MAX_CHAIN:
        return None
    pieces: list[bytes] = []
    size = at = 0
    text = declared[name]
    for match in _IN_TEXT.finditer(text):
        inner = match.group()[1:-1]
        if inner in declared:
            meaning = _expand(inner, declared, table, depth + 1)
            if meaning is None:
                return None
        else:
            meaning = _read(match, {})
        pieces += (text[at : match.start()], meaning)
        size += len(pieces[-2]) + len(meaning)
        at = match.end()
        if size > MAX_ENTITY:
            return None
    pieces.append(text[at:])
    if size + len(pieces[-1]) <= MAX_ENTITY:
        table[name] = b"".join(pieces)
    return table[name]


def _read(match: re.Match[bytes], entities: Mapping[bytes, bytes]) -> bytes:
    token = match.group()
    if token[:1] == b"<":
        return token[9:-3]
    name = token[1:-1]
    if name[:1] == b"#":
        return _read_character(match)
    return _PREDEFINED.get(name) or entities.get(name, token)


def _read_character(match: re.Match[bytes]) -> bytes:
    """`&#65;` and `&#x41;`; other references stay as they are."""
    token = match.group()
    if token[1:2] != b"#":
        return token
    code = int(token[3:-1], 16) if token[2:3] == b"x" else int(token[2:-1])
    return chr(code).encode() if 0 < code < 0xD800 or 0xDFFF < code < 0x110000 else token


def _read_entity(match: re.Match[bytes]) -> bytes:
    token = match.group()
    if token.startswith(b"&#38;#"):
        return bytes([int(token[6:-1])]) if int(token[6:-1]) < 256 else token
    return _PREDEFINED.get(token[1:-1]) or _read_character(match)


def _escape(unsafe: bytes, spelt: Mapping[int, bytes]) -> Callable[[bytes], bytes]:
    return escaper({c: spelt[c] for c in unsafe})


_ESCAPED = {
    0x26: b"&amp;", 0x3C: b"&lt;", 0x3E: b"&gt;", 0x22: b"&quot;", 0x27: b"&#39;", 9: b"&#9;", 10: b"&#10;",
    13: b"&#13;",
}  # fmt: skip
_ESCAPED_TWICE = {**_ESCAPED, 0x26: b"&#38;#38;", 0x3C: b"&#38;#60;", 0x22: b"&#34;", 0x25: b"&#37;"}
_write_text = _escape(b"&<>\r", _ESCAPED)
_write_attribute = _escape(b"&<>\"'\t\r\n", _ESCAPED)
_write_entity = _escape(b"&<\"'%\r", _ESCAPED_TWICE)
_write_literal = _escape(b"\"'", {0x22: b"%22", 0x27: b"%27"})


@dataclass(frozen=True, slots=True)
class DocumentSpelling:
    """How one document spells text and attribute values, given what its entities stand for."""

    text: Spelling
    attribute: Spelling

    @classmethod
    def of(cls, entities: Mapping[bytes, bytes]) -> "DocumentSpelling":
        read = partial(_read, entities=entities)

        def read_text(raw: bytes) -> bytes:
            return _IN_TEXT.sub(read, raw) if b"&" in raw or b"<" in raw else raw

        def read_attribute(raw: bytes) -> bytes:
            return _REFERENCE.sub(read, raw) if b"&" in raw else raw

        return cls(
            Spelling(_IN_TEXT, read, _write_text, read_text),
            Spelling(_REFERENCE, read, _write_attribute, read_attribute),
        )


PLAIN_DOCUMENT = DocumentSpelling.of({})
ENTITY = Spelling(_IN_ENTITY, _read_entity, _write_entity)
SYSTEM_ID = plain_spelling(_write_literal)
COMMENT = plain_spelling(lambda value: re.sub(rb"-(?=-)|-\Z", b"- ", value))
INSTRUCTION = plain_spelling(lambda value: value.replace(b"?>", b"? >"))
# Inside CDATA nothing is an escape; its end is written as two sections.
CDATA = Spelling(
    re.compile(rb"\]\]\]\]><!\[CDATA\[>"), lambda _: b"]]>", lambda v: v.replace(b"]]>", b"]]]]><![CDATA[>")
)

"""XML, read by spans. Nothing external is ever resolved; internal entities are expanded within bounds.

Not a validating parser: several roots are accepted, tags must match. Elements, XML_TAG, are counted over
the whole document, so `XML_TAG_item_ARRAY_1` is the second `item` wherever it stands.
"""

import re
from dataclasses import dataclass
from functools import partial
from itertools import islice

from fastci.node.points.keys import to_text
from fastci.node.points.limits import MAX_ELEMENTS
from fastci.node.points.model import Element, Elements, Put
from fastci.node.points.spelling import Spelling, splice, verbatim
from fastci.node.points.xml_entities import (
    CDATA,
    COMMENT,
    ENTITY,
    INSTRUCTION,
    PLAIN_DOCUMENT,
    SYSTEM_ID,
    Doctype,
    DocumentSpelling,
    expansions,
    parse_doctype,
)

_NAME = rb"[A-Za-z_:\x80-\xff][\w:.\-\x80-\xff]*+"
_OPEN = re.compile(
    rb"<(" + _NAME + rb")((?:\s++" + _NAME + rb"\s*+=\s*+(?:\"[^<\"]*+\"|'[^<']*+'))*+)\s*+(/?)>"
)
_ATTRIBUTE = re.compile(rb"\s++(" + _NAME + rb")\s*+=\s*+[\"']((?<=\")[^\"]*+|(?<=')[^']*+)[\"']")
_CLOSE = re.compile(rb"</(" + _NAME + rb")\s*+>")
_INSTRUCTION = re.compile(rb"<\?(" + _NAME + rb")(?:\s++(.*?))??\s*+\?>", re.DOTALL)
_DECLARATION = re.compile(rb"(?:\xef\xbb\xbf)?\s*+(?:<\?xml\s.*?\?>\s*+)?+", re.DOTALL)
_LOOKS = re.compile(rb"(?:\xef\xbb\xbf)?\s*+<[A-Za-z_:!?\x80-\xff]")
_CDATA_OPEN, _CDATA_CLOSE = b"<![CDATA[", b"]]>"
_PATH_DEPTH = 12  # elements deeper than this are found by their own name only

Words = tuple[str, ...]


class Xml:
    word = "XML"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return b"<" in data[:128] and b">" in data and _LOOKS.match(data) is not None

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        found = _Reader(data).read()
        if not found:
            return None
        start = _start(data)
        put = verbatim(data, start, len(data))
        return [Element((self.word,), data[start:], put, kind="document", nests=False), *found]


@dataclass(slots=True)
class _Tag:
    """An element that is open. `spellings` are its words, the canonical ones first."""

    name: bytes
    spellings: tuple[Words, ...]
    place: int  # its index among the elements found, where its text will be
    content: int
    siblings: dict[str, int]
    text: tuple[int, int] | None = None
    parent: bool = False


class _Reader:
    """One pass over a document, without recursion."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.stack: list[_Tag] = []
        self.elements: list[Element[bytes] | None] = []
        self.counts: dict[str, int] = {}
        self.roots: dict[str, int] = {}
        self.spelling: DocumentSpelling = PLAIN_DOCUMENT
        self.text_start = 0

    def read(self) -> Elements | None:
        """What is in the document, in its order. None when it is not XML."""
        data = self.data
        at = self.text_start = _start(data)
        while (mark := data.find(b"<", at)) >= 0 and len(self.elements) < MAX_ELEMENTS:
            if data.startswith(_CDATA_OPEN, mark):
                end = data.find(_CDATA_CLOSE, mark)
                if end < 0 or not self.stack:
                    return None
                at = end + len(_CDATA_CLOSE)
                continue
            if not self._end_text(mark):
                return None
            at = self.text_start = self._markup(mark)
            if at < 0:
                return None
        if mark < 0 and (self.stack or data[self.text_start :].strip()):
            return None
        return [element for element in self.elements if element is not None]

    def _end_text(self, end: int) -> bool:
        """Keep the text before a piece of markup. False when it stands outside of every element."""
        text = self.data[self.text_start : end]
        if not text or text.isspace():
            return True
        if not self.stack:
            return False
        if self.stack[-1].text is None:
            start = self.text_start + len(text) - len(text.lstrip())
            self.stack[-1].text = (start, self.text_start + len(text.rstrip()))
        return True

    def _markup(self, at: int) -> int:
        """Read one piece of markup; the offset of its end, -1 when it is malformed."""
        data = self.data
        if data.startswith(b"</", at):
            return self._close(at)
        if data.startswith(b"<!--", at):
            end = data.find(b"-->", at + 4)
            if end >= 0:
                text = data[at + 4 : end].strip()
                start = data.index(text, at + 4) if text else end
                self._add(("XML_COMMENT", self._next("XML_COMMENT")), (start, start + len(text)), COMMENT)
            return end + 3 if end >= 0 else -1
        if data.startswith(b"<?", at):
            return self._instruction(at)
        if data.startswith(b"<!DOCTYPE", at):
            doctype = parse_doctype(data, at)
            return self._doctype(doctype) if doctype else -1
        return self._open(at)

    def _next(self, what: str) -> str:
        index = self.counts.get(what, 0)
        self.counts[what] = index + 1
        return str(index)

    def _add(self, words: Words, span: tuple[int, int], spelling: Spelling, **more: object) -> None:
        start, end = span
        value = spelling.decode(self.data[start:end])
        put = splice(self.data, start, end, spelling, value)
        self.elements.append(Element(("XML", *words), value, put, **more))  # type: ignore[arg-type]

    def _add_name(self, words: Words, span: tuple[int, int]) -> None:
        put = verbatim(self.data, *span)
        name = Element(("XML", *words), self.data[slice(*span)], put, service="name", nests=False)
        self.elements.append(name)

    def _instruction(self, at: int) -> int:
        match = _INSTRUCTION.match(self.data, at)
        if match is None or match[1].lower() == b"xml":
            return -1
        words = ("XML_PI", self._next("XML_PI"))
        self._add_name(words, match.span(1))
        if match[2] is not None:
            self._add(words, match.span(2), INSTRUCTION)
        return match.end()

    def _doctype(self, doctype: Doctype) -> int:
        if doctype.system:
            self._add(("XML_DTD",), doctype.system, SYSTEM_ID)
        for index, entity in enumerate(doctype.entities):
            words = ("XML_DTD_ENTITY", str(index))
            self._add_name(words, entity.name)
            self._add(words, entity.value, SYSTEM_ID if entity.external else ENTITY)
        self.spelling = DocumentSpelling.of(expansions(self.data, doctype.entities))
        return doctype.end

    def _open(self, at: int) -> int:
        match = _OPEN.match(self.data, at)
        if match is None:
            return -1
        name = to_text(match[1])
        tag = _Tag(match[1], self._spellings(name), len(self.elements), match.end(), {})
        if self.stack:
            self.stack[-1].parent = True
        self.elements.append(None)
        attributes = _ATTRIBUTE.finditer(self.data, *match.span(2))
        for attribute in islice(attributes, MAX_ELEMENTS - len(self.elements)):
            below = ("XML_ATTR", to_text(attribute[1]))
            words, *others = (spelling + below for spelling in tag.spellings)
            aliases = tuple(("XML", *other) for other in others)
            self._add(words, attribute.span(2), self.spelling.attribute, aliases=aliases)
        if match[3]:
            slash = match.start(3)
            put = partial(_put_empty, self.data, slash, match.end(), match[1], self.spelling.text)
            self.elements[tag.place] = _text_element(tag, b"", put)
        else:
            self.stack.append(tag)
        return match.end()

    def _spellings(self, name: str) -> tuple[Words, ...]:
        """`XML_TAG_a` for the first `a`, `XML_TAG_a_ARRAY_i` for each; and the path from the root."""
        index = self._next(f"<{name}>")
        array: Words = ("XML_TAG", name, "ARRAY", index)
        spellings: tuple[Words, ...] = (array,) if index != "0" else (("XML_TAG", name), array)
        siblings = self.stack[-1].siblings if self.stack else self.roots
        order = siblings.get(name, 0)
        siblings[name] = order + 1
        if not 0 < len(self.stack) < _PATH_DEPTH:
            return spellings
        # The path of an open element is the last of its spellings, a root's is its first.
        above = self.stack[-1].spellings[-1 if len(self.stack) > 1 else 0]
        path = (*above, "XML_TAG", name)
        return (*spellings, path if not order else (*path, "ARRAY", str(order)))

    def _close(self, at: int) -> int:
        match = _CLOSE.match(self.data, at)
        if match is None or not self.stack or self.stack[-1].name != match[1]:
            return -1
        tag = self.stack.pop()
        if tag.text or not tag.parent:
            start, end = tag.text or (tag.content, tag.content)
            spelling = self.spelling.text
            raw = self.data[start:end]
            if raw.startswith(_CDATA_OPEN) and raw.find(_CDATA_CLOSE) == len(raw) - 3:
                start, end, spelling = start + len(_CDATA_OPEN), end - 3, CDATA
            value = spelling.decode(self.data[start:end])
            put = splice(self.data, start, end, spelling, value)
            self.elements[tag.place] = _text_element(tag, value, put)
        return match.end()


def _start(data: bytes) -> int:
    """Behind the byte order mark and the declaration."""
    declaration = _DECLARATION.match(data)
    return declaration.end() if declaration else 0


def _text_element(tag: _Tag, value: bytes, put: Put[bytes]) -> Element[bytes]:
    words, *others = [("XML", *spelling) for spelling in tag.spellings]
    return Element(words, value, put, aliases=tuple(others))


def _put_empty(
    data: bytes, slash: int, end: int, name: bytes, spelling: Spelling, value: bytes, raw: bool, /
) -> bytes:
    """`<a/>` becomes `<a>value</a>`."""
    if not value:
        return data
    text = value if raw else spelling.write(value)
    return data[:slash] + b">" + text + b"</" + name + b">" + data[end:]

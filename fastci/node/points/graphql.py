"""Arguments inside GraphQL documents (GraphQL specification, October 2021, section 2).

`GRAPHQL_Login_login_email` is the argument `email` of the field `login` in the operation `Login`; deeper
fields add their names, input objects HASH, lists ARRAY. An operation without a name is called by its type.
Variables are not here: their values are in the JSON beside the document.
"""

import re
from functools import partial

from fastci.node.points.json_doc import STRING
from fastci.node.points.limits import MAX_ELEMENTS
from fastci.node.points.model import Element, Elements, Kind
from fastci.node.points.spelling import Spelling, splice, verbatim

_LOOKS = re.compile(rb"\s*+(?:#|\{|(?:query|mutation|subscription|fragment)\b)")
_TOKEN = re.compile(
    rb"(?:[\s,\xef\xbb\xbf]|#[^\r\n]*+)*+(?:"
    rb"(?P<block>\"\"\"(?:[^\"\\]|\\(?:\"\"\")?|\"(?!\"\"))*+\"\"\")|"
    rb"(?P<text>\"[^\"\\\r\n]*+(?:\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})[^\"\\\r\n]*+)*+\")|"
    rb"(?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)|"
    rb"(?P<name>[A-Za-z_]\w*+)|"
    rb"(?P<mark>\.\.\.|[!$&()\[\]{}:=@|])|(?P<end>\Z))"
)
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BLOCK = Spelling(re.compile(rb'\\"""'), lambda _: b'"""', lambda value: value.replace(b'"""', b'\\"""'))
_OPERATIONS = (b"query", b"mutation", b"subscription", b"fragment")
_MAX_DEPTH = 60

Words = tuple[str, ...]


class Graphql:
    word = "GRAPHQL"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return b"{" in data and _LOOKS.match(data) is not None

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        try:
            return _Reader(data, self.word).document() or None
        except ValueError:
            return None


class _Reader:
    """Recursive descent, at most _MAX_DEPTH deep. Raises ValueError where the document is not GraphQL."""

    def __init__(self, data: bytes, word: str) -> None:
        self.data = data
        self.word = word
        self.elements: Elements = []
        self.at = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.data, self.at)
        if match is None or len(self.elements) > MAX_ELEMENTS:
            raise ValueError
        self.kind = match.lastgroup or ""
        self.token = match[self.kind]
        self.start, self.at = match.span(self.kind)

    def expect(self, mark: bytes) -> None:
        if self.token != mark or self.kind != "mark":
            raise ValueError
        self.advance()

    def name(self) -> bytes:
        if self.kind != "name":
            raise ValueError
        token = self.token
        self.advance()
        return token

    def document(self) -> Elements:
        while self.kind != "end":
            self.definition()
        return self.elements

    def definition(self) -> None:
        start, place = self.start, len(self.elements)
        called = b"query"
        if self.token != b"{":
            called = self.name()
            if called not in _OPERATIONS:
                raise ValueError
            if self.kind == "name":
                called = self.name()
            if self.token == b"on":  # fragment <called> on <type>
                self.advance()
                self.name()
            if self.token == b"(":
                self.variables()
        self.directives()
        words = (self.word, called.decode())
        end = self.selections(words, 0)
        put = verbatim(self.data, start, end)
        whole: Element[bytes] = Element(words, self.data[start:end], put, kind="document", nests=False)
        self.elements.insert(place, whole)

    def variables(self) -> None:
        self.expect(b"(")
        while self.token != b")":
            self.expect(b"$")
            self.name()
            self.expect(b":")
            while self.kind == "name" or self.token in (b"[", b"]", b"!"):
                self.advance()
            if self.token == b"=":
                self.advance()
                self.value(None, 0)
            self.directives()
        self.advance()

    def directives(self) -> None:
        while self.token == b"@":
            self.advance()
            self.name()
            self.arguments(None, 0)

    def selections(self, words: Words, depth: int) -> int:
        """A selection set; the offset of its end."""
        if depth > _MAX_DEPTH:
            raise ValueError
        self.expect(b"{")
        while self.token != b"}":
            if self.token == b"...":
                self.advance()
                if self.token == b"on":
                    self.advance()
                if self.kind == "name":
                    self.advance()
                self.directives()
                if self.token == b"{":
                    self.selections(words, depth + 1)
                continue
            field = self.name()
            if self.token == b":":
                self.advance()
                field = self.name()
            below = (*words, field.decode())
            self.arguments(below, depth)
            self.directives()
            if self.token == b"{":
                self.selections(below, depth + 1)
        end = self.at
        self.advance()
        return end

    def arguments(self, words: Words | None, depth: int) -> None:
        if self.token != b"(" or self.kind != "mark":
            return
        self.advance()
        while self.token != b")" or self.kind != "mark":
            name = self.name().decode()
            self.expect(b":")
            self.value((*words, name) if words else None, depth)
        self.advance()

    def value(self, words: Words | None, depth: int) -> None:
        """A value; with `words` its scalars become elements."""
        if depth > _MAX_DEPTH:
            raise ValueError
        if self.kind in ("text", "block", "number", "name"):
            if words:
                self.elements.append(self.scalar(words))
            self.advance()
        elif self.token == b"$":
            self.advance()
            self.name()
        elif self.token == b"[":
            self.advance()
            index = 0
            while self.token != b"]" or self.kind != "mark":
                self.value((*words, "ARRAY", str(index)) if words else None, depth + 1)
                index += 1
            self.advance()
        else:
            self.expect(b"{")
            while self.token != b"}" or self.kind != "mark":
                key = self.name().decode()
                self.expect(b":")
                self.value((*words, "HASH", key) if words else None, depth + 1)
            self.advance()

    def scalar(self, words: Words) -> Element[bytes]:
        token = self.token
        if self.kind == "block":
            start, end = self.start + 3, self.at - 3
            value = _BLOCK.decode(self.data[start:end])
            return Element(words, value, splice(self.data, start, end, _BLOCK, value))
        kind: Kind = "text"
        if self.kind == "number":
            kind = "number"
        elif token in (b"true", b"false"):
            kind = "boolean"
        elif token == b"null":
            kind = "null"
        value = STRING.decode(token[1:-1]) if self.kind == "text" else token
        put = partial(_put_scalar, self.data, self.start, self.at, value)
        return Element(words, value, put, kind=kind, nests=self.kind == "text")


def _put_scalar(data: bytes, start: int, end: int, old: bytes, value: bytes, raw: bool, /) -> bytes:
    """Numbers stay numbers, whatever else is not a string becomes one."""
    token = data[start:end]
    if raw:
        token = value
    elif token[:1] == b'"':
        token = b'"' + STRING.respell(token[1:-1], old, value) + b'"'
    elif value != token:
        token = value if _NUMBER.fullmatch(value) else b'"' + STRING.write(value) + b'"'
    return data[:start] + token + data[end:]

"""`a=1&b%5Bc%5D=2`: query strings and form bodies (WHATWG URL, application/x-www-form-urlencoded)."""

import re
from functools import partial
from itertools import islice

from fastci.node.points.keys import key_words
from fastci.node.points.limits import MAX_ELEMENTS
from fastci.node.points.model import Element, Elements, Put
from fastci.node.points.spelling import UNRESERVED, percent_spelling, splice

PARAMETER = percent_spelling(UNRESERVED, plus=True)
_PAIR = re.compile(rb"[^&]+")
_LOOKS = re.compile(rb"[\w\[\].%+~*!$-]{1,256}+=(?!=*\Z)[^\s{}<>\"]*+\Z")


class FormUrlencoded:
    word = "FORM_URLENCODED"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        """A body only: in a nested value an `=` says nothing."""
        return hint[:33].lower() == b"application/x-www-form-urlencoded" or (
            hint not in (b"", b"cookie") and _LOOKS.match(data) is not None
        )

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        return parse_parameters(data, self.word) or None


def parse_parameters(data: bytes, word: str, begin: int = 0) -> Elements:
    """The value and name of each parameter from `begin` on. One without `=` has an empty value."""
    spans = []
    for match in islice(_PAIR.finditer(data, begin), MAX_ELEMENTS):
        start, end = match.span()
        equals = data.find(b"=", start, end)
        spans.append((start, end if equals < 0 else equals, end))
    keys = [PARAMETER.decode(data[start:middle]) for start, middle, _ in spans]
    elements: Elements = []
    for (start, middle, end), key, (words, aliases) in zip(spans, keys, key_words(keys), strict=True):
        words = (word, *words)
        aliases = tuple((word, *alias) for alias in aliases)
        put: Put[bytes]
        if middle < end:
            value = PARAMETER.decode(data[middle + 1 : end])
            put = splice(data, middle + 1, end, PARAMETER, value)
        else:
            value, put = b"", partial(_put_missing, data, end)
        elements.append(Element(words, value, put, aliases=aliases))
        name_put = splice(data, start, middle, PARAMETER, key)
        elements.append(Element(words, key, name_put, service="name", aliases=aliases, nests=False))
    return elements


def _put_missing(data: bytes, end: int, value: bytes, raw: bool, /) -> bytes:
    spelt = value if raw else PARAMETER.write(value)
    return data[:end] + b"=" + spelt + data[end:] if value else data

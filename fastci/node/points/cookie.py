"""`sid=1; theme=dark`: the Cookie header (RFC 6265, section 4.2).

It has no escapes; what would end a value is percent-encoded, since many applications decode that.
"""

import re
from itertools import islice

from fastci.node.points.keys import to_text
from fastci.node.points.limits import MAX_ELEMENTS
from fastci.node.points.model import Element, Elements
from fastci.node.points.spelling import NO_ESCAPES, Spelling, splice

_PAIR = re.compile(rb"[^;=\s][^;=]*+=[^;]*+")
_UNSAFE = re.compile(rb"[\0-\x1f;\x7f]|\A +| +\Z")
_UNSAFE_NAME = re.compile(rb"[\0-\x20;=,\x7f]")


def _percent(match: re.Match[bytes]) -> bytes:
    return b"".join(b"%%%02X" % c for c in match.group())


VALUE = Spelling(NO_ESCAPES, _percent, lambda value: _UNSAFE.sub(_percent, value))
NAME = Spelling(NO_ESCAPES, _percent, lambda value: _UNSAFE_NAME.sub(_percent, value))


class Cookie:
    word = "COOKIE"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return hint == b"cookie"

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        elements: Elements = []
        for match in islice(_PAIR.finditer(data), MAX_ELEMENTS):
            start, end = match.span()
            middle = data.index(b"=", start, end)
            name_end = start + len(data[start:middle].rstrip())
            words = (self.word, to_text(data[start:name_end]))
            start_value, end = _trim(data, middle + 1, end)
            value_put = splice(data, start_value, end, VALUE)
            elements.append(Element(words, data[start_value:end], value_put))
            name_put = splice(data, start, name_end, NAME)
            name = data[start:name_end]
            elements.append(Element(words, name, name_put, service="name", nests=False))
        return elements or None


def _trim(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Without the blanks and the pair of quotes around a value."""
    value = data[start:end]
    start += len(value) - len(value.lstrip())
    end -= len(value) - len(value.rstrip()) if value.strip() else 0
    if end - start >= 2 and data[start] == data[end - 1] == 0x22:
        return start + 1, end - 1
    return start, end

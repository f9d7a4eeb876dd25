"""`sid=1; theme=dark`: the Cookie header (RFC 6265, section 4.2).

It has no escapes; what would end a value is percent-encoded, since many applications decode that.
"""

import re
from itertools import islice

from fastci.node.points.keys import to_text
from fastci.node.points.limits import MAX_ELEMENTS
from fastci.node.points.model import Element, Elements
from fastci.node.points.spelling import percent_escaper, plain_spelling, splice

_PAIR = re.compile(rb"[^;=\s][^;=]*+=[^;]*+")
_UNSAFE = re.compile(rb"[\0-\x1f;\x7f]|\A +| +\Z")
VALUE = plain_spelling(lambda value: _UNSAFE.sub(_percent, value))
NAME = plain_spelling(percent_escaper(bytes(range(0x21)) + b";=,\x7f"))


def _percent(match: re.Match[bytes]) -> bytes:
    return b"".join(b"%%%02X" % c for c in match.group())


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
            name = data[start:name_end]
            words = (self.word, to_text(name))
            start_value, end = _trim(data, middle + 1, end)
            value = data[start_value:end]
            elements.append(Element(words, value, splice(data, start_value, end, VALUE, value)))
            name_put = splice(data, start, name_end, NAME, name)
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

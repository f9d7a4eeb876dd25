"""Values percent-encoded once more than their place asks for, as cookies often are (RFC 3986)."""

import re

from fastci.node.points.model import Element, Elements
from fastci.node.points.spelling import UNRESERVED, percent_spelling, splice

SPELLING = percent_spelling(UNRESERVED)
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_BLANKS = re.compile(rb"[\s<>\"{}]")


class Percent:
    word = "PERCENT"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        """A document that merely mentions an escape is not percent-encoded."""
        return b"%" in data and hint == b"" and not _BLANKS.search(data)

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        if not _ESCAPE.search(data):
            return None
        value = SPELLING.decode(data)
        return [Element((self.word,), value, splice(data, 0, len(data), SPELLING, value))]

"""JSON Web Tokens (RFC 7519), bare or after an authentication scheme as in `Bearer ...`.

Header and payload are base64url, read on as JSON. The signature stays as it is; to drop it, write an empty
value at `JWT_SIGNATURE`.
"""

import re
from functools import partial

from fastci.node.points.base64 import decode, encode
from fastci.node.points.model import Element, Elements
from fastci.node.points.spelling import verbatim

_TOKEN = re.compile(rb"(?:[A-Za-z]{1,16}+ ++)?(eyJ[\w-]++)\.(eyJ[\w-]++)\.([\w-]*+)")


class Jwt:
    word = "JWT"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return b"eyJ" in data[:24]

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        match = _TOKEN.fullmatch(data)
        if match is None:
            return None
        elements: Elements = []
        for group, word in ((1, "JWT_HEADER"), (2, "JWT_PAYLOAD")):
            start, end = match.span(group)
            value = decode(data[start:end])
            if value is None or value[:1] + value[-1:] != b"{}":
                return None
            put = partial(_put, data, start, end, value)
            elements.append(Element((word,), value, put, kind="document"))
        signature = verbatim(data, *match.span(3))
        elements.append(Element(("JWT_SIGNATURE",), match[3], signature, nests=False))
        return elements


def _put(data: bytes, start: int, end: int, old: bytes, value: bytes, raw: bool, /) -> bytes:
    if value == old and not raw:
        return data
    return data[:start] + (value if raw else encode(value, b"-")) + data[end:]

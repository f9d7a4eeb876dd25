"""Values in base64 (RFC 4648), when what they decode to is text or a format that parses on."""

import base64
import binascii
import re
from functools import partial

from fastci.node.points.model import Element, Elements
from fastci.node.points.spelling import Coded

_SHORTEST = 8
_LOOKS = re.compile(rb"(?:(Basic )\s*)?([A-Za-z0-9+/_-]++={0,2}|[A-Za-z0-9+/\r\n]++={0,2})\s*")
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]+")
_STRUCTURED = (b"\x1f\x8b\x08", b"PK\x03\x04")
_ASCII_ONLY_BELOW = 18


class Base64:
    word = "BASE64"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return len(data) >= _SHORTEST and data[0] < 0x80 and b" " not in data[6:] and b"." not in data

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        match = _LOOKS.fullmatch(data)
        if match is None:
            return None
        start, end = match.span(2)
        encoded = data[start:end]
        value = decode(encoded)
        if value is None or not _worth_reading(value):
            return None
        return [Element((self.word,), value, partial(_put, data, start, end, value))]


def decode(encoded: bytes) -> bytes | None:
    """Either alphabet, padded or not, line ends inside; None when it is not base64."""
    compact = encoded.translate(None, b"\r\n").rstrip(b"=")
    if len(compact) % 4 == 1:
        return None
    plain = compact.translate(_TO_STANDARD) + b"=" * (-len(compact) % 4)
    try:
        return base64.b64decode(plain, validate=True)
    except binascii.Error:
        return None


def encode(value: bytes, like: bytes) -> bytes:
    """`value` in the alphabet, with the padding and the line length, of `like`."""
    url_safe = b"-" in like or b"_" in like
    encoded = base64.urlsafe_b64encode(value) if url_safe else base64.b64encode(value)
    unpadded = not like.endswith(b"=") and (url_safe or len(like) % 4 != 0)
    if unpadded:
        encoded = encoded.rstrip(b"=")
    first_line, line_end, _ = like.partition(b"\n")
    width = len(first_line.rstrip(b"\r"))
    if not line_end or not width:
        return encoded
    separator = b"\r\n" if first_line.endswith(b"\r") else b"\n"
    return separator.join(encoded[at : at + width] for at in range(0, len(encoded), width))


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def _worth_reading(value: bytes) -> bool:
    """Plain words are often base64 by accident; then they decode to anything but text."""
    if _TEXT.fullmatch(value) or value.startswith(_STRUCTURED):
        return True
    if len(value) < _ASCII_ONLY_BELOW:
        return False
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\r\n" for char in text[:4096])


def _put(data: bytes, start: int, end: int, old: bytes, value: bytes, raw: bool, /) -> bytes:
    if value == old and not raw:
        return data
    return Coded(data[:start] + (value if raw else encode(value, data[start:end])) + data[end:])

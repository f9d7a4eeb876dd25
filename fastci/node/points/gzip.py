"""GZIP members (RFC 1952) inside a body or a value: decoded, and encoded again when written."""

import zlib
from functools import partial

from fastci.node.points.limits import MAX_DECODED
from fastci.node.points.model import Element, Elements

_MAGIC = b"\x1f\x8b\x08"
_FIXED_HEADER = 10


class Gzip:
    word = "GZIP"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return data.startswith(_MAGIC)

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        inflate = zlib.decompressobj(wbits=31)
        try:
            value = inflate.decompress(data, MAX_DECODED)
        except zlib.error:
            return None
        if not inflate.eof or inflate.unused_data:
            return None
        return [Element((self.word,), value, partial(_put, data, value), kind="document", hint=hint)]


def _put(data: bytes, old: bytes, value: bytes, raw: bool, /) -> bytes:
    """Raw: `value` stands in the place of the compressed bytes."""
    if raw or value == old:
        return value if raw else data
    deflate = zlib.compressobj(wbits=31)
    encoded = deflate.compress(value) + deflate.flush()
    # Time and system stay as recorded; flags and extra level do not, since optional fields are left out.
    return encoded[:4] + data[4:8] + encoded[8:9] + data[9:_FIXED_HEADER] + encoded[_FIXED_HEADER:]

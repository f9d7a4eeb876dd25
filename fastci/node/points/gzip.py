"""GZIP members (RFC 1952) inside a body or a value: decoded, and encoded again when written."""

import zlib
from functools import partial

from fastci.node.points.limits import MAX_DECODED
from fastci.node.points.model import Element, Elements
from fastci.node.points.spelling import Coded

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


def deflate(value: bytes, *, bare: bool) -> bytes:
    """`value` compressed as a GZIP member, or `bare` as it stands in one.

    With memory for as much as there is to compress: setting up zlib's usual 256 KiB takes several times as
    long as compressing a short value.
    """
    window = max(9, min(15, len(value).bit_length()))
    stream = zlib.compressobj(wbits=-window if bare else window + 16, memLevel=min(8, window - 6))
    return stream.compress(value) + stream.flush()


def _put(data: bytes, old: bytes, value: bytes, raw: bool, /) -> bytes:
    """Raw: `value` stands in the place of the compressed bytes."""
    if raw or value == old:
        return value if raw else data
    encoded = deflate(value, bare=False)
    # Time and system stay as recorded; flags and extra level do not, since optional fields are left out.
    return Coded(encoded[:4] + data[4:8] + encoded[8:9] + data[9:_FIXED_HEADER] + encoded[_FIXED_HEADER:])

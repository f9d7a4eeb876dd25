"""Response bodies as text to read: without their content coding."""

import zlib
from contextlib import suppress

from fastci.node.message import Response

LARGEST = 4 << 20
"""Bytes of a decoded body at most; a bomb ends there."""

_WINDOWS = {b"gzip": (31,), b"x-gzip": (31,), b"deflate": (15, -15)}


def decoded_body(response: Response) -> bytes:
    """The body without gzip or deflate (RFC 9110, section 8.4.1); as it is where that is not its coding."""
    coding = (response.get(b"content-encoding") or b"").strip().lower()
    for window in _WINDOWS.get(coding, ()):
        with suppress(zlib.error):
            return zlib.decompressobj(window).decompress(response.body, LARGEST)
    return response.body

"""Response bodies to read: without their content coding, and what JSON tells."""

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from fastci.node.message import Response

LARGEST = 4 << 20
"""Bytes of a decoded body at most; a bomb ends there."""

_DEEPEST = 4
_MOST_OF_A_LIST = 20
_WINDOWS = {b"gzip": (31,), b"x-gzip": (31,), b"deflate": (15, -15)}


def decoded_body(response: Response) -> bytes:
    """The body without gzip or deflate (RFC 9110, section 8.4.1); as it is where that is not its coding."""
    coding = (response.get(b"content-encoding") or b"").strip().lower()
    for window in _WINDOWS.get(coding, ()):
        with suppress(zlib.error):
            return zlib.decompressobj(window).decompress(response.body, LARGEST)
    return response.body


def json_members(body: bytes) -> Iterator[tuple[str, Any]]:
    """Names and plain values in a JSON document, some levels deep; nothing where it is none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return
    waiting = [(data, _DEEPEST)]
    while waiting:
        found, depth = waiting.pop()
        if isinstance(found, dict):
            for key, value in found.items():
                if isinstance(value, dict | list):
                    waiting.append((value, depth - 1)) if depth else None
                elif value is not None:
                    yield key, value
        elif isinstance(found, list):
            waiting += [(each, depth - 1) for each in found[:_MOST_OF_A_LIST]] if depth else []

"""Fields that must be new each time: a name that is taken, a code that exists already.

A repeated request that creates something is refused, or quietly does nothing, until such a field gets another
value. Which one it is, is tried out with the unmodified request; every later request of the baseline that
still carries the recorded value gets a fresh one.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastci.node.dsl import MarkerSource
from fastci.node.message import Request
from fastci.node.points import Point, list_points

Worked = Callable[[Request], Awaitable[bool]]
"""Sends a request and says whether it did what the recorded one did."""

_MOST_FIELDS = 8
_SECRET = re.compile(r"pass|pwd|secret|token|csrf|xsrf|nonce|captcha|submit|btn|button|action", re.I)
_KINDS = frozenset({"text", "number"})
_NUMBER = re.compile(rb"\d+")


@dataclass(frozen=True, kw_only=True)
class Unique:
    """Names of points and the values they were recorded with."""

    fields: tuple[tuple[str, bytes], ...]
    markers: MarkerSource

    def freshen(self, request: Request) -> Request:
        """The request with a new value wherever one of the fields still has its recorded one."""
        for name, recorded in self.fields:
            point = next((p for p in list_points(request) if p.name == name), None)
            if point is not None and point.value == recorded:
                request = point.write(_new(recorded, self.markers))
        return request


async def find_unique(
    request: Request, worked: Worked, markers: MarkerSource, *, but: str = ""
) -> Unique | None:
    """The fields whose change makes the request work: one of them, else all; None when nothing does.

    `but` is a point that is left as it is. At most ten requests.
    """
    fields = [(p.name, p.value) for p in list_points(request) if _may_be_unique(p) and p.name != but]
    fields = fields[:_MOST_FIELDS]
    tries: list[tuple[tuple[str, bytes], ...]] = [(field,) for field in fields]
    if len(fields) > 1:
        tries.append(tuple(fields))
    for tried in tries:
        unique = Unique(fields=tried, markers=markers)
        if await worked(unique.freshen(request)):
            return unique
    return None


def _may_be_unique(point: Point) -> bool:
    return (
        point.layers[0] == "POST"
        and point.name.endswith("_value")
        and point.kind in _KINDS
        and bool(point.value)
        and not _SECRET.search(point.name)
        and not point.name.endswith(("_FILENAME_value", "_TYPE_value", "_FILE_value"))
        and not {"BASE64", "PERCENT", "GZIP"}.intersection(point.layers)
    )


def _new(value: bytes, markers: MarkerSource) -> bytes:
    """Of the same kind: a number for a number, a mail address for a mail address."""
    if _NUMBER.fullmatch(value):
        return markers.digits(max(len(value), 6)).encode()
    word = markers.fresh().text.encode()[:6]
    name, at, host = value.partition(b"@")
    return name + word + at + host

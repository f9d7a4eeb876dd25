"""Which requests go the same way: the route of a request, and its shape."""

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from fastci.node.message import Request
from fastci.node.points import list_points

_CHANGING = re.compile(
    r"""
      [0-9]+ (?: [.,:-] [0-9]+ )*                                     # 7, 2024-05-01, 1.5
    | [A-Za-z]{1,8} [_-] [0-9]+                                       # rec_0001, order-17
    | [0-9]+ [_-] [\w-]+                                              # 17-green-tea
    | [0-9a-fA-F]{8} (?: -[0-9a-fA-F]{4} ){3} -[0-9a-fA-F]{12}        # a UUID
    | (?= [a-fA-F]* [0-9] ) [0-9a-fA-F]{8,}                           # a hash
    | (?= (?: [^0-9]* [0-9] ){3} ) (?= [^A-Za-z]* [A-Za-z] ) [\w~=-]{16,}   # a token, an object id
    | eyJ [\w-]+ (?: \. [\w-]* ){1,2}                                 # a JWT
    | [^@\s]+ @ [^@\s]+ \. [A-Za-z]+                                  # a mail address
    """,
    re.VERBOSE | re.ASCII,
)
_INDEX = re.compile(r"ARRAY_\d+")
_FROM_THE_ROUTE = frozenset({"METHOD", "URI", "PATH", "ACTION_NAME", "ACTION_EXT"})
# Whether a value happens to hold these depends on the value, not on the kind of request.
_BY_CHANCE = frozenset({"BASE64", "PERCENT", "GZIP"})
_TRANSPORT = re.compile(
    r"HEADER_(?:accept.*|cache-control|connection|content-length|cookie|date|dnt|expect|host|if-.*|keep-alive"
    r"|origin|pragma|priority|proxy-.*|range|referer|sec-.*|te|trace.*|transfer-encoding|upgrade.*|user-agent|via"
    r"|x-forwarded-.*|x-(?:request|correlation|trace)-id)_(?:value|name)",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def route_template(method: bytes, target: bytes) -> str:
    """The path with its changing segments (numbers, UUIDs, hashes, tokens, mail addresses) as `{}`.

    Without query; decoded. An ending like `.json` stays: `/orders/17.json` gives `/orders/{}.json`. The
    method decides nothing today, but is a part of what a route is.
    """
    path = target.partition(b"?")[0]
    if not path.startswith(b"/"):
        path = b"/" + path.partition(b"://")[2].partition(b"/")[2] if b"://" in path else path
    return "/".join(_segment(part) for part in path.split(b"/"))


def _segment(part: bytes) -> str:
    text = unquote_to_bytes(part).decode("utf-8", "replace")
    if _CHANGING.fullmatch(text):
        return "{}"
    stem, dot, ending = text.partition(".")
    return "{}" + dot + ending if dot and _CHANGING.fullmatch(stem) else text


def route_names(request: Request) -> tuple[str, ...]:
    """What a policy may call the route of a request: its template or its path, bare or after the method."""
    method = request.method.decode("latin-1")
    path = unquote_to_bytes(request.target.partition(b"?")[0]).decode("utf-8", "replace")
    names = dict.fromkeys((route_template(request.method, request.target), path))
    return (*names, *(f"{method} {name}" for name in names))


def shape_of(request: Request) -> str:
    """Method, route and the names and kinds of all points; requests of one shape are duplicates.

    Lengths of arrays, headers that say nothing about the application, and formats found by guessing inside
    values (BASE64 and the like) make no difference.
    """
    facts = set()
    for point in list_points(request):
        plain = point.layers[0] not in _FROM_THE_ROUTE and not _BY_CHANCE.intersection(point.layers)
        if plain and point.name.endswith("_value") and not _TRANSPORT.fullmatch(point.name):
            name = point.name.lower() if point.layers == ("HEADER",) else point.name
            facts.add(f"{_INDEX.sub('ARRAY_*', name)}:{point.kind}")
    method = request.method.decode("latin-1")
    return "\n".join((f"{method} {route_template(request.method, request.target)}", *sorted(facts)))

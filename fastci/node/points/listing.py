"""From a request to all of its points: the implicit parser, then every parser that a value admits."""

from dataclasses import dataclass, field
from functools import partial

from fastci.node.message import Request
from fastci.node.points.http import parse_http
from fastci.node.points.limits import MAX_DECODED, MAX_ELEMENTS, MAX_LAYERS, MAX_NAMES, MAX_PARSED
from fastci.node.points.model import Element, Elements, Point, PointName, Put
from fastci.node.points.registry import PARSERS

_SHORT = 8  # bytes that no format but a bracketed one needs less of

Words = tuple[str, ...]


def list_points(request: Request) -> list[Point]:
    """Every point that is really in the request, in its order, each name's parser reading first.

    Never raises. Bounded by `limits`: what is deeper, longer or more is one opaque value.
    """
    listing = _Listing()
    for element in parse_http(request):
        listing.add(element, (), (), (element.words[0],), element.put)
        if listing.full:
            break
    return _parser_readings_first(listing.points)


@dataclass(slots=True)
class _Listing:
    """The points so far, and what is left of what a request may have."""

    points: list[Point] = field(default_factory=list)
    names: int = MAX_NAMES
    decoded: int = MAX_DECODED

    @property
    def full(self) -> bool:
        return len(self.points) >= MAX_ELEMENTS or self.names <= 0

    def add(
        self,
        element: Element[Request] | Element[bytes],
        prefix: Words,
        others: tuple[Words, ...],
        layers: Words,
        put: Put[Request],
    ) -> None:
        """Keep an element as a point, then what the parsers find in it. `others` are further spellings of
        `prefix`."""
        words = prefix + element.words
        aliases: tuple[Words, ...] = ()
        if others or element.aliases:
            spellings = (element.words, *element.aliases)
            aliases = tuple(above + below for above in (prefix, *others) for below in spellings)[1:]
        name = PointName.of(words, element.service, aliases)
        self.names -= len(name)
        self.points.append(Point(name, element.value, element.kind, layers, put))
        if not element.nests or len(layers) >= MAX_LAYERS or not _may_hold(element.value, element.hint):
            return
        for child in self._parse(element.value, element.hint):
            if self.full:
                return
            below = partial(_put_through, put, child.put)
            self.add(child, words, aliases, (*layers, child.words[0]), below)

    def _parse(self, value: bytes, hint: bytes) -> Elements:
        """What the first fitting parser finds; nothing when the value holds no format."""
        for parser in PARSERS:
            try:
                elements = parser.parse(value, hint) if parser.sniff(value, hint) else None
            except Exception:  # a recorded body must never end a run; the parsers are fuzzed by themselves
                continue
            if elements:
                self.decoded -= sum(len(e.value) for e in elements if e.nests)
                return elements if self.decoded > 0 else []
        return []


def _may_hold(value: bytes, hint: bytes) -> bool:
    if len(value) < _SHORT and not hint:
        return len(value) > 1 and value[0] in b"{[<%"
    return len(value) <= MAX_PARSED


def _put_through(outer: Put[Request], inner: Put[bytes], value: bytes, raw: bool, /) -> Request:
    return outer(inner(value, raw), False)


def _parser_readings_first(points: list[Point]) -> list[Point]:
    """Of points with one name, those whose words are parsers come first (reserved words, spec/points.md)."""
    groups: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        groups.setdefault(point.name, []).append(index)
    if len(groups) == len(points):
        return points
    for places in groups.values():
        if len(places) > 1:
            ordered = sorted((points[i] for i in places), key=lambda p: -len(p.layers))
            for place, point in zip(places, ordered, strict=True):
                points[place] = point
    return points

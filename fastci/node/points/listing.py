"""From a request to all of its points: the implicit parser, then every parser that a value admits."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from fastci.node.message import Request
from fastci.node.points.http import parse_http
from fastci.node.points.limits import MAX_DECODED, MAX_ELEMENTS, MAX_LAYERS, MAX_NAMES, MAX_PARSED
from fastci.node.points.model import Element, Elements, Point, PointName, Put
from fastci.node.points.registry import PARSERS

_SHORT = 8  # bytes that no format but a bracketed one needs less of

Words = tuple[str, ...]


@dataclass(slots=True)
class _Budget:
    elements: int = MAX_ELEMENTS
    names: int = MAX_NAMES
    decoded: int = MAX_DECODED


def list_points(request: Request) -> list[Point]:
    """Every point that is really in the request, in its order, each name's parser reading first.

    Never raises. Bounded by `limits`: what is deeper, longer or more is one opaque value.
    """
    points: list[Point] = []
    budget = _Budget()
    for element in parse_http(request):
        points.extend(_walk(element, (), ((),), (element.words[0],), element.put, budget))
        if budget.elements <= 0 or budget.names <= 0:
            break
    return _parser_readings_first(points)


def _walk(
    element: Element[Request] | Element[bytes],
    prefix: Words,
    prefix_aliases: tuple[Words, ...],
    layers: Words,
    put: Put[Request],
    budget: _Budget,
) -> Iterator[Point]:
    words = prefix + element.words
    spellings = (element.words, *element.aliases)
    aliases = tuple(above + below for above in prefix_aliases for below in spellings)
    name = PointName.of(words, element.service, tuple(alias for alias in aliases if alias != words))
    budget.elements -= 1
    budget.names -= len(name)
    yield Point(name, element.value, element.kind, layers, put)
    if not element.nests or len(layers) >= MAX_LAYERS or not _may_hold(element.value, element.hint):
        return
    for child in _parse(element.value, element.hint, budget):
        if budget.elements <= 0 or budget.names <= 0:
            return
        below = (*layers, child.words[0])
        yield from _walk(child, words, aliases, below, partial(_put_through, put, child.put), budget)


def _may_hold(value: bytes, hint: bytes) -> bool:
    if len(value) < _SHORT and not hint:
        return len(value) > 1 and value[0] in b"{[<%"
    return len(value) <= MAX_PARSED


def _parse(value: bytes, hint: bytes, budget: _Budget) -> Elements:
    """What the first fitting parser finds; nothing when the value holds no format."""
    for parser in PARSERS:
        try:
            elements = parser.parse(value, hint) if parser.sniff(value, hint) else None
        except Exception:  # a recorded body must never end a run; the parsers are fuzzed by themselves
            continue
        if elements:
            budget.decoded -= sum(len(e.value) for e in elements if e.nests)
            return elements if budget.decoded > 0 else []
    return []


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

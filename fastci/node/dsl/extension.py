"""An extension and its phases: collect, match, modify, generate or send, detect (spec/extensions.md).

Nothing here sends anything: the engine asks for attacks, sends them and hands the answers back.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

from fastci.node.dsl.attack import Attack, Callbacks, Match, NoCallbacks, make_attack
from fastci.node.dsl.detect import Detection
from fastci.node.dsl.markers import Markers, MarkerSource
from fastci.node.dsl.oracle import WHOLE
from fastci.node.dsl.patterns import ExtensionFault, Limited
from fastci.node.dsl.requests import (
    Sending,
    encode,
    harmless_template,
    is_address,
    is_harmless,
    recorded_in,
    sent,
    unchanged,
    with_headers,
    with_prolog,
)
from fastci.node.message import Request, Response
from fastci.node.points import Point, PointPattern, list_points

METHODS = ("prefix", "postfix", "random", "replace")
SEND_METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "PATCH", "COPY", "DELETE", "LOCK", "UNLOCK",
                "MOVE", "TRACE")  # fmt: skip
TESTRUN = "testrun"
Sure = Literal["confirmed", "firm", "tentative"]

_ARRAY_INDEX = re.compile(r"_ARRAY_\d+")
_MOST_INSIDE = 12
_NAMED_ONLY = "STR_MARKER http://DNS_MARKER/ STR_MARKER"
_NO_CALLBACKS = NoCallbacks()


class Memory:
    """What the extensions of one test run have collected so far."""

    def __init__(self) -> None:
        self._seen: set[tuple[object, ...]] = set()

    def accept(self, key: tuple[object, ...]) -> bool:
        """Whether this is new; it is remembered either way."""
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def release(self, extension: "Extension") -> None:
        """Give back a `testrun`: the accepted baseline led to no request after all."""
        self._seen.discard((extension.name, TESTRUN))


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One item of the section `match`: a value at such a point, or no such point (`value` None)."""

    point: PointPattern
    value: Limited | None
    where: str

    def holds(self, points: Sequence[Point]) -> bool:
        found = select(self.point, points, self.where)
        if self.value is None:
            return not found
        return any(self.value.matches(point.value) for point in found)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Extension:
    """One YAML file. `name` is the file's name without its ending, `type` a code of VULNERABILITIES.

    `oracle` names what decides in place of `detect: response`, "" when nothing does; `oracle_options` are
    its checked options. `kinds` and `when` narrow the points further; empty and None narrow nothing.
    With `inside` the payload is written at such points inside the point in turn, one after the other.
    `headers` are set, or added, in one test request each; such an extension needs no point.
    `needs` says what must be true of a point: "echo" where the payload only works if it is shown again.
    `per` says what a finding is told for: a "route", or the "host" as a whole; `confidence` how sure it is.
    `prolog` is written before the innermost XML document that the point lies in, as a declaration must be.
    """

    name: str
    type: str
    title: str
    threat: int
    description: str
    builtin: bool
    cwe: tuple[int, ...]
    remediation: str
    detection: Detection
    uniq: tuple[tuple[PointPattern, ...] | str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    changes: tuple[tuple[PointPattern, str], ...] = ()
    payloads: tuple[str, ...] = ()
    into: tuple[PointPattern, ...] = ()
    methods: tuple[str, ...] = ("replace",)
    raw: bool = False
    inside: tuple[PointPattern, ...] = ()
    prolog: str = ""
    headers: tuple[tuple[tuple[str, str], ...], ...] = ()
    needs: str = ""
    per: str = "route"
    confidence: Sure = "confirmed"
    kinds: frozenset[str] = frozenset()
    when: Limited | None = None
    sendings: tuple[Sending, ...] = ()
    oracle: str = ""
    oracle_options: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""

    @property
    def sends(self) -> bool:
        """The non-modifying kind: requests of its own, once per target host."""
        return bool(self.sendings)

    @property
    def whole(self) -> bool:
        """Looks at a request as a whole: it runs once for a baseline, whatever its points."""
        return bool(self.headers) or self.oracle in WHOLE

    @property
    def rank(self) -> int:
        """Its place in the order of a baseline's checks: what costs least and tells most comes first."""
        if self.oracle:
            return {"passive": 0, "boolean": 3, "time": 5}.get(self.oracle, 4)
        return 2 if self.needs else 1

    # phases before anything is sent

    def collects(self, points: Sequence[Point], memory: Memory) -> bool:
        """The phase collect: whether this baseline is new for this extension; remembers it."""
        if not self.uniq:
            return True
        for item in self.uniq:
            if isinstance(item, str):
                return memory.accept((self.name, TESTRUN))
            found = [select(pattern, points, self.where) for pattern in item]
            if all(found):
                values = tuple(tuple(point.value for point in each) for each in found)
                return memory.accept((self.name, item, values))
        return False

    def matches(self, points: Sequence[Point]) -> bool:
        """The phase match. Raises ExtensionFault for a regular expression that hangs."""
        return all(condition.holds(points) for condition in self.conditions)

    def modified(self, request: Request) -> Request:
        """The phase modify; the very same request when nothing changes."""
        return apply_changes(request, self.changes, self.where)

    def targets(self, points: Sequence[Point]) -> list[Point]:
        """Of the points that the policy admits those that are attacked, each in turn.

        An extension that generates nothing sends its request once, whatever the number of points.
        """
        if self.sends or self.whole:
            return []
        if not self.payloads and not self.oracle:
            return list(points[:1])
        if self.into:
            meant = {id(point) for pattern in self.into for point in select(pattern, points, self.where)}
            chosen = [point for point in points if id(point) in meant]
        else:
            chosen = _innermost(points)
        return [point for point in chosen if self._takes(point)]

    def _takes(self, point: Point) -> bool:
        if self.kinds and point.kind not in self.kinds:
            return False
        return self.when is None or self.when.matches(point.value)

    # attacks

    def attacks(self, request: Request, point: Point | None, markers: MarkerSource) -> Iterator[Attack]:
        """The test requests at this point, one per payload and method, or the fixed ones; made one by one.

        `request` is the baseline after `modified`. Payloads that only a callback could prove are left out
        where none can come.
        """
        for sending in self.sendings:
            fresh = markers.fresh()
            if self._can_show(fresh, str(sending)):
                yield sent(sending, request, fresh)
        for headers in self.headers:
            yield with_headers(request, headers, markers.fresh())
        if self.sends or self.headers:
            return
        if point is None or not self.payloads:
            yield unchanged(request, point.name if point else "", markers.fresh())
            return
        places = self._places(request, point)
        shown = bool(self.oracle or self.detection.rules)
        for template, method, place in product(self.payloads, self.methods, places):
            fresh = markers.fresh()
            if shown or self._can_show(fresh, template):
                at = markers.place(len(place.value)) if method == "random" else 0
                attack = self._written(place, template, method, at, "", fresh)
                yield attack if place is point else replace(attack, point=point.name)

    def _can_show(self, fresh: Markers, template: str) -> bool:
        if self.oracle or self.detection.rules:
            return True
        text = template + self.prolog
        return not self.detection.callbacks or "DNS_MARKER" not in text or fresh.carries(text)

    def _places(self, request: Request, point: Point) -> list[Point]:
        """Where payloads go: the point itself, or those inside it, one for all members of an array."""
        if not self.inside:
            return [point]
        below = point.name.removesuffix("value")
        points = [p for p in list_points(request) if p.name.startswith(below) and p.name != point.name]
        meant = [p for pattern in self.inside for p in select(pattern, points, self.where)]
        return list({_ARRAY_INDEX.sub("", p.name): p for p in reversed(meant)}.values())[::-1][:_MOST_INSIDE]

    def craft(
        self,
        point: Point,
        template: str,
        method: str,
        fresh: Markers,
        source: MarkerSource,
        *,
        delay: str = "",
    ) -> Attack:
        """One attack from any template, made as `attacks` makes them: for oracles.

        `delay` are the seconds that DELAY_MARKER stands for. `source` says where the method `random` writes.
        """
        at = source.place(len(point.value)) if method == "random" else 0
        return self._written(point, template, method, at, delay, fresh)

    def _written(
        self, point: Point, template: str, method: str, at: int, delay: str, fresh: Markers
    ) -> Attack:
        payload = fresh.fill(template, delay)
        if "VALUE_MARKER" in payload:
            payload = payload.replace("VALUE_MARKER", recorded_in(point, raw=self.raw))
        request = point.write(inserted(point.value, payload, method, at), raw=self.raw)
        if self.prolog and template in self.payloads:
            request = with_prolog(request, point.name, encode(fresh.fill(self.prolog)))
        return make_attack(
            request=request, payload=payload, template=template, method=method,
            point=point.name, markers=fresh,
            recipe=(self._written, point, template, method, at, delay),
        )  # fmt: skip

    def again(self, attack: Attack, markers: MarkerSource) -> Attack:
        """The same payload at the same place with fresh markers."""
        make, *arguments = attack.recipe
        repeated: Attack = make(*arguments, markers.fresh())
        return repeated if repeated.point == attack.point else replace(repeated, point=attack.point)

    def control(
        self, request: Request, point: Point | None, markers: MarkerSource, *, like: Attack | None = None
    ) -> Attack | None:
        """A harmless request beside an attack: what it shows as well proves nothing.

        At a point: a word with a fresh marker, digits where a number stands, a small document in place of a
        document, put there by the method of `like` (of the first one without it). For a fixed request: the
        same method at an address that cannot exist. None when the attack is a harmless word itself.
        """
        fresh = markers.fresh()
        if self.sends:
            sending = self.sendings[0]
            target = like.request.method.decode("latin-1") if like else sending.method
            absent = Sending(method=target, url=f"/{fresh.text}", headers=(), body="")
            return sent(absent, request, fresh, template="STR_MARKER")
        templates = [like.template] if like else list(self.payloads)
        if self.headers or point is None or all(is_harmless(template) for template in templates):
            return None
        method = like.method if like and like.method in METHODS else self.methods[0]
        template = harmless_template(point, markers)
        return self.craft(point, template, method, fresh, markers)

    def inert(
        self, request: Request, point: Point | None, markers: MarkerSource, *, like: Attack
    ) -> Attack | None:
        """A request beside one that is called back, that names the node's address in plain text and no more.

        Where the attack itself is no more than an address, it is the harmless request of `control`.
        """
        if self.sends or point is None or is_address(like.template):
            return self.control(request, point, markers, like=like)
        # Another template than the payload's, so the prolog stays away: the document only names the address.
        template = like.template + " " if self.prolog else _NAMED_ONLY
        return self.craft(point, template, like.method or self.methods[0], markers.fresh(), markers)

    def unheard(self, fresh: Markers) -> bool:
        """Whether some of it waits for a callback that cannot come."""
        texts = (*(payload + self.prolog for payload in self.payloads), *map(str, self.sendings))
        return any("DNS_MARKER" in text and not fresh.carries(text) for text in texts)

    def detect(
        self, attack: Attack, response: Response, callbacks: Callbacks = _NO_CALLBACKS
    ) -> Match | None:
        """The phase detect. `response` may answer another request than the attack's, or have status 0.

        Raises ExtensionFault, whose message names file and line, for a regular expression that hangs.
        """
        return self.detection.decide(attack, response, callbacks)


def inserted(value: bytes, payload: str, method: str, at: int = 0) -> bytes:
    """The value with the payload in it; `at` is the place for the method `random`."""
    data = payload.encode("utf-8", "surrogateescape")
    match method:
        case "replace":
            return data
        case "prefix":
            return data + value
        case "postfix":
            return value + data
        case _:
            return value[:at] + data + value[at:]


def _innermost(points: Sequence[Point]) -> list[Point]:
    """Without the documents whose parts are points themselves: an attack on a part is one on the whole."""
    names = [point.name for point in points]
    return [
        point
        for point in points
        if point.kind != "document"
        or not any(name.startswith(point.name.removesuffix("value")) for name in names if name != point.name)
    ]


def select(pattern: PointPattern, points: Sequence[Point], where: str) -> list[Point]:
    """The points that a pattern means. Raises ExtensionFault for one that hangs."""
    try:
        return pattern.select(points)
    except TimeoutError:
        raise ExtensionFault(f"{where}: the point {pattern.text!r} takes too long to compare") from None


def apply_changes(request: Request, changes: Iterable[tuple[PointPattern, str]], where: str = "") -> Request:
    """Existing points set to other values; the very same request when nothing changes."""
    for pattern, value in changes:
        data = encode(value)
        for name in [point.name for point in select(pattern, list_points(request), where)]:
            point = next((p for p in list_points(request) if p.name == name), None)
            if point is not None and point.value != data:
                request = point.write(data)
    return request

"""The phase detect: whether an answer, or a callback, shows the flaw.

Everything listed is an alternative, but `strict_type`, `strict_status`, `strict_headers` and `unescape`,
which say when and how the conditions beside them apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fastci.node.dsl.attack import Attack, Callbacks, Match, excerpt_of
from fastci.node.dsl.markers import Markers
from fastci.node.dsl.patterns import ExtensionFault, Pattern, Span, Text, first_match
from fastci.node.dsl.places import Place
from fastci.node.dsl.reading import Reading, read
from fastci.node.message import Response

OOB_KINDS = frozenset({"dns", "http", "ldap"})

_SHOWN = 100
_PLACE_WORDS = {
    "tag": "the name of a tag",
    "attr": "an attribute",
    "attr-name": "the name of an attribute",
    "href": "an address to follow",
    "js": "script code",
    "refresh": "the address that the page moves on to",
}


class Condition(Protocol):
    """One thing to look for in an answer; `texts` are its body in every form that is asked for."""

    @property
    def fixed(self) -> bool:
        """Whether it looks for the same whatever the attack was."""
        ...

    def check(self, reading: Reading, texts: Sequence[Text], attack: Attack) -> Match | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyMarker:
    """A marker of the payload stands in the head, in the body, or in either ("response")."""

    where: str

    @property
    def fixed(self) -> bool:
        return False

    def check(self, reading: Reading, texts: Sequence[Text], attack: Attack) -> Match | None:
        if self.where != "body":
            for name, value in reading.lines:
                line = f"{name}: {value}"
                if hit := _marker_in(line, attack):
                    return Match(what=f"{hit} stands in the header {name}", excerpt=excerpt_of(line, 0, 0))
        if self.where != "headers":
            for text in texts:
                if hit := _marker_in(text.text, attack):
                    at = _find(text.text, attack)
                    return Match(what=f"{hit} stands in the body", excerpt=excerpt_of(text.text, at, at))
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The status code, as a whole, matches one of the patterns."""

    patterns: tuple[Pattern, ...]

    @property
    def fixed(self) -> bool:
        return _are_fixed(self.patterns)

    def check(self, reading: Reading, texts: Sequence[Text], attack: Attack) -> Match | None:
        status = str(reading.response.status)
        found = first_match(self.patterns, Text(status), attack.markers, whole=True)
        if not found:
            return None
        reason = reading.response.reason.decode("latin-1")
        return Match(what=f"the status is {status}", excerpt=f"{status} {reason}".strip()[:300])


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderLine:
    """Any header line, `Name: value`, matches."""

    pattern: Pattern

    @property
    def fixed(self) -> bool:
        return not self.pattern.has_markers

    def check(self, reading: Reading, texts: Sequence[Text], attack: Attack) -> Match | None:
        for name, value in reading.lines:
            line = f"{name}: {value}"
            if span := self.pattern.search(Text(line), attack.markers):
                what = f"the header {name} holds {_shown(line, span, attack)}"
                return Match(what=what, excerpt=excerpt_of(line, *span))
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """A header whose name begins with a match of `name` has a value that matches one of `values`.

    `values` None: no such header is there. `empty`: there are such headers, and all are empty.
    """

    name: Pattern
    values: tuple[Pattern, ...] | None
    empty: bool = False

    @property
    def fixed(self) -> bool:
        return _are_fixed((self.name, *(self.values or ())))

    def check(self, reading: Reading, texts: Sequence[Text], attack: Attack) -> Match | None:
        meant = [
            (name, value)
            for name, value in reading.lines
            if self.name.search(Text(name), attack.markers, start=True) is not None
        ]
        if self.values is None:
            return None if meant else Match(what=f"there is no header {self.name.source}", excerpt="")
        if self.empty and meant and not any(value for _, value in meant):
            return Match(what=f"the header {meant[0][0]} is empty", excerpt=f"{meant[0][0]}:")
        for name, value in meant:
            found = first_match(self.values, Text(value), attack.markers)
            if found:
                what = f"the header {name} holds {_shown(value, found[1], attack)}"
                start, end = (len(name) + 2 + at for at in found[1])
                return Match(what=what, excerpt=excerpt_of(f"{name}: {value}", start, end))
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """The body matches one of the patterns."""

    patterns: tuple[Pattern, ...]

    @property
    def fixed(self) -> bool:
        return _are_fixed(self.patterns)

    def check(self, reading: Reading, texts: Sequence[Text], attack: Attack) -> Match | None:
        for text in texts:
            found = first_match(self.patterns, text, attack.markers)
            if found:
                what = f"the body holds {_shown(text.text, found[1], attack)}"
                return Match(what=what, excerpt=excerpt_of(text.text, *found[1]))
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Html:
    """A place in the parsed page (one of places.PLACES, "" for any markup) holds STR_MARKER or a pattern.

    "" means what makes markup of the marker: the name of a tag or of an attribute, or script code.
    """

    place: str
    patterns: tuple[Pattern, ...] = ()

    @property
    def fixed(self) -> bool:
        return bool(self.patterns) and _are_fixed(self.patterns)

    def check(self, reading: Reading, texts: Sequence[Text], attack: Attack) -> Match | None:
        marker = attack.markers.text
        if all(pattern.needs_text for pattern in self.patterns) and marker not in texts[0].lower:
            return None
        kinds = (self.place,) if self.place else ("tag", "attr-name", "js")
        for place in reading.places:
            if place.kind in kinds and (span := self._span(place, marker, attack.markers)):
                word = f"the marker {marker}" if not self.patterns else repr(place.text[slice(*span)][:80])
                what = f"{word} is {_PLACE_WORDS[place.kind]} in the parsed page (element {place.element})"
                return Match(what=what, excerpt=_source_around(texts[0], marker, place))
        return None

    def _span(self, place: Place, marker: str, markers: Markers) -> tuple[int, int] | None:
        if not self.patterns:
            at = place.text.lower().find(marker)
            return None if at < 0 else (at, at + len(marker))
        # `tag: a` means the tag a, `attr: id` the attribute id or "id" in a value: names count as a whole.
        whole = place.kind in ("tag", "attr-name") or place.is_name
        found = first_match(self.patterns, Text(place.text), markers, whole=whole)
        return found[1] if found else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponseRule:
    """One `response` item. Without conditions of its own it looks for any marker anywhere.

    `html_only`, `statuses` and `heads` (every one of them must hold) say which answers count at all;
    `unescape` are the ways in which the body is read besides as it is.
    """

    conditions: tuple[Condition, ...]
    html_only: bool = False
    statuses: tuple[Pattern, ...] = ()
    heads: tuple[Condition, ...] = ()
    unescape: tuple[str, ...] = ()

    @property
    def fixed(self) -> bool:
        """Whether the attack does not matter."""
        return _are_fixed(self.statuses) and all(condition.fixed for condition in self.conditions)

    def check(self, reading: Reading, attack: Attack) -> Match | None:
        if self.html_only and not reading.is_html:
            return None
        if self.statuses:
            status = Text(str(reading.response.status))
            if not first_match(self.statuses, status, attack.markers, whole=True):
                return None
        if self.heads and not all(head.check(reading, (), attack) for head in self.heads):
            return None
        texts = reading.texts(self.unescape)
        fault: ExtensionFault | None = None
        for condition in self.conditions:
            try:
                match = condition.check(reading, texts, attack)
            except ExtensionFault as error:
                fault = fault or error
                continue
            if match:
                return match
        if fault:
            raise fault
        return None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Detection:
    """The whole section. `oob` and `delayed_oob` are the kinds of callbacks that prove it, `callbacks` both.

    Where it `is_fixed` one look at a response is enough, as the attack does not matter.
    """

    rules: tuple[ResponseRule, ...] = ()
    oob: frozenset[str] = frozenset()
    delayed_oob: frozenset[str] = frozenset()
    callbacks: frozenset[str] = field(init=False)
    is_fixed: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "callbacks", self.oob | self.delayed_oob)
        object.__setattr__(self, "is_fixed", all(rule.fixed for rule in self.rules))

    def decide(self, attack: Attack, response: Response, callbacks: Callbacks) -> Match | None:
        """What proves the flaw, None when nothing does. Raises ExtensionFault for a pattern that hangs."""
        if attack.markers.hears and self.callbacks:
            domain = attack.markers.domain
            heard = callbacks.kinds(domain)
            # Where the marker is an address there is no name to look up: whoever comes has used it.
            seen = heard & self.callbacks or (heard if "/" in domain and "dns" in self.callbacks else set())
            if seen:
                kinds = " and ".join(kind.upper() for kind in sorted(seen))
                what = f"{domain} was called back by {kinds}"
                return Match(what=what, excerpt=callbacks.told(domain), called_back=True)
        if not response.status or not self.rules:
            return None
        reading = read(response)
        if self in reading.silent:
            return None
        fault: ExtensionFault | None = None
        for rule in self.rules:
            try:
                match = rule.check(reading, attack)
            except ExtensionFault as error:
                fault = fault or error
                continue
            if match:
                return match
        if fault:
            raise fault
        if self.is_fixed:
            reading.silent.add(self)
        return None


def _are_fixed(patterns: Sequence[Pattern]) -> bool:
    return not any(pattern.has_markers for pattern in patterns)


def _wanted(attack: Attack) -> list[tuple[str, str]]:
    """What to look for of the markers that the payload has, and how to call it."""
    markers, template = attack.markers, attack.template
    wanted = []
    if "STR_MARKER" in template:
        wanted.append((markers.text, f"the marker {markers.text}"))
    if "CALC_MARKER" in template:
        called = f"{markers.result}, the result of {markers.expression},"
        wanted += [(result, called) for result in markers.results]
    if "DNS_MARKER" in template:
        wanted.append((markers.domain, f"the marker {markers.domain}"))
    return wanted


def _marker_in(text: str, attack: Attack) -> str:
    return next((called for word, called in _wanted(attack) if word in text), "")


def _find(text: str, attack: Attack) -> int:
    return next((text.find(word) for word, _ in _wanted(attack) if word in text), 0)


def _shown(text: str, span: Span, attack: Attack) -> str:
    """What was matched, as a report says it."""
    hit = " ".join(text[slice(*span)].split())
    shown = repr(hit if len(hit) <= _SHOWN else hit[: _SHOWN - 1] + "…")
    called = _marker_in(hit, attack).rstrip(",")
    return called if called and len(hit) <= len(called) else f"{shown}, {called}" if called else shown


def _source_around(text: Text, marker: str, place: Place) -> str:
    at = text.lower.find(marker)
    if at < 0:
        at = max(text.text.find(place.text), 0)
        return excerpt_of(text.text, at, at)
    return excerpt_of(text.text, at, at + len(marker))

"""Point patterns: regular expressions over full point names, as policies and extensions write them.

How a pattern is read (docs/policies.md tells users the same):
- It must match the whole name. Ending in the service word `value` or `name` it means exactly such points.
- Without a service word it means every value at or below what it names: `GET` every query parameter,
  `GET_id` the parameter `id` and what is parsed inside it, never `GET_id_token`.
- Names of elements are meant only by patterns that say `name`: `GET_.*` takes values, `GET_.*_name` names.
- An element really called `name` or `value` is tried last: `GET_user_name` is the name of `user` if there
  is such a parameter, else the value of `user_name`.
- Header names match in any case. JSON_OBJ is HASH, JSON_ARRAY is ARRAY, XML_TAG_ARRAY is ARRAY;
  `XML_XML_TAG` may be written `XML_TAG`, and the like for the other XML filters.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import regex

from fastci.node.points.model import Point, PointName
from fastci.node.points.onigmo import compile_ruby

TIMEOUT = 1.0  # seconds that one name may take; only hostile patterns come near
_SERVICE = re.compile(r"(?<![A-Za-z0-9])(value|name)(?![A-Za-z0-9])")
_PARSER_WORDS = "COOKIE|ARRAY|BASE64|GZIP|PERCENT|JSON_DOC|XML|JWT_[A-Z]+|GRAPHQL|ZIP|value|name"
_HEADER = re.compile(rf"HEADER_(.+?)(_(?:{_PARSER_WORDS})(?:_.*)?)?", re.DOTALL)
_SAME_IN_PATTERNS = (
    (re.compile(r"(?<![A-Za-z0-9])JSON_OBJ(?![A-Za-z0-9])"), "HASH"),
    (re.compile(r"(?<![A-Za-z0-9])JSON_ARRAY(?![A-Za-z0-9])"), "ARRAY"),
    (re.compile(r"(?<!XML)_XML_TAG_ARRAY(?=_)"), "_ARRAY"),
)
_JWT = re.compile(r"(JWT_(?:PAYLOAD|HEADER))(?:_JSON_DOC)?_HASH")


@dataclass(frozen=True, kw_only=True, slots=True)
class PointPattern:
    """A compiled point; `text` is what was written, without quotes."""

    text: str
    _services: frozenset[str] = field(repr=False)
    _regexes: tuple["regex.Pattern[str]", ...] = field(repr=False, compare=False)
    _meant: object = field(default_factory=object, repr=False, compare=False)
    _said: object = field(default_factory=object, repr=False, compare=False)
    _gave_up: list[str] = field(default_factory=list, repr=False, compare=False)

    def matches(self, name: str) -> bool:
        """Whether the point of this name is meant.

        Raises TimeoutError for a pattern that takes too long; then it is not tried again.
        """
        parsed = _parsed(name)
        known = _known_of(parsed)
        meant = known.get(self._meant)
        if meant is None:
            meant = known[self._meant] = self._says(parsed) or self._reaches(parsed)
        return meant

    def select(self, points: Iterable[Point]) -> list[Point]:
        """The points that are meant, in order. Reserved words first: an element of such a name only counts
        when nothing else is meant. Raises TimeoutError as `matches`."""
        pool = list(points)
        said = [point for point in pool if self._says(_parsed(point.name))] if self._services else []
        return said or [point for point in pool if self.matches(point.name)]

    def _says(self, name: PointName) -> bool:
        """The pattern matches the full name, service word included."""
        if name.service == "name" and "name" not in self._services:
            return False
        known = _known_of(name)
        said = known.get(self._said)
        if said is None:
            full = ("_".join((*words, name.service)) for words in (name.words, *name.aliases))
            said = known[self._said] = self._any(full)
        return said

    def _reaches(self, name: PointName) -> bool:
        """The pattern matches the element itself, or one that the value lies in."""
        return name.service == "value" and self._any(_stems(name))

    def _any(self, names: Iterable[str]) -> bool:
        if self._gave_up:
            raise TimeoutError
        folded = (_fold(name) for name in names)
        try:
            return any(
                r.fullmatch(name, timeout=TIMEOUT) is not None for name in folded for r in self._regexes
            )
        except TimeoutError:
            self._gave_up.append("a name took too long")
            raise


def compile_point(pattern: str) -> PointPattern:
    """A point as it is written in a policy or an extension. Raises ValueError with the reason."""
    text = pattern.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    if not text:
        raise ValueError("a point is empty")
    canonical = text
    for same, word in _SAME_IN_PATTERNS:
        canonical = same.sub(word, canonical)
    # An element may really be called JSON_OBJ: what was written is tried as well.
    texts = dict.fromkeys((_fold(canonical), text))
    services = frozenset(_SERVICE.findall(text.rpartition("_")[2]))
    regexes = tuple(_compile(each) for each in texts)
    return PointPattern(text=text, _services=services, _regexes=regexes)


def _compile(text: str) -> "regex.Pattern[str]":
    header = _HEADER.fullmatch(text)
    if header is None:
        return compile_ruby(text)
    try:
        return compile_ruby(f"HEADER_(?i:{header[1]}){header[2] or ''}")
    except ValueError:
        return compile_ruby(text, ignore_case=True)


def _fold(text: str) -> str:
    if "XML_XML_" in text:
        text = text.replace("XML_XML_", "XML_")
    return _JWT.sub(r"\1", text) if "JWT_" in text else text


def _known_of(name: PointName) -> dict[object, bool]:
    """What patterns have said of a name. Names of the same words, one in every baseline, share it."""
    if name.meant_by is None:
        key = (name.words, name.service, name.aliases)
        known = _KNOWN.get(key)
        if known is None:
            if len(_KNOWN) >= _MOST_KNOWN:
                _KNOWN.clear()
            known = _KNOWN[key] = {}
        name.meant_by = known
    return name.meant_by


_KNOWN: dict[object, dict[object, bool]] = {}
_MOST_KNOWN = 2_000


def _parsed(name: str) -> PointName:
    if isinstance(name, PointName):
        return name
    head, _, service = name.rpartition("_")
    if service not in ("value", "name"):
        head, service = name, "value"
    return PointName.of(tuple(head.split("_")), service)


def _stems(name: PointName) -> Iterator[str]:
    for words in (name.words, *name.aliases):
        stem = words[0]
        yield stem
        for word in words[1:]:
            stem = f"{stem}_{word}"
            yield stem

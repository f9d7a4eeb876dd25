"""Regular expressions of detect sections: hundreds of them over one text, quickly and with a limit of time.

Most patterns hold a piece of plain text without which they cannot match. Looking for that piece first costs
next to nothing, so the regular expression itself runs on few texts.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush

import regex

from fastci.node.dsl.markers import WORDS, Markers
from fastci.node.points import compile_ruby

TIMEOUT = 1.0
"""Seconds that one pattern may take on one text."""

SHORTEST_NEEDLE = 3
_PIECE = 4  # characters
_FEW = 8

# One private-use character stands for each marker while a pattern is looked through.
_STAND_INS = {word: chr(0xE000 + number) for number, word in enumerate(WORDS)}
_MARKER_WORDS = re.compile("|".join(WORDS))
_TEXT, _CALC, _DOMAIN, _UNREADABLE = (_STAND_INS[word] for word in WORDS)
_INTERVAL = re.compile(r"\{(?:\d+(?:,\d*)?|,\d+)\}")
_OPTIONS = re.compile(r"\(\?([imxadu]*)(?:-[imx]*)?[:)]")
_CLASS_ESCAPES = "dDwWsShHbBAzZGRX"
_CHAR_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_SAMPLE = Markers(text="sample0000", expression="1234*5678", result="7006652", domain="sample.example")

Span = tuple[int, int]


class ExtensionFault(Exception):
    """An extension cannot do its work, and it is its own fault. The message begins with `file:line:col:`."""


class Limited:
    """A regular expression that values must match; given up for good when it takes too long on one.

    `where` is its place in the extension's file.
    """

    def __init__(self, pattern: "regex.Pattern[str]", where: str) -> None:
        self.pattern = pattern.pattern
        self._compiled = pattern
        self._where = where
        self._gave_up = False

    def matches(self, value: bytes) -> bool:
        """Whether it is found in the value. Raises ExtensionFault for one that hangs."""
        if not self._gave_up:
            try:
                return self._compiled.search(value.decode("utf-8", "replace"), timeout=TIMEOUT) is not None
            except TimeoutError:
                self._gave_up = True
        raise ExtensionFault(
            f"{self._where}: the regular expression {self.pattern!r} took longer than {TIMEOUT:g} s on "
            "one value; it is not tried again"
        )


class Text:
    """A text to search in, with its lower-case form made at most once."""

    __slots__ = ("_lower", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._lower: str | None = None

    @property
    def lower(self) -> str:
        if self._lower is None:
            self._lower = self.text.lower()
        return self._lower


class Pattern:
    """One regular expression with markers in it. `where` is its place in the extension's file.

    Raises ValueError with the reason when it is not one.
    """

    def __init__(self, source: str, where: str = "", *, ignore_case: bool = False) -> None:
        self.source = source
        self.where = where
        self.has_markers = _MARKER_WORDS.search(source) is not None
        self._ignore_case = ignore_case
        compiled = compile_ruby(_SAMPLE.fill_pattern(source), ignore_case=ignore_case)
        self._compiled = None if self.has_markers else compiled
        self.needles, self._folded = needles_of(f"(?i){source}" if ignore_case else source)
        self.needs_text = bool(self.needles) and all(_TEXT in needle for needle in self.needles)
        self._gave_up = False

    def search(
        self, text: Text, markers: Markers, *, whole: bool = False, start: bool = False
    ) -> Span | None:
        """The first match as (start, end). `whole` demands the whole text, `start` a match at its beginning.

        Raises ExtensionFault when the pattern takes longer than TIMEOUT; then it is not tried again.
        """
        if not self._may_match(text, markers):
            return None
        if self._gave_up:
            raise self._fault()
        compiled = self._compiled or compile_ruby(
            markers.fill_pattern(self.source), ignore_case=self._ignore_case
        )
        find: Callable[..., regex.Match[str] | None] = (
            compiled.fullmatch if whole else compiled.match if start else compiled.search
        )
        try:
            match = find(text.text, timeout=TIMEOUT)
        except TimeoutError:
            self._gave_up = True
            raise self._fault() from None
        return match.span() if match else None

    def _may_match(self, text: Text, markers: Markers) -> bool:
        if not self.needles:
            return True
        haystack = text.lower if self._folded else text.text
        for needle in self.needles:
            if self._filled_in(needle, haystack, markers) if self.has_markers else needle in haystack:
                return True
        return False

    def _filled_in(self, needle: str, haystack: str, markers: Markers) -> bool:
        if _CALC in needle:
            # However the digits are grouped, the last three stand together.
            return markers.result[-3:] in haystack and any(each in haystack for each in markers.results)
        filled = needle.replace(_TEXT, markers.text)
        if _DOMAIN in needle:
            filled = filled.replace(_DOMAIN, markers.domain)
        return (filled.lower() if self._folded else filled) in haystack

    def _fault(self) -> ExtensionFault:
        shown = self.source if len(self.source) <= 80 else self.source[:77] + "..."
        return ExtensionFault(
            f"{self.where}: the regular expression {shown!r} took longer than {TIMEOUT:g} s on one answer; "
            "one value; it is not tried again"
        )


class PatternSet(tuple[Pattern, ...]):
    """Patterns that are looked for together: which of them a text could hold is found in one pass.

    Hundreds of needles have a few dozen pieces in common. Only where such a piece stands in the text are the
    patterns with it looked at one by one.
    """

    @cached_property
    def _pieces(self) -> tuple[list[tuple[str, list[int]]], list[int]]:
        """Pieces with the places of the patterns that hold them, and the places of those without any."""
        always = [at for at, p in enumerate(self) if p.has_markers or not p.needles]
        needles = [
            (at, needle.lower()) for at, p in enumerate(self) if at not in set(always) for needle in p.needles
        ]
        holders: dict[str, set[int]] = {}
        for number, (_, needle) in enumerate(needles):
            for start in range(max(1, len(needle) - _PIECE + 1)):
                holders.setdefault(needle[start : start + _PIECE], set()).add(number)
        left = set(range(len(needles)))
        queue = [(-len(numbers), piece) for piece, numbers in holders.items()]
        heapify(queue)
        pieces = []
        while left:
            count, piece = heappop(queue)
            now = holders[piece] & left
            if len(now) < -count:  # others have taken some of it meanwhile
                heappush(queue, (-len(now), piece))
                continue
            left -= now
            pieces.append((piece, sorted({needles[number][0] for number in now})))
        return pieces, always

    def candidates(self, text: Text) -> Sequence[Pattern]:
        """Those that may match, in their order."""
        if len(self) < _FEW:
            return self
        pieces, places = self._pieces
        haystack = text.lower
        found = set(places)
        for piece, holders in pieces:
            if piece in haystack:
                found.update(holders)
        return [self[place] for place in sorted(found)]


def first_match(
    patterns: Sequence[Pattern], text: Text, markers: Markers, *, whole: bool = False, start: bool = False
) -> tuple[Pattern, Span] | None:
    """The first of the patterns that matches. One that takes too long spoils only itself: its ExtensionFault
    is raised when no other matches."""
    fault: ExtensionFault | None = None
    for pattern in patterns.candidates(text) if isinstance(patterns, PatternSet) else patterns:
        try:
            span = pattern.search(text, markers, whole=whole, start=start)
        except ExtensionFault as error:
            fault = fault or error
            continue
        if span is not None:
            return pattern, span
    if fault is not None:
        raise fault
    return None


def needles_of(pattern: str) -> tuple[tuple[str, ...], bool]:
    """Texts of which every match of this Ruby pattern holds at least one; and whether case does not count.

    One for each alternative, none at all where one of them has no certain text. Markers in it are single
    stand-in characters; a needle that has one is preferred to a longer one. CALC_MARKER comes alone, as its
    result has several spellings.
    """
    text = _MARKER_WORDS.sub(lambda match: _STAND_INS[match[0]], pattern)
    options = "".join(_OPTIONS.findall(text))
    if "x" in options:
        return (), False
    folded = "i" in options
    needles = []
    for alternative in _alternatives(text):
        runs = _plain_runs(alternative)
        needle = "" if runs is None else _best(runs)
        if not needle or _UNREADABLE in needle:
            return (), folded
        needles.append(needle.lower() if folded else needle)
    return tuple(needles), folded


def _best(runs: list[str]) -> str:
    pieces = [piece for run in runs for piece in re.split(f"({_CALC})", run)]
    marked = [piece for piece in pieces if any(sign in piece for sign in _STAND_INS.values())]
    long = [piece for piece in pieces if len(piece) >= SHORTEST_NEEDLE]
    return max(marked or long, key=len, default="")


def _alternatives(text: str) -> list[str]:
    """What the pattern's signs `|` outside groups and classes part."""
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == "(":
            at = _group_end(text, at)
        elif text[at] == "[":
            at = _class_end(text, at)
        else:
            if text[at] == "|":
                parts.append(text[start:at])
                start = at + 1
            at += 1
    return [*parts, text[start:]]


def _plain_runs(text: str) -> list[str] | None:
    """The runs of plain characters that a match must have; None where odd escapes forbid any."""
    runs: list[str] = [""]
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            following = text[at + 1 : at + 2]
            if not following.isalnum() or not following.isascii():
                runs[-1] += following
            elif following in _CHAR_ESCAPES:
                runs[-1] += _CHAR_ESCAPES[following]
            elif following in _CLASS_ESCAPES:
                runs.append("")
            else:
                return None
            at += 2
        elif char == "(":
            end = _group_end(text, at)
            inside = _certain_runs(text[at + 1 : end - 1], text[end : end + 1])
            if inside is None:
                return None
            runs += ["", *inside, ""]
            at = end
        elif char == "[":
            runs.append("")
            at = _class_end(text, at)
        elif char in ".^$)":
            runs.append("")
            at += 1
        elif char in "?*" or (char == "{" and _INTERVAL.match(text, at)):
            runs[-1] = runs[-1][:-1]
            runs.append("")
            interval = _INTERVAL.match(text, at)
            at = interval.end() if interval else at + 1
        elif char == "+":
            runs.append("")
            at += 1
        else:
            runs[-1] += char
            at += 1
    return runs


def _certain_runs(group: str, after: str) -> list[str] | None:
    """The runs of a plain group that is always there, given what is between its brackets and what follows."""
    group = group.removeprefix("?:")
    if group.startswith("?") or after in ("?", "*", "{") or len(_alternatives(group)) > 1:
        return []
    return _plain_runs(group)


def _class_end(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            depth += 1
            at += text.startswith("[]", at) or text.startswith("[^]", at)
        elif text[at] == "]":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return at


def _group_end(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            at = _class_end(text, at) - 1
        elif text[at] == "(":
            depth += 1
        elif text[at] == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return at

"""Regular expressions of detect sections: hundreds of them over one text, quickly and with a limit of time.

Most patterns hold a piece of plain text without which they cannot match. Looking for that piece first costs
next to nothing, so the regular expression itself runs on few texts.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property

import regex

from fastci.node.dsl.markers import WORDS, Markers
from fastci.node.points import compile_ruby

TIMEOUT = 1.0
"""Seconds that one pattern may take on one text."""

SHORTEST_NEEDLE = 3

# One private-use character stands for each marker while a pattern is looked through.
_STAND_INS = {word: chr(0xE000 + number) for number, word in enumerate(WORDS)}
_MARKER_WORDS = re.compile("|".join(WORDS))
_CALC, _UNREADABLE = _STAND_INS["CALC_MARKER"], _STAND_INS["DELAY_MARKER"]
_INTERVAL = re.compile(r"\{(?:\d+(?:,\d*)?|,\d+)\}")
_OPTIONS = re.compile(r"\(\?([imxadu]*)(?:-[imx]*)?[:)]")
_CLASS_ESCAPES = "dDwWsShHbBAzZGRX"
_CHAR_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_SAMPLE = Markers(text="sample0000", expression="1234*5678", result="7006652", domain="sample.example")

Span = tuple[int, int]


class ExtensionFault(Exception):
    """An extension cannot do its work, and it is its own fault. The message begins with `file:line:col:`."""


class Text:
    """A text to search in, with its lower-case form made at most once."""

    __slots__ = ("__dict__", "text")

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lower(self) -> str:
        return self.text.lower()


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
        self._needle, self._folded = needle_of(source)
        self._folded = self._folded or ignore_case
        self._calculates = _CALC in self._needle
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
        if not self._needle:
            return True
        haystack = text.lower if self._folded else text.text
        if self._calculates:
            return any(result in haystack for result in markers.results)
        needle = self._needle
        if self.has_markers:
            needle = needle.replace(_STAND_INS["STR_MARKER"], markers.text)
            if _STAND_INS["DNS_MARKER"] in needle:
                if not markers.domain:
                    return False
                needle = needle.replace(_STAND_INS["DNS_MARKER"], markers.domain)
        return (needle.lower() if self._folded else needle) in haystack

    def _fault(self) -> ExtensionFault:
        shown = self.source if len(self.source) <= 80 else self.source[:77] + "..."
        return ExtensionFault(
            f"{self.where}: the regular expression {shown!r} took longer than {TIMEOUT:g} s on one answer; "
            "it is not tried again"
        )


def first_match(
    patterns: Sequence[Pattern], text: Text, markers: Markers, *, whole: bool = False, start: bool = False
) -> tuple[Pattern, Span] | None:
    """The first of the patterns that matches. One that takes too long spoils only itself: its ExtensionFault
    is raised when no other matches."""
    fault: ExtensionFault | None = None
    for pattern in patterns:
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


def needle_of(pattern: str) -> tuple[str, bool]:
    """Text that every match of this Ruby pattern holds, "" when none is certain; and whether case counts not.

    Markers in it are single stand-in characters; a needle that has one is preferred to a longer one.
    CALC_MARKER comes alone, as its result has several spellings.
    """
    text = _MARKER_WORDS.sub(lambda match: _STAND_INS[match[0]], pattern)
    options = "".join(_OPTIONS.findall(text))
    if "x" in options:
        return "", False
    runs = _plain_runs(text)
    if runs is None or any(_UNREADABLE in run for run in runs):
        return "", False
    pieces = [piece for run in runs for piece in re.split(f"({_CALC})", run)]
    marked = [piece for piece in pieces if any(sign in piece for sign in _STAND_INS.values())]
    long = [piece for piece in pieces if len(piece) >= SHORTEST_NEEDLE]
    best = max(marked or long, key=len, default="")
    folded = "i" in options
    return (best.lower() if folded else best), folded


def _plain_runs(text: str) -> list[str] | None:
    """The runs of plain characters at the top level; None where alternatives or odd escapes forbid any."""
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
        elif char == "|":
            return None
        elif char in "([":
            runs.append("")
            at = _group_end(text, at) if char == "(" else _class_end(text, at)
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

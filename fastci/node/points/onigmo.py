"""Ruby's regular expressions (Onigmo) in terms of the `regex` module.

Translated: `^ $` as line anchors always, `\\A \\z \\Z \\G \\b \\B`, `\\d \\s \\w` (ASCII, Unicode under
`(?u)`), `\\h \\H`, `\\R \\X \\K`, `\\p{..} \\P{..} \\p{^..}`, POSIX brackets, nested classes and `&&`,
`\\xHH \\x{H} \\uHHHH \\u{H H}`, octal, `\\cx \\C-x \\e \\a`, `(?m)` (dot matches line ends), `(?i) (?x) (?a)
(?d) (?u)` isolated or as a group, named groups `(?<n>) (?'n')`, back references `\\k<n> \\k'n' \\k<-1>`,
calls `\\g<n> \\g<0>`, atomic groups, look-around, conditionals, possessive `?+ *+ ++`, `{n,m}+` and `{n}?`
as Ruby reads them.
Refused with ValueError: the absent operator `(?~..)`, back references with a level `\\k<n+1>`, `\\M-x`,
and syntax that is not Ruby's.
"""

import re
import string
from functools import lru_cache

import regex

_INTERVAL = re.compile(r"\{(?:(\d+)(?:(,)(\d*))?|,(\d+))\}")
_OPTIONS = re.compile(r"\(\?([imxadu]*)(?:-([imx]*))?([:)])")
_NAMED = re.compile(r"\(\?(?:<([^>=!][^>]*)>|'([^']*)')")
_CONDITION = re.compile(r"\(\?\((?:<([^>]+)>|'([^']+)'|(\d+))\)")
_PLAIN_GROUPS = ("(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>")
_PROPERTY = re.compile(r"\\([pP])\{(\^?)([^}]*)\}")
_POSIX = re.compile(r"\[:(\^?)([a-z]+):\]")
_POSIX_NAMES = ("alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
                "space", "upper", "xdigit", "word")  # fmt: skip
_REFERENCE = re.compile(r"\\([kg])(?:<([^>]*)>|'([^']*)')")
_CODES = re.compile(r"\\(?:x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{1,2})|u\{([0-9a-fA-F \t]+)\}|u([0-9a-fA-F]{4}))")
_OCTAL = re.compile(r"\\(0[0-7]{0,2}|[1-3][0-7]{2})")
_CONTROL = re.compile(r"\\(?:c|C-)(\\?.)", re.DOTALL)
_ASCII_CLASSES = {"d": "0-9", "w": "a-zA-Z0-9_", "s": r"\t\n\v\f\r\ ", "h": "0-9a-fA-F"}
_SIMPLE = {"e": r"\x1b", "a": r"\x07", "n": r"\n", "t": r"\t", "r": r"\r", "f": r"\f", "v": r"\v"}
_ANCHORS = {**{c: f"\\{c}" for c in "AGbBKX"}, "z": r"\Z", "Z": r"(?=\n?\Z)"}
_LINE_BREAK = r"(?>\r\n|[\n-\r\x85\u2028\u2029])"
MAX_PATTERN = 100_000
MAX_REPEATED = 1_000_000  # parts a pattern has once its {n} are written out, as compiling does


@lru_cache(maxsize=4096)
def compile_ruby(pattern: str, *, ignore_case: bool = False) -> "regex.Pattern[str]":
    """The pattern, compiled. Raises ValueError saying which construct cannot be translated.

    Search with a timeout: `compile_ruby(p).search(text, timeout=1.0)` raises TimeoutError, while a search
    without one may never end on hostile text.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the regular expression has {len(pattern)} characters; {MAX_PATTERN} are allowed")
    flags = regex.VERSION1 | regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0)
    try:
        return regex.compile(_Translation(pattern).run(), flags)
    except (regex.error, OverflowError) as error:
        raise ValueError(f"not a regular expression: {pattern[:80]!r}: {error}") from error
    except RecursionError as error:
        raise ValueError(f"the regular expression is nested too deep: {pattern[:60]!r}...") from error


class _Translation:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.out: list[str] = []
        self.atom = -1  # where in `out` the last repeatable thing begins, -1 when there is none
        self.repeated = False
        self.groups: list[tuple[int, int, bool, bool, int]] = []
        self.size = self.last_size = 0  # of the group that is being read, of its last part
        self.open_options = 0
        self.extended = False
        self.unicode = False
        self.captures = 0

    def run(self) -> str:
        while self.at < len(self.text):
            self._step(self.text[self.at])
        if self.groups:
            raise self._fault("a group is not closed")
        return "".join(self.out) + ")" * self.open_options

    def _fault(self, what: str) -> ValueError:
        text = self.text if len(self.text) <= 80 else self.text[:80] + "..."
        return ValueError(f"{what} (at character {self.at + 1} of {text!r})")

    def _atom(self, piece: str, length: int) -> None:
        self.atom = len(self.out)
        self.repeated = False
        self.out.append(piece)
        self.at += length
        self.last_size = 1
        self.size += 1

    def _mark(self, piece: str, length: int) -> None:
        """Something that cannot be repeated."""
        self.atom = -1
        self.repeated = False
        self.out.append(piece)
        self.at += length

    def _step(self, char: str) -> None:
        if char == "\\":
            self._escape()
        elif char == "[":
            self._atom(self._char_class(), 0)
        elif char == "(":
            self._open()
        elif char == ")":
            self._close()
        elif char in "*+?":
            self._quantifier(char, 1, interval=False)
        elif char == "{" and self.atom >= 0 and (interval := _INTERVAL.match(self.text, self.at)):
            low, comma, high, only_high = interval.groups()
            self._grow(int(low or 0))
            piece = f"{{0,{only_high}}}" if only_high else f"{{{low}{comma or ''}{high or ''}}}"
            self._quantifier(piece, len(interval[0]), interval=True, exact=comma is None and not only_high)
        elif char in "|^$":
            self._mark(char, 1)
        elif char == ".":
            self._atom(".", 1)
        elif self.extended and char in " \t\r\n\f\v":
            self.at += 1
        elif self.extended and char == "#":
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end + 1
        else:
            self._atom(regex.escape(char, literal_spaces=True), 1)

    def _grow(self, times: int) -> None:
        self.size += self.last_size * max(times - 1, 0)
        self.last_size *= max(times, 1)
        if self.size > MAX_REPEATED:
            raise self._fault(f"more than {MAX_REPEATED} repetitions inside one another")

    def _quantifier(self, piece: str, length: int, *, interval: bool, exact: bool = False) -> None:
        if self.atom < 0:
            raise self._fault(f"nothing to repeat before {piece}")
        if self.repeated:
            self.out[self.atom :] = ["(?:" + "".join(self.out[self.atom :]) + ")"]
        self.out.append(piece)
        self.at += length
        self.repeated = True
        after = self.text[self.at : self.at + 1]
        # Ruby reads {n,m}+ and {n}? as one repetition of another, not as possessive or lazy.
        if (after == "?" and not exact) or (after == "+" and not interval):
            self.out.append(after)
            self.at += 1

    def _open(self) -> None:
        text, at = self.text, self.at
        if text.startswith("(?#", at):
            end = text.find(")", at)
            if end < 0:
                raise self._fault("a comment is not closed")
            self.at = end + 1
            return
        if options := _OPTIONS.match(text, at):
            self._options(options)
            return
        if named := _NAMED.match(text, at):
            name = named[1] or named[2] or ""
            if not name.isidentifier():
                raise self._fault(f"the group name {name!r} cannot be translated")
            piece, length = f"(?<{name}>", len(named[0])
            self.captures += 1
        elif condition := _CONDITION.match(text, at):
            piece, length = f"(?({condition[1] or condition[2] or condition[3]})", len(condition[0])
        elif text.startswith("(?~", at):
            raise self._fault("the absent operator (?~...) cannot be translated")
        elif plain := next((p for p in _PLAIN_GROUPS if text.startswith(p, at)), None):
            piece, length = plain, len(plain)
        elif text.startswith(("(?", "(*"), at):
            raise self._fault(f"{text[at : at + 3]} is not Ruby syntax")
        else:
            piece, length = "(", 1
            self.captures += 1
        self._enter(piece, length)

    def _enter(self, piece: str, length: int) -> None:
        self.groups.append((len(self.out), self.open_options, self.extended, self.unicode, self.size))
        self.open_options = self.size = 0
        self._mark(piece, length)

    def _options(self, match: re.Match[str]) -> None:
        on, off, end = match[1], match[2] or "", match[3]
        flags = "".join({"i": "i", "m": "s"}.get(c, "") for c in on if c not in off)
        without = "".join({"i": "i", "m": "s"}.get(c, "") for c in off)
        piece = f"(?{flags}{'-' + without if without else ''}:"
        if end == ":":
            self._enter(piece, len(match[0]))
        else:
            # Isolated, it holds to the end of the group it stands in, alternatives included.
            self.open_options += 1
            self._mark(piece, len(match[0]))
        self.extended = (self.extended or "x" in on) and "x" not in off
        self.unicode = (self.unicode or "u" in on) and not set(on) & {"a", "d"}

    def _close(self) -> None:
        if not self.groups:
            raise self._fault("there is a ) too many")
        piece = ")" * (self.open_options + 1)
        start, self.open_options, self.extended, self.unicode, before = self.groups.pop()
        self.last_size = self.size
        self.size += before
        self.out.append(piece)
        self.at += 1
        self.atom = start
        self.repeated = False

    def _escape(self) -> None:
        text, at = self.text, self.at
        if at + 1 >= len(text):
            raise self._fault("the pattern ends with a backslash")
        char = text[at + 1]
        if reference := _REFERENCE.match(text, at):
            self._atom(self._reference(reference), len(reference[0]))
        elif char == "R":
            self._atom(_LINE_BREAK, 2)
        elif char in _ANCHORS:
            (self._atom if char == "X" else self._mark)(_ANCHORS[char], 2)
        elif char in "123456789" and not _OCTAL.match(text, at):
            digits = re.compile(r"\\(\d+)").match(text, at)
            assert digits is not None
            self._atom(f"(?:{digits[0]})", len(digits[0]))
        else:
            piece, length, is_class = self._class_escape(at)
            self._atom(f"[{piece}]" if is_class else piece, length)

    def _reference(self, match: re.Match[str]) -> str:
        kind, name = match[1], match[2] or match[3] or ""
        if re.fullmatch(r"-\d+", name):
            name = str(self.captures + 1 + int(name))
        elif kind == "g" and re.fullmatch(r"\+\d+", name):
            name = str(self.captures + int(name))
        if not (name.isidentifier() or name.isdecimal()):
            raise self._fault(f"the reference {match[0]} cannot be translated")
        if kind == "g":
            return f"(?{name})" if name.isdecimal() else f"(?&{name})"
        return f"(?:\\{int(name)})" if name.isdecimal() else f"(?P={name})"

    def _class_escape(self, at: int) -> tuple[str, int, bool]:
        """An escape that means the same inside and outside of brackets: its translation, its length, and
        whether it is a set of characters that stands inside brackets."""
        text = self.text
        char = text[at + 1 : at + 2]
        lower = char.lower()
        if lower in _ASCII_CLASSES and char.isalpha():
            native = self.unicode and lower != "h"
            inner = f"\\{lower}" if native else _ASCII_CLASSES[lower]
            return (inner if char == lower else f"[^{inner}]"), 2, True
        if prop := _PROPERTY.match(text, at):
            negated = (prop[1] == "P") != bool(prop[2])
            return f"\\{'P' if negated else 'p'}{{{prop[3]}}}", len(prop[0]), True
        if codes := _CODES.match(text, at):
            numbers = [int(code, 16) for code in next(g for g in codes.groups() if g is not None).split()]
            if any(number > 0x10FFFF for number in numbers):
                raise self._fault(f"{codes[0]} is not a character")
            return "".join(regex.escape(chr(n)) for n in numbers), len(codes[0]), False
        if octal := _OCTAL.match(text, at):
            return regex.escape(chr(int(octal[1], 8))), len(octal[0]), False
        if text.startswith("\\M-", at):
            raise self._fault("\\M- cannot be translated: it is a byte, and text is matched")
        if control := _CONTROL.match(text, at):
            code = 0x7F if control[1] == "?" else ord(control[1][-1]) & 0x1F
            return regex.escape(chr(code)), len(control[0]), False
        if char in _SIMPLE:
            return _SIMPLE[char], 2, False
        return regex.escape(char, literal_spaces=False), 2, False

    def _char_class(self) -> str:
        """A bracket expression from `[` to its `]`, both included; moves past it."""
        text = self.text
        self.at += 1
        pieces = ["["]
        if text.startswith("^", self.at):
            pieces.append("^")
            self.at += 1
        first, single = True, False
        while True:
            if self.at >= len(text):
                raise self._fault("a [ is not closed")
            char = text[self.at]
            if char == "]" and not first:
                self.at += 1
                return "".join((*pieces, "]"))
            first_now, first = first, False
            if posix := _POSIX.match(text, self.at):
                if posix[2] not in _POSIX_NAMES:
                    raise self._fault(f"there is no POSIX bracket {posix[0]}")
                pieces.append(f"\\{'P' if posix[1] else 'p'}{{{posix[2]}}}")
                self.at += len(posix[0])
                single = False
            elif char == "[":
                pieces.append(self._char_class())
                single = False
            elif text.startswith("&&", self.at):
                pieces.append("&&")
                self.at += 2
                single, first = False, True
            elif char == "-":
                is_range = single and not first_now and text[self.at + 1 : self.at + 2] not in ("]", "[", "")
                pieces.append("-" if is_range else r"\-")
                self.at += 1
                single = False
            elif char == "\\":
                if self.at + 1 >= len(text):
                    raise self._fault("the pattern ends with a backslash")
                if text[self.at + 1] == "b":
                    piece, length, is_set = r"\x08", 2, False
                else:
                    piece, length, is_set = self._class_escape(self.at)
                pieces.append(piece)
                self.at += length
                single = not is_set
            else:
                pieces.append("\\" + char if char in string.punctuation else char)
                self.at += 1
                single = True

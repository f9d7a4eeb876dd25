"""Markers: random words that lead from an effect back to the request that caused it (spec/extensions.md).

`STR_MARKER` is a word, `CALC_MARKER` an arithmetic expression whose result is looked for, `DNS_MARKER` a
domain name (or a host, port and path) that leads to the node's listeners, `DELAY_MARKER` (ours, for the
oracle `time`) a number of seconds.
"""

import hashlib
import re
from urllib.parse import unquote

WORDS = ("STR_MARKER", "CALC_MARKER", "DNS_MARKER", "DELAY_MARKER")

_WORD = re.compile("|".join(WORDS))
_TEXT_LENGTH = 10
_TOKEN_LENGTH = 13
# What hands its word to the resolver, and names below the marker: neither can hold a port and a path.
_NAME_ONLY = re.compile(
    r"(?:(?<![a-z])(?:nslookup|dig|hosts?|ping)(?![a-z])[^|;&\n]{0,80}?|[A-Za-z0-9-]\.)DNS_MARKER"
)
# Letters for hexadecimal digits: "e" among digits could be read as a number, and names begin with a letter.
_LETTERS = str.maketrans("0123456789abcdef", "ghijklmnopqrstuv")
_DIGITS = str.maketrans("ghijklmnopqrstuv", "0123456789abcdef")
_BLOCK = 128
_LEAST, _MOST = 1100, 9900
# A template engine or a locale may group digits: Java's and FreeMarker's defaults do.
_GROUPINGS = (",", ".", "'", " ", "\u00a0", "\u202f", "\u2019")

_new = object.__new__


class Markers:
    """The words of one test request.

    `text` is lower-case letters. `expression` is a product of two numbers, `result` its value: 7 or 8 digits
    that are not in the expression. `domain` is what DNS_MARKER stands for; while nobody listens (`hears`
    False) a name that does not exist. Most attacks need `text` alone: the others are made when asked for.
    """

    __slots__ = ("_domain", "_product", "hears", "text")

    def __init__(self, text: str, domain: str = "", expression: str = "", result: str = "") -> None:
        self.text = text
        self.hears = bool(domain)
        self._domain = domain
        self._product: tuple[str, str] | None = (expression, result) if expression else None

    @property
    def domain(self) -> str:
        return self._domain or self.text + ".invalid"

    @property
    def expression(self) -> str:
        return self._both()[0]

    @property
    def result(self) -> str:
        return self._both()[1]

    def carries(self, template: str) -> bool:
        """Whether a payload can lead to a callback: one that hands a name to the resolver alone needs one."""
        if not self.hears or "DNS_MARKER" not in template:
            return False
        return "/" not in self.domain or "DNS_MARKER" in _NAME_ONLY.sub("", unquote(template))

    def _both(self) -> tuple[str, str]:
        product = self._product
        if product is None:
            product = self._product = _product(self.text)
        return product

    def _words(self) -> tuple[object, ...]:
        return self.text, self.domain, self.hears, *self._both()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Markers) and self._words() == other._words()

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Markers{self._words()}"

    @property
    def results(self) -> tuple[str, ...]:
        """The result as programs print it: plain first, then with grouped digits."""
        number = int(self.result)
        return (self.result, *(f"{number:,}".replace(",", sign) for sign in _GROUPINGS))

    def fill(self, template: str, delay: str = "") -> str:
        """A payload from its template. `delay` are the seconds that DELAY_MARKER stands for."""
        # No value holds a marker's word, so the order in which they are put in does not matter.
        filled = template.replace("STR_MARKER", self.text)
        if "_MARKER" in filled:
            filled = filled.replace("DNS_MARKER", self.domain).replace("DELAY_MARKER", delay)
            if "CALC_MARKER" in filled:
                filled = filled.replace("CALC_MARKER", self.expression)
        return filled

    def fill_pattern(self, template: str) -> str:
        """A detect pattern from its template: what is looked for in place of each marker, escaped."""
        if "_MARKER" not in template:
            return template
        values = {
            "STR_MARKER": re.escape(self.text),
            "CALC_MARKER": "(?:" + "|".join(re.escape(each) for each in self.results) + ")",
            "DNS_MARKER": re.escape(self.domain),
            "DELAY_MARKER": "(?!)",
        }
        return _WORD.sub(lambda match: values[match[0]], template)


class MarkerSource:
    """Markers in an order that the seed alone decides.

    `callback` is what DNS_MARKER stands for, with `*` for the token; empty while nobody listens.
    Digits are taken from hashes: a generator of the library costs more to seed than all that a point needs.
    """

    __slots__ = ("_at", "_blocks", "_callback", "_letters", "_seed")

    def __init__(self, seed: int, callback: str = "") -> None:
        self._seed = seed
        self._callback = callback
        self._blocks = 0
        self._letters = ""
        self._at = _BLOCK

    def fresh(self) -> Markers:
        """Markers that were not given before."""
        at = self._at
        self._at = end = at + _TEXT_LENGTH
        text = self._letters[at:end] if end <= _BLOCK else self._word(_TEXT_LENGTH)
        if self._callback:
            return Markers(text, self._callback.replace("*", self._word(_TOKEN_LENGTH)))
        markers = _new(Markers)  # as its __init__ does it, in half the time
        markers.text = text
        markers.hears = False
        markers._domain = ""
        markers._product = None
        return markers

    def place(self, length: int) -> int:
        """A position in a value of this length, for the method `random`."""
        return self._number() % (length + 1)

    def digits(self, length: int) -> str:
        """A number of so many digits that does not begin with 0."""
        rest = "".join(str(self._number() % 10) for _ in range(length - 1))
        return str(1 + self._number() % 9) + rest

    def _word(self, length: int) -> str:
        """So many letters, other ones each time."""
        at = self._at
        if at + length > _BLOCK:
            at = 0
            self._letters = _block(f"{self._seed} {self._blocks}").translate(_LETTERS)
            self._blocks += 1
        self._at = at + length
        return self._letters[at : self._at]

    def _number(self) -> int:
        return int(self._word(_TOKEN_LENGTH).translate(_DIGITS), 16)


def _block(text: str) -> str:
    """Hexadecimal digits, as many as `_BLOCK` says."""
    return hashlib.blake2b(text.encode()).hexdigest()


def _product(text: str) -> tuple[str, str]:
    """Two numbers of four digits as a product, and what that is; the same for the same text."""
    while True:
        digits = text = _block(text)
        left, right = (_LEAST + int(digits[at : at + 16], 16) % (_MOST - _LEAST + 1) for at in (0, 16))
        expression, result = f"{left}*{right}", str(left * right)
        # One that ends in zeros could be shown as 1e7; one that the expression holds proves nothing.
        if len(result) >= 7 and result[-2:] != "00" and result not in expression:
            return expression, result

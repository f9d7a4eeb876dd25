"""Markers: random words that lead from an effect back to the request that caused it (spec/extensions.md).

`STR_MARKER` is a word, `CALC_MARKER` an arithmetic expression whose result is looked for, `DNS_MARKER` a
domain name (or a host, port and path) that leads to the node's listeners, `DELAY_MARKER` (ours, for the
oracle `time`) a number of seconds.
"""

import random
import re
import string
from dataclasses import dataclass
from urllib.parse import unquote

WORDS = ("STR_MARKER", "CALC_MARKER", "DNS_MARKER", "DELAY_MARKER")

_WORD = re.compile("|".join(WORDS))
_TEXT_LENGTH = 10
_TOKEN_LENGTH = 13
# What hands its word to the resolver, and names below the marker: neither can hold a port and a path.
_NAME_ONLY = re.compile(
    r"(?:(?<![a-z])(?:nslookup|dig|hosts?|ping)(?![a-z])[^|;&\n]{0,80}?|[A-Za-z0-9-]\.)DNS_MARKER"
)
_ALPHABET = string.ascii_lowercase + string.digits
_PAIRS = [one + two for one in _ALPHABET for two in _ALPHABET]
_STARTS = [one + two for one in string.ascii_lowercase for two in _ALPHABET]
# A template engine or a locale may group digits: Java's and FreeMarker's defaults do.
_GROUPINGS = (",", ".", "'", " ", "\u00a0", "\u202f", "\u2019")


@dataclass(frozen=True, kw_only=True, slots=True)
class Markers:
    """The words of one test request.

    `text` is lower-case letters and digits and begins with a letter. `expression` is a product of two
    numbers, `result` its value: 7 or 8 digits that are not in the expression. `domain` is what DNS_MARKER
    stands for; while nobody listens (`hears` False) a name that does not exist.
    """

    text: str
    expression: str
    result: str
    domain: str
    hears: bool = True

    def carries(self, template: str) -> bool:
        """Whether a payload can lead to a callback: one that hands a name to the resolver alone needs one."""
        if not self.hears or "DNS_MARKER" not in template:
            return False
        return "/" not in self.domain or "DNS_MARKER" in _NAME_ONLY.sub("", unquote(template))

    @property
    def results(self) -> tuple[str, ...]:
        """The result as programs print it: plain first, then with grouped digits."""
        number = int(self.result)
        return (self.result, *(f"{number:,}".replace(",", sign) for sign in _GROUPINGS))

    def fill(self, template: str, *, delay: str = "") -> str:
        """A payload from its template. `delay` are the seconds that DELAY_MARKER stands for."""
        if "_MARKER" not in template:
            return template
        # No value holds a marker's word, so the order in which they are put in does not matter.
        filled = template.replace("STR_MARKER", self.text)
        if "_MARKER" in filled:
            filled = filled.replace("CALC_MARKER", self.expression).replace("DNS_MARKER", self.domain)
            filled = filled.replace("DELAY_MARKER", delay)
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
    """

    def __init__(self, seed: int, callback: str = "") -> None:
        self._random = random.Random(seed)
        self._callback = callback

    def fresh(self) -> Markers:
        """Markers that were not given before."""
        draw = self._random.getrandbits
        token = _word(draw(96), _TOKEN_LENGTH + 1)[:_TOKEN_LENGTH] if self._callback else ""
        text = _word(draw(64), _TEXT_LENGTH)
        domain = self._callback.replace("*", token) or f"{text}.invalid"
        while True:
            bits = draw(64)
            left, right = 1100 + bits % 8801, 1100 + (bits >> 32) % 8801
            expression, result = f"{left}*{right}", str(left * right)
            # One that ends in zeros could be shown as 1e7; one that the expression holds proves nothing.
            if len(result) >= 7 and result[-2:] != "00" and result not in expression:
                return Markers(
                    text=text, expression=expression, result=result, domain=domain, hears=bool(token)
                )

    def place(self, length: int) -> int:
        """A position in a value of this length, for the method `random`."""
        return self._random.randint(0, length)

    def digits(self, length: int) -> str:
        """A number of so many digits that does not begin with 0."""
        first = self._random.choice("123456789")
        return first + "".join(self._random.choices(string.digits, k=length - 1))


def _word(number: int, length: int) -> str:
    """A word of an even length, made of a random number of more than five bits a character."""
    pairs = [_STARTS[number % len(_STARTS)]]
    number //= len(_STARTS)
    for _ in range(length // 2 - 1):
        pairs.append(_PAIRS[number % len(_PAIRS)])
        number //= len(_PAIRS)
    return "".join(pairs)

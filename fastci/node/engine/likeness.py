"""How alike two answers are: the pieces that a response can be told by, and which of them stay."""

import html
import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import repeat
from urllib.parse import quote, quote_plus

from fastci.node.engine.coding import decoded_body
from fastci.node.engine.control import asks_password, is_login
from fastci.node.message import Response

Feature = tuple[bytes, int]

_PIECE = re.compile(rb"<?[^<>\n,{}\[\]\"]+")
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
_PLAIN_RUN = re.compile(r"[A-Za-z0-9]+")
_SIGN = re.compile(rb"\W")
_LARGEST = 256 << 10
_REFUSING = frozenset({401, 403, 407, 419, 440})
_ALIKE = 0.95
_UNLIKE = 0.7
_TELLING = 3
_MARKUP = (b"<", b"/", b":", b"status", b"location ")


def features_of(response: Response, reflected: Iterable[str] = ()) -> frozenset[Feature]:
    """What a response can be told by: status, redirect, and the pieces of its body with their counts.

    `reflected` are texts that were sent. Pieces that hold one of them, in any of the usual spellings, are
    left out, and so is what would be left of them: how much that is depends on the escaping of one character.
    """
    whole = stripped = decoded_body(response)[:_LARGEST]
    for text in _maybe_in(whole, reflected):
        for spelling in spellings(text):
            stripped = stripped.replace(spelling, b"")
    location = b"" if response.status == 200 else (response.get(b"location") or b"").partition(b"?")[0]
    found = _features_of(whole, response.status, location)
    return found if stripped is whole else found & _features_of(stripped, response.status, location)


@lru_cache(maxsize=16)
def _features_of(body: bytes, status: int, location: bytes) -> frozenset[Feature]:
    pieces = list(map(bytes.strip, _PIECE.findall(body)))
    different = set(pieces)
    counts = zip(pieces, repeat(1)) if len(different) == len(pieces) else Counter(pieces).items()
    features = {*counts, (b"status", -status), (b"location " + location, -1)}
    return frozenset(feature for feature in features if feature[0])


def _maybe_in(body: bytes, texts: Iterable[str]) -> list[str]:
    """The texts that may stand in a body in some spelling, the longest first.

    Letters and digits are the same in every spelling: without those of a text, what holds it is not there.
    """
    absent: list[str] = []
    found = []
    for text in sorted(texts, key=len):
        if any(other in text for other in absent):
            continue
        if _core_of(text) in body:
            found.append(text)
        else:
            absent.append(text)
    return found[::-1]


@lru_cache(maxsize=256)
def _core_of(text: str) -> bytes:
    """Its longest run of letters and digits."""
    return max(_PLAIN_RUN.findall(text), key=len, default="").encode()


def spellings(text: str) -> list[bytes]:
    """A text as pages, scripts and addresses write it, the longest first."""
    if _PLAIN.fullmatch(text):
        return [text.encode()]
    found = (
        text,
        html.escape(text),
        html.escape(text, quote=False),
        html.escape(text).replace("&#x27;", "&#39;"),
        html.escape(text).replace("&#x27;", "&#039;"),
        json.dumps(text)[1:-1],
        quote(text),
        quote_plus(text),
    )
    return sorted({s.encode() for s in found if s}, key=len, reverse=True)


def pieces_among(features: Iterable[Feature], reflected: Iterable[str]) -> set[Feature]:
    """Those that only repeat a part of what was sent, as pages do that break long words.

    Words of it are no parts: a page may well say them of its own.
    """
    written = [spelling for text in reflected for spelling in spellings(text)]
    return {f for f in features if _SIGN.search(f[0]) and any(f[0] in spelling for spelling in written)}


class Likeness:
    """Compares answers with one that was given to somebody who may have it.

    `answers` are two or more answers to the same request: what differs among them says nothing.
    """

    def __init__(self, *answers: Response) -> None:
        self._first = answers[0]
        kept = frozenset[Feature].intersection(*(features_of(answer) for answer in answers))
        self._stays = kept

    @property
    def tells(self) -> bool:
        """Whether the answer holds enough to be told from others: more than its status and a word or two."""
        if not 200 <= self._first.status < 300:
            return False
        return sum(1 for piece, _ in self._stays if not piece.startswith(_MARKUP)) >= _TELLING

    def same(self, other: Response) -> bool:
        """Whether the other answer gives just that."""
        return other.status == self._first.status and self._share(other) >= _ALIKE

    def refused(self, other: Response) -> bool:
        """Whether the other answer keeps it back: by its status, a login page, or quite another content."""
        if not other.status or other.status in (429, 502, 503, 504):
            return False
        if other.status in _REFUSING or other.status // 100 != self._first.status // 100:
            return True
        if is_login(other.get(b"location") or b"") and not is_login(self._first.get(b"location") or b""):
            return True
        if asks_password(other.body) and not asks_password(self._first.body):
            return True
        return self._share(other) < _UNLIKE

    def _share(self, other: Response) -> float:
        return len(self._stays & features_of(other)) / len(self._stays) if self._stays else 0.0

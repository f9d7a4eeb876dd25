"""How alike two answers are: the pieces that a response can be told by, and which of them stay."""

import html
import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

from fastci.node.engine.coding import decoded_body
from fastci.node.engine.control import asks_password, is_login
from fastci.node.message import Response

Feature = tuple[bytes, int]

_PIECE = re.compile(rb"<?[^<>\n,{}\[\]\"]+")
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")
_PLAIN_RUN = re.compile(r"[A-Za-z0-9]+")
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
    for text in sorted(reflected, key=len, reverse=True):
        # Letters and digits are the same in every spelling: where they are not, no spelling is.
        core = max(_PLAIN_RUN.findall(text), key=len, default="").encode()
        for spelling in spellings(text) if core in whole else ():
            stripped = stripped.replace(spelling, b"")
    pieces = _pieces_of(whole)
    if stripped != whole:
        pieces &= _pieces_of(stripped)
    location = (response.get(b"location") or b"").partition(b"?")[0]
    return pieces | {(b"status", -response.status), (b"location " + location, -1)}


@lru_cache(maxsize=16)
def _pieces_of(body: bytes) -> frozenset[Feature]:
    pieces = Counter(map(bytes.strip, _PIECE.findall(body)))
    del pieces[b""]
    return frozenset(pieces.items())


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

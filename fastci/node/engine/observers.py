"""Stored effects: pages of the record that show later what a request sent before.

A value sent by a changing baseline that appears afterwards in a recorded page, and did not stand there
before, makes that page an observer of the point: after an attack at the point the page is read again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape

from fastci.node.engine.coding import decoded_body
from fastci.node.engine.plan import Item, Phase, Skipped, route_of
from fastci.node.engine.scope import Scope
from fastci.node.points import Point
from fastci.node.store import Baseline

MOST_PER_POINT = 2
"""Observer pages of a point at most: each costs one request an attack."""

_SHORTEST = 4
_WORD = re.compile(r"[^\W_]{4,}")
_LARGEST_PAGE = 256 << 10
_MOST_ROUTES = 200
_MOST_VALUES = 5_000


@dataclass(kw_only=True, slots=True)
class _Sent:
    """A value some item sent at a point; `known` are the routes whose page showed its key word before."""

    item: Item
    point: str
    text: str
    known: frozenset[str]


class Observers:
    """Fed with the record in its order; fills in `Item.observers`."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._sent: dict[str, list[_Sent]] = {}
        self._count = 0
        self._words: dict[str, frozenset[str]] = {}

    def note(self, baseline: Baseline, verdict: Item | Skipped, points: Sequence[Point]) -> None:
        """Take the next baseline; `points` are those that may be attacked, empty where it is not tested."""
        if isinstance(verdict, Item) and verdict.phase is Phase.CHANGE:
            self._note_values(verdict, points)
        elif baseline.request.method == b"GET" and baseline.response.status == 200:
            self._note_page(baseline)

    def _note_values(self, item: Item, points: Sequence[Point]) -> None:
        for point in points:
            text = point.value.decode("utf-8", "replace").strip()
            words = _WORD.findall(text)
            if len(text) < _SHORTEST or not words or point.kind not in ("text", "number"):
                continue
            if self._count >= _MOST_VALUES:
                return
            self._count += 1
            key = max(words, key=len).lower()
            known = frozenset(route for route, page in self._words.items() if key in page)
            sent = _Sent(item=item, point=point.name, text=text, known=known)
            self._sent.setdefault(key, []).append(sent)

    def _note_page(self, baseline: Baseline) -> None:
        page = decoded_body(baseline.response)[:_LARGEST_PAGE].decode("utf-8", "replace")
        words = frozenset(word.lower() for word in _WORD.findall(page))
        route = route_of(baseline.request)
        shown = ""
        for key in sorted(words & self._sent.keys()):
            shown = shown or page + "\n" + unescape(page)
            for sent in self._sent[key]:
                if route not in sent.known and sent.text in shown:
                    self._add(sent, baseline)
        if route in self._words or len(self._words) < _MOST_ROUTES:
            self._words[route] = words

    def _add(self, sent: _Sent, baseline: Baseline) -> None:
        if self._scope.target(baseline.origin).origin != sent.item.target.origin:
            return
        pages = sent.item.observers.setdefault(sent.point, [])
        request = self._scope.request(baseline)
        if len(pages) < MOST_PER_POINT and all(page.target != request.target for page in pages):
            pages.append(request)

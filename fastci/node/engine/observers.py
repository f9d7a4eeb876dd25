"""Stored effects: pages of the record that show later what a request sent before.

A value sent by a changing baseline that appears afterwards in a recorded page, and did not stand there
before, makes that page an observer of the point: after an attack at the point the page is read again, or
after several where it shows them all.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from html import unescape

from fastci.node.dsl import Attack
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.confirm import Answer, Probe
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

_TOGETHER = 2
"""Attacks after which a page is read that has shown two words together: it may show no more than those."""


class Reading(Enum):
    """When the observers of a point are read, by how they show words that are sent there."""

    EACH = "after each attack, as a page may show the newest value only"
    TOGETHER = "after two attacks, as the pages show two words together"
    EFFECTS = "after all attacks of an extension that were not refused, as no page shows any word"


class Unread:
    """Attacks of one extension at one point after which the observers were not read yet.

    Markers are another attack's each: whichever of several has an effect, the page tells which it was.
    """

    def __init__(self, probe: Probe, reading: Reading) -> None:
        self._probe = probe
        self.reading = reading
        self._attacks: list[tuple[Attack, Answer]] = []

    def add(self, attack: Attack, answer: Answer, *, refused: bool) -> None:
        """Take an attack that has shown nothing so far, and whether what it sent was not taken."""
        if answer.unread and not (refused and self.reading is Reading.EFFECTS):
            self._attacks.append((attack, answer))

    def __bool__(self) -> bool:
        return bool(self._attacks)

    @property
    def is_due(self) -> bool:
        """Whether another attack could drive what these have left from a page."""
        return self.reading is Reading.TOGETHER and len(self._attacks) >= _TOGETHER

    async def read(self) -> AsyncIterator[tuple[Attack, Answer]]:
        """Read the pages: the attacks of which they show something."""
        attacks, self._attacks = self._attacks, []
        pages = {page.target: page for _, answer in attacks for page in answer.unread}
        for page in pages.values():
            reply = await self._probe.channel.send(page)
            for attack, answer in attacks:
                if seen := self._probe.seen_on(page, reply, attack, answer.direct):
                    yield attack, seen


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

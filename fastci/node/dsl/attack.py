"""A test request and what a detect says about its answer: values that the phases hand to each other."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from fastci.node.dsl.markers import Markers
from fastci.node.message import Request, maker, quick

EXCERPT = 300
"""Characters of an excerpt at most."""

_CONTEXT = 80


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Attack:
    """One test request. `payload` is what was written, `template` the same with the marker words.

    `method` is how the payload was put into the value ("" for a fixed request), `point` the full name of the
    point ("" for a fixed request). `recipe` is the function that made it, with its arguments but the markers,
    which come last.
    """

    request: Request
    payload: str
    template: str
    method: str
    point: str
    markers: Markers
    recipe: tuple[Any, ...] = field(repr=False, compare=False)


make_attack = maker(Attack)


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Why an answer shows the flaw: one line for a person, and up to 300 characters around the hit.

    `called_back`: it is not the answer that shows it, but who came to the node's listeners.
    """

    what: str
    excerpt: str
    called_back: bool = False


class Callbacks(Protocol):
    """What the node's listeners have received."""

    def kinds(self, domain: str) -> frozenset[str]:
        """How this DNS_MARKER was called back: dns, http, ldap."""
        ...

    def told(self, domain: str) -> str:
        """Who came and what for, on one line."""
        ...


class NoCallbacks:
    """Nothing was called back, or nothing listens."""

    def kinds(self, domain: str) -> frozenset[str]:
        return frozenset()

    def told(self, domain: str) -> str:
        return ""


def excerpt_of(text: str, start: int, end: int) -> str:
    """The hit with what stands around it, on one line."""
    room = min(_CONTEXT, (EXCERPT - 2 - min(end - start, EXCERPT)) // 2)
    begin = max(0, start - max(room, 0))
    finish = min(len(text), begin + EXCERPT - 2, end + _CONTEXT)
    cut = text[begin:finish]
    line = "".join(c if c.isprintable() else " " for c in cut)
    return ("…" if begin else "") + " ".join(line.split()) + ("…" if finish < len(text) else "")

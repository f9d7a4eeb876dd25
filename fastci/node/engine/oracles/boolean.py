"""Oracle `boolean`: a true and a false condition at the same place give answers that differ reliably.

What differs must be in every answer of one kind and in no answer of the other, over several pairs with fresh
numbers in changing order: parts of a page that vary by themselves cannot do that and need not be known.
"""

import re

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.dsl.extension import inserted
from fastci.node.engine.confirm import Probe
from fastci.node.engine.likeness import Feature, features_of, pieces_among
from fastci.node.engine.sender import Reply
from fastci.node.points import Point

_OPERATOR = re.compile(r"\$[a-z]+")
_SIGN = re.compile(r"\W")
_SAYS_NOTHING = frozenset({0, 429, 502, 503, 504})
_ORDER = (False, True, False, True, True, False, False, True)
"""How often each condition is asked, and in which order: the first answer that does not differ ends it.

Twice as often where answers of one kind vary among themselves: there a difference may be chance.
"""


class Contrast:
    """Collects answers to true and false conditions; `signs` is what still tells them apart."""

    def __init__(self) -> None:
        self._always: dict[bool, frozenset[Feature] | None] = {True: None, False: None}
        self._ever: dict[bool, frozenset[Feature]] = {True: frozenset(), False: frozenset()}

    def add(self, truth: bool, features: frozenset[Feature]) -> None:
        known = self._always[truth]
        self._always[truth] = features if known is None else known & features
        self._ever[truth] |= features

    def signs(self) -> dict[bool, frozenset[Feature]]:
        """By kind: the features that all its answers have and no answer of the other kind."""
        return {
            truth: (self._always[truth] or frozenset()) - self._ever[not truth] for truth in (True, False)
        }

    def varies(self) -> bool:
        """Whether answers of one kind differ among themselves."""
        return any(self._always[truth] != self._ever[truth] for truth in (True, False))

    def tells(self) -> bool:
        return any(self.signs().values())


def describe(signs: dict[bool, frozenset[Feature]]) -> str:
    """For a person: what only true, and what only false conditions show."""
    parts = []
    for truth, features in signs.items():
        if not features:
            continue
        shown = sorted(features, key=lambda f: (f[1] >= 0, f[0][:1] == b"<", -len(f[0]), f[0]))[:2]
        words = [
            f"status {-n}" if name == b"status" else repr(name[:60].decode("utf-8", "replace"))
            for name, n in shown
        ]
        parts.append(f"only {'true' if truth else 'false'} conditions give {', '.join(words)}")
    return "; ".join(parts)


async def decide_boolean(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Try the extension's pairs in turn; the evidence of the first that tells true from false reliably."""
    options = probe.extension.oracle_options
    if probe.point is None or not probe.control.response.status or (options["or"] and not probe.reads):
        return None
    for pair in options["pairs"]:
        trial = _Trial(probe, probe.point, {True: pair[0], False: pair[1]}, attack.method)
        evidence = await trial.decide()
        if evidence is not None:
            return evidence
    return None


class _Unclear(Exception):
    """An answer that says nothing: none at all, or a target that is busy."""


class _Trial:
    """One pair of payloads at one point. The answer to the unmodified request counts as a true one."""

    def __init__(self, probe: Probe, point: Point, templates: dict[bool, str], method: str) -> None:
        self._probe = probe
        self._point = point
        self._templates = templates
        self._method = method or probe.extension.methods[0]
        self._contrast = Contrast()
        self._known = features_of(probe.control.response)
        self._contrast.add(True, self._known)
        self._asked: dict[bool, list[tuple[Attack, Reply]]] = {True: [], False: []}

    async def decide(self) -> results.Evidence | None:
        try:
            for number, truth in enumerate(_ORDER * 2):
                if number == len(_ORDER) and not self._contrast.varies():
                    break
                crafted, reply, features = await self._ask(self._templates[truth])
                self._asked[truth].append((crafted, reply))
                self._contrast.add(truth, features)
                if not self._contrast.tells():
                    return None
            if await self._inert_words_tell():
                return None
        except _Unclear:
            return None
        return self._evidence()

    async def _ask(self, template: str) -> tuple[Attack, Reply, frozenset[Feature]]:
        markers = self._probe.markers
        crafted = self._probe.extension.craft(self._point, template, self._method, markers.fresh(), markers)
        reply = await self._probe.channel.send(crafted.request)
        if reply.response.status in _SAYS_NOTHING:
            raise _Unclear
        value = inserted(self._point.value, crafted.payload, self._method)
        reflected = (crafted.payload, value.decode("utf-8", "replace"), *_OPERATOR.findall(template))
        features = features_of(reply.response, reflected)
        return crafted, reply, features - pieces_among(features - self._known, reflected)

    async def _inert_words_tell(self) -> bool:
        """Whether the words tell, too, without the signs that make them conditions: a search minds words."""
        features = {}
        for truth in (False, True):
            _, _, features[truth] = await self._ask(_SIGN.sub(" ", self._templates[truth]))
        signs = self._contrast.signs()
        return any((signs[truth] & features[truth]) - features[not truth] for truth in (True, False))

    def _evidence(self) -> results.Evidence:
        (attack, reply), (_, repeated), *_ = self._asked[False]
        true, control = self._asked[True][0]
        return results.Evidence(
            payload=attack.payload,
            matched=describe(self._contrast.signs()),
            attack=reply.exchange(),
            confirmation=repeated.exchange(),
            control=control.exchange(),
            notes=[f"the control is the same condition made true: {true.payload}"],
        )

"""Callbacks of a run: which test request each belongs to, whose doing it was, and what still waits for one.

A request that may be called back stays known until the run ends. What comes while its baseline is tested is
confirmed there; what comes later, between the steps of the run and at its end.
"""

import asyncio
import ipaddress
import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from fastci.node.dsl import Attack, Extension
from fastci.node.engine.check import Check, Found
from fastci.node.message import Origin
from fastci.node.oob import Callback, Log, Offer, Spelling

MOST_WAITING = 100_000
"""Test requests of a run that are remembered; of more the oldest are forgotten, which is said."""

_SHORTEST_PATIENCE = 2.0
_LONGEST_PATIENCE = 15.0


@dataclass(kw_only=True, slots=True)
class Waiting:
    """One test request that may be called back: the `number`-th of its extension at its point.

    `sent` and `ended` are moments of the monotonic clock: before it went out, after its answer came.
    `judged`: a callback of it was looked into, whatever came of that.
    """

    check: Check
    extension: Extension
    point: str
    number: int
    peer: str
    domain: str
    sent: float
    ended: float = math.inf
    judged: bool = False


@dataclass(frozen=True, kw_only=True)
class Undecided:
    """A flaw whose callbacks come by their own time (`delayed_oob`): decided when the run ends.

    It is dropped when `control`, a request that only names the address, was called back. `again` is the
    DNS_MARKER of the repetition.
    """

    check: Check
    found: Found
    again: str
    control: str


@dataclass
class Hearing:
    """What the callbacks of a run mean. One a process; `say` takes console lines."""

    offer: Offer
    log: Log
    say: Callable[[str], None]
    undecided: list[Undecided] = field(default_factory=list)
    last: float = 0.0
    _waiting: dict[str, Waiting] = field(default_factory=dict)
    _places: dict[Origin, tuple[Spelling, str]] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    async def place(self, origin: Origin) -> tuple[Spelling, str]:
        """How a target is to call back, and its own address; found once, as its connections are made."""
        if origin not in self._places:
            local, peer = await _addresses(origin)
            if local or self.offer.domain:
                spelling = self.offer.spelling(local, peer)
            else:
                spelling = Spelling(reason=f"oob: not possible because {origin.host} has no address")
            self._places.setdefault(origin, (spelling, peer))
            if spelling.reason != self.offer.reason:
                self._tell(f"[info] {spelling.reason}")
        return self._places[origin]

    def known(self, origin: Origin) -> Spelling:
        """What `place` has found for a target, empty before it was asked."""
        return self._places[origin][0] if origin in self._places else Spelling()

    def expect(self, waiting: Waiting) -> None:
        """A test request goes out."""
        self.last = waiting.sent
        for token in self.log.tokens(waiting.domain)[:1]:
            self._waiting[token] = waiting
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
            self._tell(f"[warn] oob: only the last {MOST_WAITING} test requests can still be called back")

    def callbacks(self, domain: str) -> list[Callback]:
        """The callbacks of this DNS_MARKER that its target made, the first one first."""
        found = []
        for token in self.log.tokens(domain)[:1]:
            waiting = self._waiting.get(token)
            for callback in self.log.of(token) if waiting else ():
                assert waiting is not None
                meanwhile = callback.moment <= waiting.ended
                if callback.kind == "dns" or self.offer.counts(
                    callback.source, waiting.peer, meanwhile=meanwhile
                ):
                    found.append(callback)
                else:
                    self._tell(
                        f"[info] oob: a visit from {callback.source} does not count, the target is "
                        f"{waiting.peer}: name it in FAST_OOB_SOURCES if it belongs to the target"
                    )
        return found

    def kinds(self, domain: str) -> frozenset[str]:
        return frozenset(callback.kind for callback in self.callbacks(domain))

    def told(self, domain: str) -> str:
        lines = [f"{c.kind.upper()} {c.what}" + (f" from {c.source}" if c.source else "")
                 for c in self.callbacks(domain)]  # fmt: skip
        return "; ".join(dict.fromkeys(lines))[:300]

    async def wait(self, holds: Callable[[], bool], seconds: float) -> bool:
        return await self.log.wait(holds, seconds)

    def patience(self, domain: str) -> float:
        """Seconds within which another request of the same kind should be called back."""
        return min(max(_SHORTEST_PATIENCE, 2 * self.delay(domain) + 1), _LONGEST_PATIENCE)

    def delay(self, domain: str) -> float:
        """Seconds from a request to its first callback."""
        waiting = next((self._waiting.get(token) for token in self.log.tokens(domain)[:1]), None)
        first = self.callbacks(domain)[:1]
        return first[0].moment - waiting.sent if first and waiting else 0.0

    def judge(self, domain: str) -> None:
        """A callback of this DNS_MARKER is being looked into."""
        for token in self.log.tokens(domain)[:1]:
            if token in self._waiting:
                self._waiting[token].judged = True

    def heard(self, check: Check | None = None) -> Iterator[Waiting]:
        """The requests (of one baseline) that were called back and not looked into yet."""
        for token in self.log.heard():
            waiting = self._waiting.get(token)
            if waiting and not waiting.judged and check in (None, waiting.check):
                yield waiting

    async def linger(self, seconds: float) -> None:
        """Listen on until so many seconds have passed since the last request that may be called back."""
        left = self.last + seconds - time.monotonic() if self._waiting else 0
        if left > 0:
            await asyncio.sleep(left)

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.say(line)


@dataclass(frozen=True, kw_only=True)
class Ear:
    """The hearing of one extension at one point: what a probe asks. Is `dsl.Callbacks`."""

    hearing: Hearing
    check: Check
    extension: Extension
    point: str
    peer: str
    spelling: Spelling

    def expect(self, attack: Attack, number: int, *, is_control: bool = False) -> Waiting:
        """Note a request that goes out; `ended` is to be set when its answer came.

        A control is listened for but makes no candidate.
        """
        waiting = Waiting(
            check=self.check, extension=self.extension, point=self.point, number=number, peer=self.peer,
            domain=attack.markers.domain, sent=time.monotonic(), judged=is_control,
        )  # fmt: skip
        self.hearing.expect(waiting)
        return waiting

    def kinds(self, domain: str) -> frozenset[str]:
        return self.hearing.kinds(domain)

    def told(self, domain: str) -> str:
        return self.hearing.told(domain)


async def _addresses(origin: Origin) -> tuple[str, str]:
    """The own address from which an origin is reached, and its address; empty where it has none."""
    loop = asyncio.get_running_loop()
    with suppress(OSError, UnicodeError, ValueError):
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        for family, _, _, _, address in found:
            with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(address)
                peer, local = str(address[0]), str(probe.getsockname()[0])
                ipaddress.ip_address(peer.partition("%")[0])
                return local, peer
    return "", ""

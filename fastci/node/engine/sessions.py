"""Session upkeep: cookies and tokens that the target gave out while recording and that are dead by now.

When a control shows that a session is lost, the exchanges that gave its values out are replayed in their
order, login requests included, and the new values stand in for the recorded ones from then on. Tokens that
serve once only are fetched anew before each request that carries them. Nothing else of a request changes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote_plus

from fastci.node.engine.coding import decoded_body
from fastci.node.engine.provenance import Provenance
from fastci.node.engine.scope import Scope
from fastci.node.message import Origin, Request, Response
from fastci.node.store import Baseline

Send = Callable[[Request], Awaitable[Response]]
"""Sends a request that is already refreshed and gives the answer."""

_DEEPEST = 5
_MOST_FAILURES = 3


class Sessions:
    """One per run; values of different origins are kept apart. Requests are given to it as recorded."""

    def __init__(self, scope: Scope) -> None:
        self._provenance = Provenance(scope)
        self._fresh: dict[Origin, dict[bytes, bytes]] = {}
        self._failures: dict[tuple[Origin, frozenset[bytes]], int] = {}
        self._lock = asyncio.Lock()

    def note(self, baseline: Baseline) -> None:
        """Take the next recorded exchange."""
        self._provenance.note(baseline)

    @property
    def renewed(self) -> bool:
        """Whether there is anything new to put into requests."""
        return bool(self._fresh)

    def refresh(self, origin: Origin, request: Request) -> Request:
        """The request with the newest values in place of recorded ones."""
        for old, new in self._fresh.get(origin, {}).items():
            request = _replaced(request, old, new)
            if (quoted := quote_plus(old).encode()) != old:
                request = _replaced(request, quoted, quote_plus(new).encode())
        return request

    async def renew(self, origin: Origin, request: Request, send: Send) -> bool:
        """Replay what gave out the values that `request` carries; False when there is nothing to replay."""
        values = self._provenance.values_of(origin, request)
        if not values or self._failures.get((origin, values), 0) >= _MOST_FAILURES:
            return False
        before = dict(self._fresh.get(origin, {}))
        async with self._lock:
            if self._fresh.get(origin, {}) != before:
                return True
            renewal = _Renewal(self, self._provenance, origin, send)
            for value in sorted(values):
                await renewal.replay_source(value, _DEEPEST)
            for sequence in self._provenance.logins_with(origin, values):
                await renewal.replay(sequence)
            return bool(renewal.done)

    def failed(self, origin: Origin, request: Request) -> None:
        """The renewed values did not bring the session back: after a few times it is not tried again."""
        key = (origin, self._provenance.values_of(origin, request))
        self._failures[key] = self._failures.get(key, 0) + 1

    def has_tokens(self, origin: Origin, request: Request) -> bool:
        """Whether the request carries tokens that a page gave out."""
        return bool(self._provenance.tokens_of(origin, request))

    async def renew_tokens(self, origin: Origin, request: Request, send: Send) -> None:
        """Read the pages again that gave out the tokens of `request`, whatever the session is."""
        renewal = _Renewal(self, self._provenance, origin, send)
        tokens = self._provenance.tokens_of(origin, request)
        for sequence in sorted({self._provenance.source(origin, token).sequence for token in tokens}):
            await renewal.replay(sequence)

    def learn(self, origin: Origin, sequence: int, response: Response) -> set[bytes]:
        """Take new values from an answer to the exchange that gave these out; gives the recorded values."""
        body, learned = decoded_body(response), set()
        fresh = self._fresh.setdefault(origin, {})
        for value, source in self._provenance.given(sequence):
            if new := source.new_value(response, body):
                fresh[value] = new
                learned.add(value)
        return learned


class _Renewal:
    """One pass of replaying at one origin; every exchange goes out at most once.

    `done` are the exchanges replayed, `learned` the recorded values that have new ones now.
    """

    def __init__(self, sessions: Sessions, provenance: Provenance, origin: Origin, send: Send) -> None:
        self._sessions = sessions
        self._provenance = provenance
        self._origin = origin
        self._send = send
        self.done: set[int] = set()
        self.learned: set[bytes] = set()

    async def replay_source(self, value: bytes, depth: int) -> None:
        """Replay what gave `value` out, before that what gave out the values it needs."""
        sequence = self._provenance.source(self._origin, value).sequence
        if sequence in self.done or not depth:
            return
        for candidate in (sequence, *self._provenance.same_logins(self._origin, sequence)):
            self.done.add(candidate)
            for older in self._needs(candidate):
                await self.replay_source(older, depth - 1)
            await self._send_again(candidate, values_of=sequence)
            if value in self.learned:
                return

    async def replay(self, sequence: int) -> None:
        """Replay one exchange as it is, if it did not go out yet."""
        if sequence not in self.done:
            self.done.add(sequence)
            await self._send_again(sequence, values_of=sequence)

    def _needs(self, sequence: int) -> list[bytes]:
        """The values that an exchange needed and earlier ones gave out."""
        values = self._provenance.values_of(self._origin, self._provenance.request(sequence))
        return sorted(v for v in values if self._provenance.source(self._origin, v).sequence < sequence)

    async def _send_again(self, sequence: int, *, values_of: int) -> None:
        request = self._sessions.refresh(self._origin, self._provenance.request(sequence))
        response = await self._send(request)
        self.learned |= self._sessions.learn(self._origin, values_of, response)


def _replaced(request: Request, old: bytes, new: bytes) -> Request:
    if old in request.target:
        request = request.with_target(request.target.replace(old, new))
    for index, field in enumerate(request.fields):
        if old in field.value:
            request = request.with_field(index, field.value.replace(old, new))
    return request.with_body(request.body.replace(old, new)) if old in request.body else request

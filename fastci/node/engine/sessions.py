"""Session upkeep: cookies and tokens that the target gave out while recording and that are dead by now.

When a control shows that a session is lost, the login command is run again, if there is one, or else the
exchanges that gave its values out are replayed in their order, login requests included; the new values stand
in for those of before from then on. Tokens that
serve once only are fetched anew before each request that carries them. Nothing else of a request changes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote_plus

from fastci.node.engine.coding import decoded_body
from fastci.node.engine.login import Login, LoginFailed
from fastci.node.engine.provenance import Provenance
from fastci.node.engine.scope import Scope
from fastci.node.message import Origin, Request, Response
from fastci.node.store import Baseline

Send = Callable[[Request], Awaitable[Response]]
"""Sends a request that is already refreshed and gives the answer."""

_DEEPEST = 5
_MOST_FAILURES = 3
_SHORTEST = 4


class Sessions:
    """One per run; values of different origins are kept apart. Requests are given to it as recorded.

    `ends_silently`: a lost session was once answered as others are, but for the page.
    """

    def __init__(self, scope: Scope, login: Login | None = None) -> None:
        self._provenance = Provenance(scope)
        self._login = login
        given = login.given if login else {}
        self._given = {point: value for point, value in given.items() if len(value) >= _SHORTEST}
        self._issued = dict[bytes, bytes]()
        self.trouble = ""
        self.ends_silently = False
        self.total = 0
        """How often anything was brought back so far."""
        self.renewed = False
        """Whether there is anything new to put into requests."""
        self._logins = 0
        self._renewals: dict[tuple[Origin, bytes], int] = {}
        self._fresh: dict[Origin, dict[bytes, bytes]] = {}
        self._failures: dict[tuple[Origin, object], int] = {}
        self._lock = asyncio.Lock()

    def note(self, baseline: Baseline) -> None:
        """Take the next recorded exchange."""
        self._provenance.note(baseline)

    def refresh(self, origin: Origin, request: Request) -> Request:
        """The request with the newest values in place of recorded ones."""
        for old, new in (*self._issued.items(), *self._fresh.get(origin, {}).items()):
            request = _replaced(request, old, new)
            if (quoted := quote_plus(old).encode()) != old:
                request = _replaced(request, quoted, quote_plus(new).encode())
        return request

    async def renew(self, origin: Origin, request: Request, send: Send) -> bool:
        """Get new values for what `request` carries; False when there is nothing to get them from.

        `trouble` says what the login command said when it failed.
        """
        if self._failures.get(self._what_failed(origin, request), 0) >= _MOST_FAILURES:
            return False
        if self._login and self._is_from_login(request):
            return await self._log_in(self._login)
        values = self._provenance.values_of(origin, request)
        if not values:
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
            for value in renewal.learned:
                self._renewals[origin, value] = self._renewals.get((origin, value), 0) + 1
            self.total += 1
            return bool(renewal.done)

    async def _log_in(self, login: Login) -> bool:
        """Ask the login command once for all that found the session lost at the same time."""
        before = dict(self._issued)
        async with self._lock:
            if self._issued != before:
                return True
            try:
                now = {pattern.text: value for pattern, value in (await login.ask()).changes}
            except LoginFailed as error:
                self.trouble = f"FAST_LOGIN_COMMAND failed: {error}"
                return False
            self._logins += 1
            self.total += 1
            self._issued = {old.encode(): now.get(point, old).encode() for point, old in self._given.items()}
            self.renewed = True
            return True

    def _is_from_login(self, request: Request) -> bool:
        """Whether the request carries what the login command gave."""
        values = [value.encode() for value in self._given.values()]
        return any(value in field.value for field in request.fields for value in values)

    def _what_failed(self, origin: Origin, request: Request) -> tuple[Origin, object]:
        if self._login and self._is_from_login(request):
            return origin, request.target.partition(b"?")[0]
        return origin, self._provenance.values_of(origin, request)

    def renewals(self, origin: Origin, request: Request) -> int:
        """How often what this request carries was brought back so far."""
        values = self._provenance.values_of(origin, request)
        return self._logins + sum(self._renewals.get((origin, value), 0) for value in values)

    def carried_by(self, origin: Origin, request: Request) -> bool:
        """Whether the request carries a session, as far as is known."""
        if self._login and self._is_from_login(request):
            return True
        return bool(self._provenance.values_of(origin, request))

    def failed(self, origin: Origin, request: Request) -> None:
        """The renewed values did not bring the session back: after a few times it is not tried again."""
        key = self._what_failed(origin, request)
        self._failures[key] = self._failures.get(key, 0) + 1

    def has_tokens(self, origin: Origin, request: Request) -> bool:
        """Whether the request carries tokens that a page gave out."""
        return bool(self._provenance.tokens_of(origin, request))

    def gives_tokens(self, origin: Origin, request: Request, page: Request) -> bool:
        """Whether `page` asks for what gave out all tokens of `request`."""
        tokens = self._provenance.tokens_of(origin, request)
        sequences = {self._provenance.source(origin, token).sequence for token in tokens}
        given = [self._provenance.request(sequence) for sequence in sequences]
        return [(g.method, g.target) for g in given] == [(page.method, page.target)]

    def follow_tokens(self, origin: Origin, request: Request, response: Response) -> bool:
        """Take the tokens of `request` from an answer that gives out the next ones, if it does for all."""
        tokens = self._provenance.tokens_of(origin, request)
        body, fresh = decoded_body(response), self._fresh.setdefault(origin, {})
        found = {token: self._provenance.source(origin, token).next_value(body) for token in tokens}
        if not found or not all(found.values()) or any(fresh.get(t) == v for t, v in found.items()):
            return False
        fresh |= found
        self.renewed = True
        return True

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
                self.renewed = True
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

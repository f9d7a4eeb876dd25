"""Session upkeep: cookies and tokens that the target gave out while recording and that are dead by now.

The record says where each of them came from: a Set-Cookie header, or the body of a login page or answer.
When a control shows that a session is lost, those exchanges are replayed in their order, login requests
included, and the new values stand in for the recorded ones from then on. Nothing else of a request changes.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from fastci.node.engine.coding import decoded_body
from fastci.node.engine.control import asks_password, is_login
from fastci.node.engine.scope import Scope
from fastci.node.message import Origin, Request, Response
from fastci.node.points import list_points
from fastci.node.store import Baseline

Send = Callable[[Request], Awaitable[Response]]

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=%-]{16,4096}")
_SHORTEST_COOKIE = 8
_CONTEXTS = (40, 24, 12)
_LARGEST_PAGE = 64 << 10
_MOST_SOURCES = 2_000
_MOST_VALUES = 20_000
_DEEPEST = 5
_MOST_FAILURES = 3
_SECRET = re.compile(r"pass|pwd|secret|token|csrf|xsrf|nonce|otp|pin(?:$|_)|code", re.I)
_PASSWORD_SENT = re.compile(rb"pass(?:word|wd|phrase)?[\"']?\s*[=:]|\bpwd[\"']?\s*[=:]", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """The exchange a value came from: its cookie's name there, or what stood before it in the body."""

    sequence: int
    cookie: bytes = b""
    before: bytes = b""


class Sessions:
    """Fed with the record in its order. One per run; values of different origins are kept apart."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._sources: dict[tuple[Origin, bytes], _Source] = {}
        self._given: dict[int, list[tuple[bytes, _Source]]] = {}
        self._requests: dict[int, Request] = {}
        self._logins: list[tuple[int, Origin]] = []
        self._fresh: dict[Origin, dict[bytes, bytes]] = {}
        self._failures: dict[tuple[Origin, frozenset[bytes]], int] = {}
        self._lock = asyncio.Lock()

    # learning from the record

    def note(self, baseline: Baseline) -> None:
        """Take the next recorded exchange."""
        if baseline.truncated or len(self._requests) >= _MOST_SOURCES:
            return
        origin = self._scope.target(baseline.origin).origin
        request = baseline.request
        body = decoded_body(baseline.response)[:_LARGEST_PAGE]
        logs_in = request.method == b"POST" and bool(
            is_login(request.target) or _PASSWORD_SENT.search(request.body)
        )
        values = list(_cookie_values(baseline.response))
        if logs_in or asks_password(body):
            values += _body_values(body)
        for value, name, before in values:
            source = _Source(sequence=baseline.sequence, cookie=name, before=before)
            if (origin, value) not in self._sources and len(self._sources) < _MOST_VALUES:
                self._sources[origin, value] = source
                self._given.setdefault(baseline.sequence, []).append((value, source))
        logs_in = logs_in and baseline.response.status < 400
        if logs_in or baseline.sequence in self._given:
            self._requests[baseline.sequence] = self._scope.request(baseline)
        if logs_in:
            self._logins.append((baseline.sequence, origin))

    # while testing

    def refresh(self, origin: Origin, request: Request) -> Request:
        """The request with the newest values in place of recorded ones."""
        fresh = self._fresh.get(origin)
        if not fresh:
            return request
        for old, new in fresh.items():
            if old in request.target:
                request = request.with_target(request.target.replace(old, new))
            for index, field in enumerate(request.fields):
                if old in field.value:
                    request = request.with_field(index, field.value.replace(old, new))
            if old in request.body:
                request = request.with_body(request.body.replace(old, new))
        return request

    async def renew(self, origin: Origin, request: Request, send: Send) -> bool:
        """Replay what gave out the values that `request` carries; False when there is nothing to replay.

        `request` is as recorded, `send` sends a request that is already refreshed and gives the answer.
        """
        values = frozenset(self._values_of(origin, request))
        if not values or self._failures.get((origin, values), 0) >= _MOST_FAILURES:
            return False
        before = dict(self._fresh.get(origin, {}))
        async with self._lock:
            fresh = self._fresh.setdefault(origin, {})
            if fresh != before:
                return True
            renewal = _Renewal(self, origin, send)
            for value in sorted(values):
                await renewal.replay_source(value, _DEEPEST)
            for sequence, where in self._logins:
                sent = frozenset(self._values_of(origin, self._requests[sequence]))
                if where == origin and sent & values:
                    await renewal.replay(sequence)
            return bool(renewal.done)

    def recorded(self, origin: Origin, sequence: int) -> Request:
        """A recorded request with the newest values."""
        return self.refresh(origin, self._requests[sequence])

    def source_of(self, origin: Origin, value: bytes) -> int:
        """The exchange that gave this value out."""
        return self._sources[origin, value].sequence

    def older_values(self, origin: Origin, sequence: int) -> list[bytes]:
        """The values that an exchange needed and earlier ones gave out."""
        values = set(self._values_of(origin, self._requests[sequence]))
        return sorted(value for value in values if self.source_of(origin, value) < sequence)

    def same_logins(self, origin: Origin, sequence: int) -> list[int]:
        """Other logins that differ from this one in secrets only, the latest first.

        A test that changes a password leaves the earlier login dead: a later one with the new password is
        the same user.
        """
        wanted = _identity(self._requests[sequence])
        others = (other for other, where in reversed(self._logins) if where == origin)
        return [o for o in others if o != sequence and _identity(self._requests[o]) == wanted]

    def learn(self, origin: Origin, sequence: int, response: Response) -> set[bytes]:
        """Take new values from an answer to what gave these out before; gives the recorded values."""
        body, learned = decoded_body(response), set()
        for value, source in self._given.get(sequence, ()):
            new = _cookie(response, source.cookie) if source.cookie else _between(body, source)
            if new:
                self._fresh[origin][value] = new
                learned.add(value)
        return learned

    def failed(self, origin: Origin, request: Request) -> None:
        """The renewed values did not bring the session back: after a few times it is not tried again."""
        key = (origin, frozenset(self._values_of(origin, request)))
        self._failures[key] = self._failures.get(key, 0) + 1

    def _values_of(self, origin: Origin, request: Request) -> Iterator[bytes]:
        """The values in this request whose source is known."""
        for header in request.get_all(b"cookie"):
            for pair in header.split(b";"):
                value = pair.partition(b"=")[2].strip()
                if (origin, value) in self._sources:
                    yield value
        places = [request.target, request.body, *request.get_all(b"authorization")]
        places += [field.value for field in request.fields if b"token" in field.name.lower()]
        for place in places:
            for match in _TOKEN.finditer(place[:_LARGEST_PAGE]):
                for value in {match.group(), match.group().rpartition(b"=")[2]}:
                    if (origin, value) in self._sources:
                        yield value


class _Renewal:
    """One pass of replaying at one origin; every exchange goes out at most once.

    `done` are the exchanges replayed, `learned` the recorded values that have new ones now.
    """

    def __init__(self, sessions: Sessions, origin: Origin, send: Send) -> None:
        self._sessions = sessions
        self._origin = origin
        self._send = send
        self.done: set[int] = set()
        self.learned: set[bytes] = set()

    async def replay_source(self, value: bytes, depth: int) -> None:
        """Replay what gave `value` out, before that what gave out the values it needs."""
        sequence = self._sessions.source_of(self._origin, value)
        if sequence in self.done or not depth:
            return
        for candidate in (sequence, *self._sessions.same_logins(self._origin, sequence)):
            self.done.add(candidate)
            for older in self._sessions.older_values(self._origin, candidate):
                await self.replay_source(older, depth - 1)
            await self._send_again(candidate, values_of=sequence)
            if value in self.learned:
                return

    async def replay(self, sequence: int) -> None:
        """Replay a login that gave out nothing new: it made a session of a cookie that was there before."""
        if sequence not in self.done:
            self.done.add(sequence)
            await self._send_again(sequence, values_of=sequence)

    async def _send_again(self, sequence: int, *, values_of: int) -> None:
        response = await self._send(self._sessions.recorded(self._origin, sequence))
        self.learned |= self._sessions.learn(self._origin, values_of, response)


def _identity(request: Request) -> tuple[object, ...]:
    """Who logs in and where, without passwords and tokens."""
    plain = [
        (point.name, point.value)
        for point in list_points(request)
        if point.layers[0] in ("GET", "POST") and point.kind != "document" and not _SECRET.search(point.name)
    ]
    return request.method, request.target.partition(b"?")[0], *plain


def _cookie_values(response: Response) -> Iterator[tuple[bytes, bytes, bytes]]:
    for line in response.get_all(b"set-cookie"):
        name, _, value = line.partition(b";")[0].partition(b"=")
        if len(value.strip()) >= _SHORTEST_COOKIE:
            yield value.strip(), name.strip(), b""


def _body_values(body: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    for match in _TOKEN.finditer(body):
        before = body[max(0, match.start() - _CONTEXTS[0]) : match.start()]
        if before[-1:] in (b'"', b"'", b"=", b">"):
            yield match.group(), b"", before


def _cookie(response: Response, name: bytes) -> bytes:
    """The value a response gives to a cookie, empty when it gives none."""
    found = b""
    for line in response.get_all(b"set-cookie"):
        known, _, value = line.partition(b";")[0].partition(b"=")
        if known.strip() == name:
            found = value.strip()
    return found


def _between(body: bytes, source: _Source) -> bytes:
    """The token that stands now where the recorded one stood."""
    for length in _CONTEXTS:
        before = source.before[-length:]
        start = body.find(before)
        if start >= 0 and (match := _TOKEN.match(body, start + len(before))):
            return match.group()
    return b""

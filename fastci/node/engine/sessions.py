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
        """Replay what gave out the values that `request` carries; True when one of them is new now.

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
            done: set[int] = set()
            for value in sorted(values):
                await self._replay_source(origin, value, send, done, _DEEPEST)
            for sequence, where in self._logins:
                sent = frozenset(self._values_of(origin, self._requests[sequence]))
                if where == origin and sent & values and sequence not in done:
                    await self._replay(origin, sequence, send, done)
            return bool(done)

    def failed(self, origin: Origin, request: Request) -> None:
        """The renewed values did not bring the session back: after a few times it is not tried again."""
        key = (origin, frozenset(self._values_of(origin, request)))
        self._failures[key] = self._failures.get(key, 0) + 1

    async def _replay_source(
        self, origin: Origin, value: bytes, send: Send, done: set[int], depth: int
    ) -> None:
        sequence = self._sources[origin, value].sequence
        if sequence in done or not depth:
            return
        done.add(sequence)
        for older in sorted(set(self._values_of(origin, self._requests[sequence]))):
            if self._sources[origin, older].sequence < sequence:
                await self._replay_source(origin, older, send, done, depth - 1)
        await self._replay(origin, sequence, send, done)

    async def _replay(self, origin: Origin, sequence: int, send: Send, done: set[int]) -> None:
        done.add(sequence)
        response = await send(self.refresh(origin, self._requests[sequence]))
        body = decoded_body(response)
        for value, source in self._given.get(sequence, ()):
            new = _cookie(response, source.cookie) if source.cookie else _between(body, source)
            if new:
                self._fresh[origin][value] = new

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

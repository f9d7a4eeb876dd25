"""Where the values come from that keep a client logged in: which recorded exchange gave them out.

Cookies come from Set-Cookie headers. Tokens come from bodies: of login answers and login pages any long word,
of other pages what is called a token there (hidden fields against request forgery, mostly).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from fastci.node.engine.coding import decoded_body
from fastci.node.engine.control import asks_password, is_login
from fastci.node.engine.scope import Scope
from fastci.node.message import Origin, Request, Response
from fastci.node.points import list_points
from fastci.node.store import Baseline

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=%-]{16,4096}")
_CALLED_TOKEN = re.compile(rb"csrf|xsrf|token|nonce|authenticity|viewstate|verification", re.I)
_SHORTEST_COOKIE = 8
_CONTEXTS = (40, 24, 12)
_NAME_REACH = 120
_LARGEST_PAGE = 64 << 10
_MOST_SOURCES = 2_000
_MOST_VALUES = 20_000
_SECRET = re.compile(r"pass|pwd|secret|token|csrf|xsrf|nonce|otp|pin(?:$|_)|code", re.I)
_PASSWORD_SENT = re.compile(rb"pass(?:word|wd|phrase)?[\"']?\s*[=:]|\bpwd[\"']?\s*[=:]", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """The exchange a value came from: its cookie's name there, or what stood before it in the body."""

    sequence: int
    cookie: bytes = b""
    before: bytes = b""

    def new_value(self, response: Response, body: bytes) -> bytes:
        """The value that stands there in another answer of that exchange; empty when there is none."""
        return _cookie(response, self.cookie) if self.cookie else _behind(body, self.before)

    def next_value(self, body: bytes) -> bytes:
        """The value that an answer to another exchange has in the very same surroundings."""
        return _behind(body, self.before, shortest=len(self.before)) if self.before else b""


class Provenance:
    """Fed with the record in its order; values of different origins are kept apart."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._sources: dict[tuple[Origin, bytes], Source] = {}
        self._given: dict[int, list[tuple[bytes, Source]]] = {}
        self._requests: dict[int, Request] = {}
        self._logins: list[tuple[int, Origin]] = []

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
        values = [
            *_cookie_values(baseline.response),
            *_body_values(body, any_name=logs_in or asks_password(body)),
        ]
        for value, name, before in values:
            source = Source(sequence=baseline.sequence, cookie=name, before=before)
            if (origin, value) not in self._sources and len(self._sources) < _MOST_VALUES:
                self._sources[origin, value] = source
                self._given.setdefault(baseline.sequence, []).append((value, source))
        logs_in = logs_in and baseline.response.status < 400
        if logs_in or baseline.sequence in self._given:
            self._requests[baseline.sequence] = self._scope.request(baseline)
        if logs_in:
            self._logins.append((baseline.sequence, origin))

    def request(self, sequence: int) -> Request:
        """The request of an exchange that gave something out, or of a login; as recorded."""
        return self._requests[sequence]

    def source(self, origin: Origin, value: bytes) -> Source:
        return self._sources[origin, value]

    def given(self, sequence: int) -> list[tuple[bytes, Source]]:
        """The values that an exchange gave out."""
        return self._given.get(sequence, [])

    def logins_with(self, origin: Origin, values: frozenset[bytes]) -> list[int]:
        """The logins that sent one of these values along: they made a session of it."""
        logins = [sequence for sequence, where in self._logins if where == origin]
        return [s for s in logins if not values.isdisjoint(self.values_of(origin, self._requests[s]))]

    def same_logins(self, origin: Origin, sequence: int) -> list[int]:
        """Other logins that differ from this one in secrets only, the latest first.

        A test that changes a password leaves the earlier login dead: a later one with the new password is
        the same user.
        """
        wanted = _identity(self._requests[sequence])
        others = (other for other, where in reversed(self._logins) if where == origin)
        return [o for o in others if o != sequence and _identity(self._requests[o]) == wanted]

    def values_of(self, origin: Origin, request: Request) -> frozenset[bytes]:
        """The values in this request whose source is known."""
        return frozenset(v for v in _values_in(request) if (origin, v) in self._sources)

    def tokens_of(self, origin: Origin, request: Request) -> frozenset[bytes]:
        """Those of them that came from a body."""
        return frozenset(v for v in self.values_of(origin, request) if not self._sources[origin, v].cookie)


def _values_in(request: Request) -> Iterator[bytes]:
    for header in request.get_all(b"cookie"):
        for pair in header.split(b";"):
            yield pair.partition(b"=")[2].strip()
    places = [request.target, request.body[:_LARGEST_PAGE], *request.get_all(b"authorization")]
    places += [field.value for field in request.fields if _CALLED_TOKEN.search(field.name)]
    for place in places:
        for match in _TOKEN.finditer(place):
            word = match.group()
            value = word.rpartition(b"=")[2]
            yield from (word, value)
            if b"%" in word:
                yield from (unquote_to_bytes(word), unquote_to_bytes(value))


def _identity(request: Request) -> tuple[object, ...]:
    """Who logs in and where, without passwords and tokens."""
    plain = [
        (point.name, point.value)
        for point in list_points(request)
        if point.layers[0] in ("GET", "POST")
        and point.kind != "document"
        and not _SECRET.search(point.name.replace("URLENCODED", ""))
    ]
    return request.method, request.target.partition(b"?")[0], *plain


def _cookie_values(response: Response) -> Iterator[tuple[bytes, bytes, bytes]]:
    for line in response.get_all(b"set-cookie"):
        name, _, value = line.partition(b";")[0].partition(b"=")
        if len(value.strip()) >= _SHORTEST_COOKIE:
            yield value.strip(), name.strip(), b""


def _body_values(body: bytes, *, any_name: bool) -> Iterator[tuple[bytes, bytes, bytes]]:
    if not any_name and not _CALLED_TOKEN.search(body):
        return
    for match in _TOKEN.finditer(body):
        start = match.start()
        if body[start - 1 : start] not in (b'"', b"'", b"=", b">"):
            continue
        near = body[max(0, start - _NAME_REACH) : start]
        if any_name or _CALLED_TOKEN.search(near):
            yield match.group(), b"", near[-_CONTEXTS[0] :]


def _cookie(response: Response, name: bytes) -> bytes:
    """The value a response gives to a cookie, empty when it gives none."""
    found = b""
    for line in response.get_all(b"set-cookie"):
        known, _, value = line.partition(b";")[0].partition(b"=")
        if known.strip() == name:
            found = value.strip()
    return found


def _behind(body: bytes, before: bytes, *, shortest: int = 0) -> bytes:
    """The token that stands now where the recorded one stood, behind `shortest` bytes of it at least."""
    for length in _CONTEXTS:
        if length < shortest:
            break
        context = before[-length:]
        start = body.find(context)
        if start >= 0 and (match := _TOKEN.match(body, start + len(context))):
            return match.group()
    return b""

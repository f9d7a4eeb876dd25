"""Who sent a recorded request: what carries a login along, and which logins the record holds.

A login gives out a cookie or a token; what later requests carry of these says whose they are. Everything is
as far as the record has been read: two runs on one record know the same.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fastci.node.engine.coding import decoded_body, json_members
from fastci.node.engine.scope import Scope
from fastci.node.message import Field, Origin, Request
from fastci.node.points import list_points
from fastci.node.store import Baseline

_CREDENTIAL = re.compile(
    rb"cookie|authorization|(?:x-)?(?:[\w-]*-)?(?:token|api-?key|auth|session(?:-?id)?)", re.I
)
_AGAINST_FORGERY = re.compile(rb"csrf|xsrf", re.I)
_PASSWORD = re.compile(r"(?:^|_)\w*(?:pass(?:word|wd|phrase)?|pwd)\w*_value$", re.I)
_SECRET = re.compile(r"pass|pwd|secret|token|csrf|xsrf|nonce|otp|pin(?:$|_)|code", re.I)
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/=%-]{16,4096}")
_ID = re.compile(r"sub|uid|(?:user|account|customer|member|owner)?_?id", re.I)
_PRIVILEGED = re.compile(r"admin|root|super|staff|manager|operator|moderator|support|owner", re.I)
_SHORTEST_NAME = 3
_MOST = 200
_MOST_VALUES = 5_000
_LARGEST = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A login of the record. `names` is what it says of itself (user name, mail address; lower case),
    `example` a request with its credentials, `privileged` whether it looks like one who may do more,
    `ids` what the answer to the login, or the token that it gave, says is its id.
    """

    names: frozenset[str]
    example: Request
    privileged: bool
    ids: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Company:
    """What the checks of one baseline know: who sent it (None: nobody known), who else there is, and what
    the record says of cookies, by name: the attributes they were set with, lower case."""

    sender: Person | None = None
    others: tuple[Person, ...] = ()
    cookies: tuple[tuple[bytes, bytes], ...] = ()


class People:
    """Fed with the record in its order."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._names: dict[tuple[Origin, bytes], frozenset[str]] = {}
        self._ids: dict[tuple[Origin, frozenset[str]], frozenset[str]] = {}
        self._known: dict[tuple[Origin, frozenset[str]], Person] = {}
        self._cookies: dict[Origin, dict[bytes, bytes]] = {}

    def note(self, baseline: Baseline) -> None:
        """Take the next recorded exchange."""
        origin, request = self._scope.target(baseline.origin).origin, baseline.request
        given = []
        for line in baseline.response.get_all(b"set-cookie"):
            pair, _, attributes = line.partition(b";")
            name, _, value = pair.partition(b"=")
            given.append(value.strip())
            self._cookies.setdefault(origin, {})[name.strip()] = attributes.lower()
        if baseline.response.status < 400 and (names := _login_names(request)):
            given += _TOKEN.findall(decoded_body(baseline.response)[:_LARGEST])
            given += list(carried(request))
            self._ids[origin, names] = _ids_in(decoded_body(baseline.response)[:_LARGEST], given)
            for value in given:
                if len(value) >= 8 and len(self._names) < _MOST_VALUES:
                    self._names[origin, value] = names
        elif (found := self._names_in(origin, request)) and len(self._known) < _MOST:
            known = self._known.get((origin, found))
            privileged = any(_PRIVILEGED.search(name) for name in found) or b"admin" in request.target.lower()
            if known is None or (privileged and not known.privileged):
                example = known.example if known else self._scope.request(baseline)
                ids = self._ids.get((origin, found), frozenset())
                person = Person(names=found, example=example, privileged=privileged, ids=ids)
                self._known[origin, found] = person

    def company(self, origin: Origin, request: Request) -> Company:
        """What is known for the checks of this request."""
        names = self._names_in(origin, request)
        sender = self._known.get((origin, names)) if names else None
        others = tuple(
            person
            for (where, _), person in self._known.items()
            if where == origin and names and person.names.isdisjoint(names)
        )
        return Company(sender=sender, others=others, cookies=tuple(self._cookies.get(origin, {}).items()))

    def _names_in(self, origin: Origin, request: Request) -> frozenset[str] | None:
        return next((n for v in carried(request) if (n := self._names.get((origin, v)))), None)


def is_credential(field: Field) -> bool:
    """Whether a header says who sends the request."""
    return bool(_CREDENTIAL.fullmatch(field.name)) and not _AGAINST_FORGERY.search(field.name)


def without_credentials(request: Request) -> Request:
    """The request as somebody unknown sends it."""
    for name in {field.name for field in request.fields if is_credential(field)}:
        request = request.with_header(name, None)
    return request


def sent_by(request: Request, example: Request) -> Request:
    """The request with the credentials of another one."""
    request = without_credentials(request)
    for field in example.fields:
        if is_credential(field):
            request = request.with_header(field.name, field.value)
    return request


def carried(request: Request) -> Iterator[bytes]:
    """The values in credential headers: of each cookie, and what follows `Bearer` or stands alone."""
    for field in request.fields:
        if field.name.lower() == b"cookie":
            for pair in field.value.split(b";"):
                yield pair.partition(b"=")[2].strip()
        elif is_credential(field):
            yield field.value.rpartition(b" ")[2].strip()


def _ids_in(body: bytes, given: Iterable[bytes]) -> frozenset[str]:
    """The ids of a person in the JSON answer to a login, and in the claims of the tokens it gave."""
    texts = (body, *map(_claims, given))
    members = (member for text in texts for member in json_members(text))
    return frozenset(str(value) for key, value in members if _ID.fullmatch(key) and value != "")


def _claims(token: bytes) -> bytes:
    """The claims of a JSON Web Token, empty where a value is none."""
    parts = token.split(b".")
    if len(parts) != 3:
        return b""
    try:
        return base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4))
    except ValueError:
        return b""


def _login_names(request: Request) -> frozenset[str]:
    """What a request that sends a password says of who sends it; empty for any other request."""
    if request.method not in (b"POST", b"PUT"):
        return frozenset()
    points = [
        point
        for point in list_points(request)
        if point.layers[0] in ("POST", "GET")
        and point.kind in ("text", "number")
        and point.name.endswith("_value")
    ]
    if not any(_PASSWORD.search(point.name) and point.value for point in points):
        return frozenset()
    plain = [
        point
        for point in points
        if not _SECRET.search(point.name.replace("URLENCODED", ""))
        and point.value.lower() not in point.name.lower().encode()  # a button
    ]
    texts = [point.value.decode("utf-8", "replace").strip().lower() for point in plain]
    return frozenset(text for text in texts if _SHORTEST_NAME <= len(text) <= 100)

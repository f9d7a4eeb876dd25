"""Does the target still answer a baseline as it did when it was recorded?

The unmodified request is sent before its tests. The rule, in this order (spec: vulnerabilities.md, rule 1):

| recorded | now | verdict |
|---|---|---|
| any | no answer | unusable: Connection failed |
| same status, or both 2xx, or redirects of one route; not to or on a login page | | alike |
| 2xx, 3xx | 401, 407, 419, 440; 403 | unusable: Auth failed |
| 2xx, 3xx | redirect to a login page, or a password form, where there was none | unusable: Auth failed |
| below 500 | 502, 503, 504 | unusable: Connection failed |
| below 500 | 429 | unusable: Connection failed |
| below 500 | other 5xx | unusable: Recording error |
| anything else | another class | changed: it is tested, and the difference is noted |

A request to a login page itself is never "Auth failed": one-time tokens make its replay fail, which says
nothing of the session. "Changed" is what repeated creation (409), a deleted object (404) or a used-up token
(400) look like: the code behind them is still reached. A run in which no baseline at all answered alike is
not passed.
"""

import re
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from fastci.node.message import Response
from fastci.node.route import route_template

_LOGIN = re.compile(
    r"(?:^|[/?&=._-])(?:log[-_]?[io]n|sign[-_]?in|auth|authenticate|sso|cas|oauth2?|sessions?/new)(?:$|[/?&=._-])",
    re.I,
)
_PASSWORD_FIELD = re.compile(rb"<input\b[^>]{0,400}\btype\s*=\s*[\"']?password\b", re.I)
_SESSION_LOST = frozenset({401, 403, 407, 419, 440})
_GATEWAY = frozenset({502, 503, 504})


class Standing(Enum):
    """How an answer stands to the recorded one."""

    ALIKE = "alike"
    CHANGED = "changed"
    UNUSABLE = "unusable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What is kept of a recorded answer to compare with: its body itself is not."""

    status: int
    location: bytes
    asks_password: bool

    @classmethod
    def of(cls, response: Response, body: bytes) -> "Recorded":
        """`body` is the response's body without content coding."""
        location = response.get(b"location") or b""
        return cls(status=response.status, location=location, asks_password=asks_password(body))


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`detail` is one of FAST's baseline error kinds with its cause, or the difference; empty when alike."""

    standing: Standing
    detail: str = ""

    @property
    def session_lost(self) -> bool:
        return self.detail.startswith("Auth failed")


def asks_password(body: bytes) -> bool:
    """Whether a page holds a field for a password."""
    return _PASSWORD_FIELD.search(body) is not None


def is_login(target: bytes) -> bool:
    """Whether an address looks like a login page."""
    return _LOGIN.search(_path(target)) is not None


def compare(recorded: Recorded, now: Response, *, target: bytes, failure: str = "") -> Verdict:
    """Judge the answer to the unmodified request for `target`; `failure` says why none came (status 0)."""
    if not now.status:
        return _unusable(f"Connection failed: {failure or 'no answer'}")
    was, became = recorded.status, now.status
    if not was and became < 500:
        # A request that was imported without an answer: what it gets now is what it gets.
        return Verdict(standing=Standing.ALIKE)
    change = f"recorded {was}, now {became}"
    if 200 <= was < 400 and not is_login(target):
        if became in _SESSION_LOST:
            return _unusable(f"Auth failed: {change}")
        location = now.get(b"location") or b""
        if 300 <= became < 400 and _leads_to_login(location) and not _leads_to_login(recorded.location):
            return _unusable(f"Auth failed: {change} to {location[:200].decode('latin-1')}")
        if was < 300 and became < 300 and not recorded.asks_password and asks_password(now.body):
            return _unusable("Auth failed: the page now asks for a password")
    if 300 <= was < 400 and 300 <= became < 400:
        return _compare_redirects(recorded.location, now.get(b"location") or b"")
    if became == was or was // 100 == became // 100 == 2:
        return Verdict(standing=Standing.ALIKE)
    if was < 500:
        if became in _GATEWAY:
            return _unusable(f"Connection failed: {change}")
        if became == 429:
            return _unusable(f"Connection failed: {change}; the target limits requests, set TEST_RUN_RPS")
        if became >= 500:
            return _unusable(f"Recording error: {change}")
    if was // 100 != became // 100:
        return Verdict(standing=Standing.CHANGED, detail=change)
    return Verdict(standing=Standing.ALIKE)


def _compare_redirects(was: bytes, became: bytes) -> Verdict:
    """A form that is refused often answers by a redirect too, to another place."""
    routes = [route_template(b"GET", _path(where).encode("latin-1")) for where in (was, became)]
    if not was or routes[0] == routes[1]:
        return Verdict(standing=Standing.ALIKE)
    return Verdict(
        standing=Standing.CHANGED, detail=f"recorded a redirect to {routes[0]}, now to {routes[1]}"
    )


def _path(address: bytes) -> str:
    """The path of an address; of one that is none (an attack made it), what stands before its query."""
    text = address.decode("latin-1")
    try:
        return urlsplit(text).path
    except ValueError:
        return text.partition("?")[0]


def _leads_to_login(location: bytes) -> bool:
    return bool(location) and is_login(location)


def _unusable(detail: str) -> Verdict:
    return Verdict(standing=Standing.UNUSABLE, detail=detail)

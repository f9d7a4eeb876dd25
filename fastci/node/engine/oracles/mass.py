"""Oracle `mass`: a field that the request should not set is set by it.

Which fields there are the target tells itself: members of its answer, named like a right or a balance, that
the request does not send. Sent along with another value they must come back with just that, twice. A field
with a name made up must not come back, or the target merely repeats what it is sent; unless the recorded
request, sent next, is answered with the value that was set: then it was kept.
"""

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.coding import decoded_body, json_members
from fastci.node.engine.confirm import Probe
from fastci.node.engine.sender import Reply
from fastci.node.message import Request, Response
from fastci.node.points import list_points

_RIGHTS = re.compile(
    r"(?:is_?)?(?:admin|staff|super_?user|root|verified|active|approved|enabled|premium|paid|confirmed|moderator)"
    r"|(?:user_?)?(?:roles?|permissions?|privileges?|groups?|type|level|status|plan|tier|scopes?)"
    r"|(?:account_?)?(?:balance|credits?|points|wallet|discount|quota|limit)|(?:owner|user|account|tenant)_?id",
    re.I,
)
_MAIL_OR_NAME = re.compile(r"user|name|mail|login|title|nick", re.I)
_MOST = 4


async def decide_mass(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Send along each field that the answer tells of; the evidence of the first that takes what was sent."""
    request = attack.request
    if request.method not in (b"POST", b"PUT", b"PATCH") or _fields(request) is None:
        return None
    base = await _plain(probe, request)
    if base is None or not 200 <= base.response.status < 300:
        return None
    sent = _fields(request) or {}
    told = {
        key: value
        for key, value in json_members(decoded_body(base.response))
        if _RIGHTS.fullmatch(key) and key not in sent
    }
    if not told:
        return None
    for key, value in list(told.items())[:_MOST]:
        for other in _others(value):
            shown = [reply async for reply in _taken(probe, request, base, key, other)]
            if len(shown) == 2:
                break
        else:
            continue
        if await _repeats(probe, request, base) and not await _keeps(probe, request, base, key, other):
            continue
        return results.Evidence(
            payload=f"{key}={other}",
            matched=f"the field {key}, unknown to the recorded request, is set: the answer tells",
            attack=shown[0].exchange(),
            confirmation=shown[1].exchange(),
            control=base.exchange(),
            notes=[f"the control does not send {key}; the target gives it the value {value!r} itself"],
        )
    return None


async def _taken(probe: Probe, request: Request, base: Reply, key: str, value: Any) -> AsyncIterator[Reply]:
    """The answers to the request with this field, sent twice, as long as they tell that it has the value."""
    for _ in range(2):
        reply = await probe.channel.send(_along(_fresh(probe, request, base), key, value))
        if not _tells(reply.response, key, value):
            return
        yield reply


async def _plain(probe: Probe, request: Request) -> Reply | None:
    """The answer to the request as it is, or with new names where the recorded ones are taken by now."""
    if 200 <= probe.control.response.status < 300:
        return probe.control
    if probe.control.response.status not in (400, 409, 422):
        return None
    return await probe.channel.send(_renamed(probe, request))


def _fresh(probe: Probe, request: Request, base: Reply) -> Request:
    return request if base is probe.control else _renamed(probe, request)


def _renamed(probe: Probe, request: Request) -> Request:
    """What must be unique gets a new value: names and mail addresses."""
    word = probe.markers.fresh().text.encode()
    for name in [p.name for p in list_points(request) if p.layers[0] == "POST" and p.kind == "text"]:
        point = next(p for p in list_points(request) if p.name == name)
        if _MAIL_OR_NAME.search(name) and name.endswith("_value"):
            request = point.write(word + point.value if b"@" in point.value else point.value + word)
    return request


async def _repeats(probe: Probe, request: Request, base: Reply) -> bool:
    """Whether a field that nobody can know of comes back as well."""
    made_up = probe.markers.fresh()
    reply = await probe.channel.send(_along(_fresh(probe, request, base), made_up.text, made_up.result))
    return made_up.text.encode() in decoded_body(reply.response)


async def _keeps(probe: Probe, request: Request, base: Reply, key: str, value: Any) -> bool:
    """Whether a field is still as it was set when the next request does not send it."""
    await probe.channel.send(_along(_fresh(probe, request, base), key, value))
    reply = await probe.channel.send(_fresh(probe, request, base))
    return _tells(reply.response, key, value)


def _tells(response: Response, key: str, value: Any) -> bool:
    """Whether a JSON answer says that the field has this value."""
    return any(
        name == key and _as(found, value) == value for name, found in json_members(decoded_body(response))
    )


def _others(value: Any) -> list[Any]:
    """Values of the same kind that the field does not have; a field may take only some of them."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [int(value) + 7919, int(value) + 1]
    return [word for word in ("admin", "administrator", "manager", "premium") if word != value]


def _as(value: Any, like: Any) -> Any:
    """A value of the answer as the kind that was sent: forms send numbers as text."""
    return type(like)(value) if isinstance(like, int) and str(value).isdigit() else value


def _fields(request: Request) -> dict[str, Any] | None:
    media = (request.get(b"content-type") or b"").lower()
    if b"json" in media:
        try:
            data = json.loads(request.body)
        except (ValueError, RecursionError):
            return None
        return data if isinstance(data, dict) else None
    return dict(parse_qsl(request.body.decode("latin-1"))) if b"urlencoded" in media else None


def _along(request: Request, key: str, value: Any) -> Request:
    fields = {**(_fields(request) or {}), key: value}
    if b"json" in (request.get(b"content-type") or b"").lower():
        return request.with_body(json.dumps(fields).encode())
    plain = value if not isinstance(value, bool) else str(value).lower()
    return request.with_body(request.body + b"&" + urlencode({key: plain}).encode())

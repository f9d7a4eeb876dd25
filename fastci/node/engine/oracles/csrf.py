"""Oracle `csrf`: a request that changes something is obeyed when another site makes the browser send it.

Such a request carries the cookies and nothing else that the site could know: no token, and the other site's
Origin and Referer. It must be answered as the recorded one is; without cookies it must be refused.
"""

import re
from dataclasses import replace

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.confirm import Probe
from fastci.node.engine.control import is_login
from fastci.node.engine.likeness import Likeness
from fastci.node.engine.people import is_credential, without_credentials
from fastci.node.message import Request
from fastci.node.points import list_points

_TOKEN = re.compile(r"csrf|xsrf|token|nonce|authenticity|viewstate|verification", re.I)
_CHANGING = re.compile(
    rb"(?:^|[ /_.-])(?:add|create|new|update|edit|modify|change|save|set|delete|remove|transfer|pay|buy|order"
    rb"|checkout|comment|upload|import|profile|settings|account|password|email|mail|subscribe|register"
    rb"|invite|follow|vote|cart|basket)s?(?:$|[ /_.-])",
    re.I,
)
_OPEN_TYPES = (b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain")
_STAYS = re.compile(rb"samesite\s*=\s*(?:lax|strict)")
_SITE = b"https://%s.example"


async def decide_csrf(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Send the request as another site would, twice; then without cookies."""
    request = attack.request
    if is_login(request.target) or not _changes(probe, request) or not _by_cookie(probe, request):
        return None
    if not _as_recorded(probe):
        return None
    forged = _forged(probe, request, attack.markers.text.encode())
    if forged is None:
        return None
    control = await probe.channel.send(request)
    likeness = Likeness(probe.control.response, control.response)
    has_token = any(_is_token(p.name, p.layers) for p in list_points(request))
    # A form that is refused often redirects just as one that is taken: with a token only a page tells.
    if not 200 <= control.response.status < (300 if has_token else 400):
        return None
    if not likeness.refused((bare := await probe.channel.send(without_credentials(request))).response):
        return None
    first = await probe.channel.send(forged)
    if not likeness.same(first.response):
        return None
    second = await probe.channel.send(forged)
    if not likeness.same(second.response):
        return None
    return results.Evidence(
        payload=f"Origin: {(_SITE % attack.markers.text.encode()).decode()}",
        matched="the request is obeyed when another site sends it, without anything that site could not know",
        attack=first.exchange(),
        confirmation=second.exchange(),
        control=bare.exchange(),
        notes=["the control is the recorded request without cookies, which is refused"],
    )


def _changes(probe: Probe, request: Request) -> bool:
    """Whether the request seems to change something: it redirects, sends a file, or says so."""
    if request.method != b"POST":
        return False
    if 300 <= probe.control.response.status < 400:
        return True
    sent = [p.name.encode() for p in list_points(request) if p.layers[0] == "POST"]
    words = b" ".join((request.target.partition(b"?")[0], *(name.removeprefix(b"POST") for name in sent)))
    media = request.get(b"content-type") or b""
    return bool(_CHANGING.search(words)) or media.startswith(b"multipart/")


def _as_recorded(probe: Probe) -> bool:
    """Whether the recorded request still does what it did: same status, same place to go on to."""
    now, was = probe.control.response, probe.recorded
    places = [(r.get(b"location") or b"").partition(b"?")[0] for r in (now, was) if r]
    return was is not None and now.status == was.status and places[0] == places[1]


def _by_cookie(probe: Probe, request: Request) -> bool:
    """Whether cookies alone say who sends it, and none of them stays at home when another site asks."""
    if any(is_credential(field) and field.name.lower() != b"cookie" for field in request.fields):
        return False
    sent = {
        pair.partition(b"=")[0].strip() for line in request.get_all(b"cookie") for pair in line.split(b";")
    }
    kept = {
        name
        for name, attributes in probe.company.cookies
        if re.search(rb"samesite\s*=\s*(?:lax|strict)", attributes)
    }
    return bool(sent) and not sent & kept


def _forged(probe: Probe, request: Request, word: bytes) -> Request | None:
    """None where no other site could make a browser send it: another method, or a type it must ask for."""
    media = (request.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if request.method != b"POST":
        return None
    forged = request
    if media and media not in _OPEN_TYPES:
        forged = forged.with_header(b"Content-Type", b"text/plain")
    for field in request.fields:
        if _TOKEN.search(field.name.decode("latin-1")) or field.name.lower() == b"x-requested-with":
            forged = forged.with_header(field.name, None)
    for name in [p.name for p in list_points(forged) if _is_token(p.name, p.layers)]:
        point = next((p for p in list_points(forged) if p.name == name), None)
        forged = point.write(b"") if point else forged
    site = _SITE % word
    return replace(forged.with_header(b"Origin", site).with_header(b"Referer", site + b"/"))


def _is_token(name: str, layers: tuple[str, ...]) -> bool:
    return layers[0] in ("POST", "GET") and name.endswith("_value") and bool(_TOKEN.search(name))

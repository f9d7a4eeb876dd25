"""Oracle `dom`: a script of the page takes a part of the address and makes it a part of the page.

The server never sees what comes behind `#`, and what it sees it may write nowhere: only a browser tells.
Where there is none, or no script of the page reads its address and writes, nothing is asked.
"""

import re
from collections.abc import Iterator
from urllib.parse import quote

from fastci import results
from fastci.node.dsl import Attack, Markers
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.confirm import Probe
from fastci.node.engine.sender import Reply
from fastci.node.message import Request
from fastci.node.points import list_points

_READS = re.compile(rb"\blocation\b|document\s*\.\s*(?:URL|documentURI|baseURI)\b|URLSearchParams")
_WRITES = re.compile(
    rb"document\s*\.\s*write(?:ln)?\b|\.\s*(?:innerHTML|outerHTML|srcdoc)\b|insertAdjacentHTML|\beval\s*\("
    rb"|createContextualFragment|\.\s*(?:html|append|prepend|after|before)\s*\(|new\s+Function\b"
)
_SCRIPT = re.compile(rb"<script\b[^>]*>(.*?)</script", re.I | re.S)
_MOST_PLACES = 6
_PAYLOADS = ("'\"><img src=x onerror={word}(1)>", "</option></select><svg onload={word}(1)>")
_PLAIN = "tea{word}"


async def decide_dom(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Open the page with a call in one part of its address after the other; the first that runs is evidence.

    It must run again for a fresh word, and not where the address holds the bare word.
    """
    control = probe.control.response
    if probe.browser is None or attack.request.method != b"GET" or not _may_write(decoded_body(control)):
        return None
    for place in _places(attack.request):
        for payload in _PAYLOADS:
            first = await _opened(probe, attack.request, place, payload, attack.markers)
            if first is None:
                continue
            again = await _opened(probe, attack.request, place, payload, probe.markers.fresh())
            plain = await _opened(probe, attack.request, place, _PLAIN, probe.markers.fresh(), runs=False)
            if again is None or plain is None:
                return None
            shown = payload.format(word=attack.markers.text)
            return results.Evidence(
                payload=shown,
                matched=f"Chromium ran the call of {attack.markers.text} that {_named(place)} held",
                attack=first.exchange(),
                confirmation=again.exchange(),
                control=plain.exchange(),
                notes=[
                    f"opened with {shown} in {_named(place)}; a script of the page writes it into the page"
                ],
            )
    return None


def _may_write(page: bytes) -> bool:
    """Whether one of the page's own scripts reads the address, and one writes into the page."""
    scripts = b"\n".join(_SCRIPT.findall(page))
    return bool(_READS.search(scripts)) and bool(_WRITES.search(scripts))


def _places(request: Request) -> Iterator[str]:
    """Names of the parameters of the query, and the empty one for what stands behind `#`."""
    names = [p.name for p in list_points(request) if p.layers == ("GET",) and p.name.endswith("_value")]
    yield from names[: _MOST_PLACES - 1]
    yield ""


def _named(place: str) -> str:
    return (
        f"the parameter {place.removeprefix('GET_').removesuffix('_value')}"
        if place
        else "what follows the #"
    )


async def _opened(
    probe: Probe, request: Request, place: str, payload: str, markers: Markers, *, runs: bool = True
) -> Reply | None:
    """The answer that the browser was given; None where the page does not do what it should (`runs`)."""
    assert probe.browser is not None
    text = payload.format(word=markers.text).encode()
    point = next((p for p in list_points(request) if p.name == place), None)
    reply = await probe.channel.send(point.write(text) if point else request)
    target = (point.write(text) if point else request).target
    url = probe.channel.target.url(target) + ("" if point else "#" + quote(text))
    if not reply.response.status:
        return None
    ran = await probe.browser.runs(url, reply.response, markers.text)
    return reply if ran is runs else None

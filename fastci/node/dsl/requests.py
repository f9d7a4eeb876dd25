"""Test requests: payloads put into values, fixed requests, and the harmless ones beside them."""

import json
import re
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from fastci.node.dsl.attack import Attack
from fastci.node.dsl.markers import Markers, MarkerSource
from fastci.node.message import Field, Request
from fastci.node.points import Point, list_points

_NUMBER = re.compile(rb"\s*-?\d+(?:\.\d+)?\s*")
_MARKER = re.compile(r"[A-Z]+_MARKER")
_ADDRESS = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:)*[/\\]*[^\s<>\"'`$|;&(){}]*DNS_MARKER[^\s<>\"'`$|;&(){}]*"
)
_HARMLESS = re.compile(r"[A-Za-z0-9 ]*")
_SAFE_IN_TARGET = "".join(chr(c) for c in range(0x21, 0x7F))
_DOCUMENT = re.compile(r"(.*?_XML)_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """One fixed request of the section `send`. Markers stand in all of it."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str


def is_harmless(template: str) -> bool:
    """Whether a payload is letters, digits and markers only: no application minds those."""
    return _HARMLESS.fullmatch(_MARKER.sub("m", template)) is not None and "CALC_MARKER" not in template


def is_address(template: str) -> bool:
    """Whether a payload is the address of DNS_MARKER and no more, with a scheme or without."""
    return _ADDRESS.fullmatch(template) is not None


def harmless_template(point: Point, source: MarkerSource) -> str:
    """A value of the same kind as the point's that should have no effect."""
    start = point.value.lstrip()[:1]
    if point.kind == "number" or _NUMBER.fullmatch(point.value):
        return source.digits(max(3, min(9, len(point.value.strip()))))
    if point.kind == "document" and start == b"<":
        return "<STR_MARKER>STR_MARKER</STR_MARKER>"
    if point.kind == "document" and start in (b"{", b"["):
        return '{"STR_MARKER": "STR_MARKER"}'
    return "/STR_MARKER" if start == b"/" else "STR_MARKER"


def recorded_in(point: Point, *, raw: bool) -> str:
    """What VALUE_MARKER stands for: the recorded value, in a raw payload as a JSON token of its kind."""
    text = point.value.decode("utf-8", "surrogateescape")
    return json.dumps(text) if raw and point.kind == "text" else text


def with_prolog(request: Request, name: str, prolog: bytes) -> Request:
    """The request with text before the XML document around the point; without one, as it is."""
    document = _DOCUMENT.match(name)
    wanted = f"{document[1]}_value" if document else ""
    point = next((p for p in list_points(request) if p.name == wanted), None)
    return point.write(prolog + point.value, raw=True) if point else request


def with_headers(request: Request, headers: tuple[tuple[str, str], ...], fresh: Markers) -> Attack:
    """The request with these headers set, or added where it has none of the name."""
    changed = request
    for name, value in headers:
        changed = changed.with_header(_latin(name), encode(fresh.fill(value)))
    shown = "; ".join(f"{name}: {fresh.fill(value)}" for name, value in headers)
    return Attack(
        request=changed, payload=shown, template="; ".join(value for _, value in headers), method="",
        point="", markers=fresh, recipe=(with_headers, request, headers),
    )  # fmt: skip


def unchanged(request: Request, point: str, fresh: Markers) -> Attack:
    return Attack(
        request=request, payload="", template="", method="", point=point, markers=fresh,
        recipe=(unchanged, request, point),
    )  # fmt: skip


def sent(sending: Sending, baseline: Request, fresh: Markers, template: str | None = None) -> Attack:
    """A fixed request to the baseline's host. Host and Content-Length are added where they are missing."""
    body = encode(fresh.fill(sending.body))
    headers = [(_latin(fresh.fill(name)), encode(fresh.fill(value))) for name, value in sending.headers]
    names = {name.lower() for name, _ in headers}
    if b"host" not in names:
        headers.insert(0, (b"Host", baseline.get(b"host") or b""))
    if (
        b"content-length" not in names
        and b"transfer-encoding" not in names
        and (body or sending.method in ("POST", "PUT", "PATCH"))
    ):
        headers.append((b"Content-Length", b"%d" % len(body)))
    url = fresh.fill(sending.url)
    request = Request(
        method=_latin(sending.method),
        target=_target(url),
        fields=tuple(Field.of(name, value) for name, value in headers),
        body=body,
    )
    everything = "\n".join((sending.url, *(value for _, value in sending.headers), sending.body))
    return Attack(
        request=request, payload=f"{sending.method} {url}", method="", point="", markers=fresh,
        template=everything if template is None else template,
        recipe=(partial(sent, template=template), sending, baseline),
    )  # fmt: skip


def _target(url: str) -> bytes:
    """A request target in origin form; what cannot stand in a request line is percent-encoded."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        slash = rest.find("/")
        url = rest[slash:] if slash >= 0 else "/"
    if not url.startswith(("/", "*")):
        url = "/" + url
    return quote(url, safe=_SAFE_IN_TARGET, errors="surrogateescape").encode("ascii")


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace")

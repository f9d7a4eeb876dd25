"""Every parser inside every other, at every place: found, written through, left byte for byte."""

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, post

from fastci.node.message import Request
from fastci.node.points import Point, list_points

CORE = b"core value"
FORM = b"application/x-www-form-urlencoded"
Wrap = Callable[[bytes], bytes]


def zipped(value: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("k"), value)
    return out.getvalue()


def token(value: bytes) -> bytes:
    parts = ({"alg": "none"}, {"k": value.decode()})
    return b".".join(
        [*(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in parts), b"c2ln"]
    )


LAYERS: dict[str, Wrap] = {
    "JSON_DOC": lambda value: json.dumps({"k": value.decode()}).encode(),
    "XML": lambda value: f"<r><k>{escape(value.decode())}</k></r>".encode(),
    "GZIP": lambda value: gzip.compress(value, mtime=0),
    "ZIP": zipped,
    "BASE64": base64.b64encode,
    "PERCENT": lambda value: b"%%%02X" % value[0] + quote(value[1:], safe="").encode(),
    "JWT_PAYLOAD": token,
    "GRAPHQL": lambda value: b"query Q { f(k: %s) }" % json.dumps(value.decode()).encode(),
}
TEXT = {"JSON_DOC", "XML", "JWT_PAYLOAD", "GRAPHQL"}
"""Formats that hold text only."""

PLACES: dict[str, Callable[[bytes], Request]] = {
    "GET": lambda value: get(b"/p?a=1&k=" + quote(value, safe="").encode()),
    "HEADER": lambda value: get(b"/p", b"X-K: " + value),
    "COOKIE": lambda value: get(b"/p", b"Cookie: a=1; k=" + value + b"; b=2"),
    "POST": lambda value: post(value, b"application/octet-stream"),
    "FORM_URLENCODED": lambda value: post(b"a=1&k=" + quote(value, safe="").encode(), FORM),
    "MULTIPART": lambda value: post(
        b'--B\r\nContent-Disposition: form-data; name="k"\r\n\r\n' + value + b"\r\n--B--\r\n",
        b"multipart/form-data; boundary=B",
    ),
    "FILE": lambda value: post(
        b'--B\r\nContent-Disposition: form-data; name="k"; filename="f"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + value + b"\r\n--B--\r\n",
        b"multipart/form-data; boundary=B",
    ),
}  # fmt: skip


def wrapped(layers: list[str], place: str) -> Request | None:
    """The request; None where a layer or place cannot hold the bytes."""
    value = CORE
    for layer in reversed(layers):
        if layer in TEXT and not value.isascii():
            return None
        value = LAYERS[layer](value)
    if place in ("POST", "FILE") and layers[0] == "PERCENT":
        return None  # a whole body is not taken for an encoded value
    if place in ("HEADER", "COOKIE") and (
        not value.isascii() or b"\n" in value or (place == "COOKIE" and b";" in value)
    ):
        return None
    return PLACES[place](value)


def core_of(request: Request, layers: list[str]) -> Point | None:
    names = spelt(layers)
    found = [p for p in list_points(request) if p.value == CORE and [*p.layers][-len(names) :] == names]
    return found[-1] if found else None


def spelt(layers: list[str]) -> list[str]:
    """The layers as a point has them: what a token holds is a document of its own."""
    return [word for layer in layers for word in ([layer, "JSON_DOC"] if layer == "JWT_PAYLOAD" else [layer])]


def check(layers: list[str], place: str) -> None:
    request = wrapped(layers, place)
    if request is None:
        pytest.skip("these bytes cannot stand there")
    assert_round_trip(request)
    point = core_of(request, layers)
    assert point is not None, [(p.name, p.value[:80]) for p in list_points(request)]
    # A cookie has no escape for what ends it, nor has an entity in one.
    nasty = b"'\"%41\\" if place == "COOKIE" else b"'\"><&;%41\\"
    for payload in (nasty, "ünïcode".encode(), b"much longer than it was before" * 20):
        again = [p for p in list_points(point.write(payload)) if p.name == point.name]
        # A value that makes the layer around it look like something else is one opaque value there.
        assert [p.value for p in again][-1:] in ([payload], [])
    assert [p.value for p in list_points(point.write(b"other words")) if p.name == point.name][
        -1
    ] == b"other words"


@pytest.mark.parametrize("inner", LAYERS)
@pytest.mark.parametrize("outer", LAYERS)
def test_parser_inside_parser_is_found_and_written_through(outer: str, inner: str):
    check([outer, inner], "GET")


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("place", PLACES)
def test_parser_at_a_place_is_found_and_written_through(place: str, layer: str):
    check([layer], place)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(LAYERS)), min_size=3, max_size=5), st.sampled_from(sorted(PLACES)))
def test_any_nesting_at_any_place_round_trips_and_reads_back(layers: list[str], place: str):
    request = wrapped(layers, place)
    if request is None:
        return
    assert_round_trip(request)
    point = core_of(request, layers)
    if point is not None:
        again = [p for p in list_points(point.write(b"another core")) if p.name == point.name]
        # What needs no percent-encoding any more is not taken for percent-encoded.
        assert [p.value for p in again][-1:] in (
            [b"another core"],
            [] if "PERCENT" in layers else [b"another core"],
        )

"""Requests, responses and extensions that the tests of this folder share."""

from fastci.node.dsl import Attack, Extension, MarkerSource, Match, parse_extension
from fastci.node.message import Field, Request, Response
from fastci.node.points import Point, list_points


def load(text: str, file: str = "own.yaml") -> Extension:
    extension, faults = parse_extension(text, file)
    assert faults == []
    assert extension is not None
    return extension


def faults_of(text: str) -> list[str]:
    extension, faults = parse_extension(text, "own.yaml")
    assert extension is None
    return faults


def extension_with(section: str, detect: str = "- response: [{body: STR_MARKER}]") -> Extension:
    """An extension with one more section beside the two that it must have."""
    return load(f"meta-info: {{type: info}}\ndetect:\n{detect}\n{section}")


def get(target: str, *headers: tuple[str, str]) -> Request:
    fields = [("Host", "shop.example"), *headers]
    return Request(
        method=b"GET",
        target=target.encode(),
        fields=tuple(Field.of(name.encode(), value.encode()) for name, value in fields),
    )


def post_json(target: str, body: str) -> Request:
    request = get(target, ("Content-Type", "application/json"), ("Content-Length", "0"))
    return Request(method=b"POST", target=request.target, fields=request.fields, body=b"").with_body(
        body.encode()
    )


def point_of(request: Request, name: str) -> Point:
    return next(point for point in list_points(request) if point.name == name)


def html(body: str, *headers: tuple[str, str], status: int = 200) -> Response:
    fields = (("Content-Type", "text/html; charset=utf-8"), *headers)
    return answer(body, *fields, status=status)


def answer(body: str | bytes, *headers: tuple[str, str], status: int = 200) -> Response:
    return Response(
        status=status,
        reason=b"Any",
        fields=tuple(Field.of(name.encode(), value.encode()) for name, value in headers),
        body=body if isinstance(body, bytes) else body.encode("utf-8", "surrogateescape"),
    )


def attack_of(detect: str, payload: str = "<STR_MARKER>", domain: str = "") -> tuple[Extension, Attack]:
    """An extension with this detect section, and one attack with that payload."""
    extension = load(
        f"meta-info: {{type: info}}\ngenerate:\n  payload:\n  - {payload!r}\ndetect:\n{detect}\n"
    )
    request = get("/p?q=tea")
    (attack,) = extension.attacks(request, point_of(request, "GET_q_value"), MarkerSource(3, domain))
    return extension, attack


def detects(
    detect: str, response_of: str, *headers: tuple[str, str], payload: str = "<STR_MARKER>"
) -> Match | None:
    """What a detect section says of an HTML page; `STR` and `RESULT` in it stand for the attack's markers."""
    extension, attack = attack_of(detect, payload)
    body = response_of.replace("STR", attack.markers.text).replace("RESULT", attack.markers.result)
    filled = [
        (name.replace("STR", attack.markers.text), value.replace("STR", attack.markers.text))
        for name, value in headers
    ]
    return extension.detect(attack, html(body, *filled))

"""Building requests and looking points up, for the tests of this folder."""

from fastci.node.message import Request, parse_request
from fastci.node.points import Point, list_points


def get(target: bytes = b"/", *headers: bytes) -> Request:
    return parse_request(
        b"GET " + target + b" HTTP/1.1\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n"
    )


def post(body: bytes, media: bytes = b"", *headers: bytes) -> Request:
    lines = [b"Host: a", *([b"Content-Type: " + media] if media else []), b"Content-Length: %d" % len(body)]
    head = b"POST /p HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in (*lines, *headers)) + b"\r\n"
    return parse_request(head, body)


def named(request: Request) -> dict[str, Point]:
    """Points by name; of several with one name the first."""
    found: dict[str, Point] = {}
    for point in list_points(request):
        found.setdefault(point.name, point)
    return found


def values(request: Request, prefix: str = "") -> dict[str, bytes]:
    return {
        name: p.value
        for name, p in named(request).items()
        if name.startswith(prefix) and name.endswith("_value")
    }


def assert_round_trip(request: Request) -> None:
    """Writing back what was read changes nothing, at every point."""
    for point in list_points(request):
        assert point.write(point.value) == request, point.name

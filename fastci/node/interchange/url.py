"""A URL as the two things that a request is made of."""

import re

from fastci.node.message import Field, Origin, Request, Response
from fastci.node.store import Baseline

_URL = re.compile(
    r"(https?)://(?:[^@/?#\s]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:@/?#]+)(?::([0-9]{1,5}))?([/?][^#\s]*)?(?:#.*)?",
    re.IGNORECASE | re.DOTALL,
)
NO_RESPONSE = Response(status=0)
"""What a request has that nobody answered yet."""


def parse_url(url: str) -> tuple[Origin, bytes]:
    """Where it leads and the target of a request for it, percent-encoded where need be. Raises ValueError."""
    parts = _URL.fullmatch(url.strip().replace(" ", "%20"))
    if not parts:
        raise ValueError(f"{url[:100]!r} is not an http:// or https:// URL")
    scheme = parts[1].lower()
    port = int(parts[3] or {"http": 80, "https": 443}[scheme])
    if not 1 <= port <= 65535:
        raise ValueError(f"{url[:100]!r} has no port from 1 to 65535")
    target = parts[4] or "/"
    if target.startswith("?"):
        target = "/" + target
    origin = Origin(scheme=scheme, host=parts[2].strip("[]").lower(), port=port)
    return origin, "".join(c if c.isascii() else _percent(c) for c in target).encode("ascii")


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def make_request(
    method: str, url: str, headers: list[tuple[str, str]], body: bytes
) -> tuple[Origin, Request]:
    """A request as a client would send it: with Host, and with a Content-Length that is true.

    Raises ValueError for what cannot be a request.
    """
    origin, target = parse_url(url)
    method = method.strip()
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", method):
        raise ValueError(f"{method[:40]!r} is not a method")
    fields = tuple(_field(name, value) for name, value in headers if not name.startswith(":"))
    request = Request(method=method.encode(), target=target, fields=fields)
    if request.get(b"host") is None:
        first = Field.of(b"Host", origin.authority.encode("idna" if not origin.host.isascii() else "ascii"))
        request = Request(method=request.method, target=target, fields=(first, *fields))
    if body or request.method in (b"POST", b"PUT", b"PATCH"):
        request = request.with_header(b"Transfer-Encoding", None)
        request = request.with_header(b"Content-Length", b"%d" % len(body)).with_body(body)
    return origin, request


def _field(name: str, value: str) -> Field:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or "\n" in value or "\r" in value:
        raise ValueError(f"{name[:40]!r}: {value[:60]!r} is not a header")
    return Field.of(name.encode(), value.encode("utf-8", "surrogateescape"))


def unanswered(origin: Origin, request: Request, started: float) -> Baseline:
    """A baseline of a request alone; its sequence is given when it is recorded."""
    return Baseline(
        sequence=0, origin=origin, request=request, response=NO_RESPONSE, started=started, duration=0.0,
        connection=0, test="", truncated=False,
    )  # fmt: skip

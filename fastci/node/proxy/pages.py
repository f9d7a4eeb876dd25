"""What the proxy answers itself: its health, its certificate, and why something did not work."""

import json
from collections.abc import Callable
from http import HTTPStatus

from fastci.node.proxy.advice import Traffic, advise

NODE_HOST = "fast.node"
"""A name that always means the node itself, so that its pages are reached through the proxy as well."""
HEALTH = b"/health"
CERTIFICATE = b"/ca.pem"
RECORD = b"/record"


def has_page(target: bytes) -> bool:
    """Whether a request target, in any form, names one of the node's pages."""
    path = target.partition(b"?")[0]
    return path.endswith((HEALTH, CERTIFICATE, RECORD))


def render_page(
    path: bytes, *, record: str, traffic: Traffic, certificate: bytes, copy: Callable[[], bytes] | None
) -> tuple[int, str, bytes]:
    """Status, content type and body of the node's page at this path (a query is ignored).

    `copy` gives the record's file; None where it is not handed out to this client.
    """
    path = path.partition(b"?")[0]
    if path == HEALTH:
        facts = {
            "status": "recording",
            "record": record,
            "baselines": traffic.baselines,
            "requests": traffic.requests,
            "seen": [[kind, host, count] for (kind, host), count in sorted(traffic.seen.items())],
            "advice": advise(traffic),
        }
        return 200, "application/json", json.dumps(facts).encode() + b"\n"
    if path == CERTIFICATE:
        return 200, "application/x-x509-ca-cert", certificate
    if path == RECORD and copy and traffic.baselines:
        return 200, "application/vnd.sqlite3", copy()
    if path == RECORD:
        why = "nothing was recorded yet" if copy else "the record is not handed out (FAST_HAND_OUT)"
        return 404, "text/plain; charset=utf-8", f"{why}\n".encode()
    text = (
        "this is a recording proxy with two pages of its own, /health and /ca.pem; "
        "to reach a target, set it as the client's HTTP proxy\n"
    )
    return 404, "text/plain; charset=utf-8", text.encode()


def render_answer(
    status: int,
    content_type: str,
    body: bytes,
    *,
    keep_alive: bool = False,
    head_only: bool = False,
    extra: tuple[str, ...] = (),
) -> bytes:
    """A whole response of the proxy itself."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if head_only else body)


def render_error(status: int, reason: str) -> bytes:
    """A whole response that says in one line why there is no other."""
    line = " ".join(reason.split())
    extra = ('Proxy-Authenticate: Basic realm="FAST proxy"',) if status == 407 else ()
    return render_answer(status, "text/plain; charset=utf-8", f"FAST proxy: {line}\n".encode(), extra=extra)

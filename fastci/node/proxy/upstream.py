"""An HTTP proxy between this one and the targets, as companies have them."""

import asyncio
import base64
import re
from dataclasses import dataclass
from urllib.parse import unquote

from fastci.config import Settings
from fastci.errors import ConfigurationError
from fastci.node.proxy.filters import HostFilter

_URL = re.compile(r"http://(?:([^@/]*)@)?(\[[^\]]*\]|[^:/]+):([0-9]+)/?\Z")
_LOCAL = "localhost .localhost ~^127\\. ::1"


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """Where it listens, what it wants to hear, and which hosts are reached without it."""

    host: str
    port: int
    credentials: bytes
    bypass: HostFilter

    def connect(self, authority: bytes) -> bytes:
        """A request for a tunnel to `authority`."""
        lines = [b"CONNECT " + authority + b" HTTP/1.1", b"Host: " + authority, *self._own(), b"", b""]
        return b"\r\n".join(lines)

    def dress(self, head: bytes, authority: bytes) -> bytes:
        """The head of a plain request in absolute form, as a proxy wants it."""
        method, target, rest = head.split(b" ", 2)
        version, line_end, fields = rest.partition(b"\n")
        own = b"".join(line + b"\r\n" for line in self._own())
        target = b"http://" + authority + (b"" if target == b"*" else target)
        return method + b" " + target + b" " + version + line_end + own + fields

    def _own(self) -> list[bytes]:
        return [b"Proxy-Authorization: " + self.credentials] if self.credentials else []


class Tunnel:
    """Waits for the answer to CONNECT: `answer` has its first bytes, or fails when none comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[bytes] = loop.create_future()

    def on_finished(self, last: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(last)

    def on_failed(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(reason))

    def on_piece(self, data: bytes) -> None:
        # The beginning of a refusal is enough to know that it is one.
        self.on_finished(data)

    def on_interim(self, data: bytes) -> None: ...
    def on_upgraded(self, data: bytes) -> None: ...
    def on_raw(self, data: bytes) -> None: ...
    def on_raw_end(self) -> None: ...
    def on_lost(self) -> None: ...
    def on_target_full(self, is_full: bool) -> None: ...


def parse_upstream(settings: Settings) -> Upstream | None:
    """The upstream proxy of the settings. Raises ConfigurationError."""
    parts = _URL.match(settings.fast_upstream_proxy)
    if not parts:
        return None
    try:
        bypass = HostFilter.parse(settings.fast_no_proxy or _LOCAL)
    except ValueError as error:
        raise ConfigurationError(
            [f"FAST_NO_PROXY={settings.fast_no_proxy!r} is not allowed: {error}"]
        ) from error
    return Upstream(
        host=parts[2].strip("[]"),
        port=int(parts[3]),
        credentials=render_credentials(unquote(parts[1] or "")),
        bypass=bypass,
    )


def render_credentials(name_and_password: str) -> bytes:
    """The value of Proxy-Authorization for `name:password` (RFC 7617); empty for none."""
    if not name_and_password:
        return b""
    return b"Basic " + base64.b64encode(name_and_password.encode())

"""How targets are reached, while recording and while testing: through a company's HTTP proxy, and by TLS."""

import base64
import ipaddress
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from fastci.config import Settings
from fastci.errors import ConfigurationError
from fastci.node.hosts import HostFilter

_URL = re.compile(r"http://(?:([^@/]*)@)?(\[[^\]]*\]|[^:/]+):([0-9]+)/?\Z")
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")))
"""Where clouds answer questions about a machine outside of the link-local ranges."""
_LOCAL = "localhost .localhost ~^127\\. ::1"


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """An HTTP proxy between this node and the targets, as companies have them.

    Where it listens, what it wants to hear, and which hosts are reached without it.
    """

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


def load_context(settings: Settings) -> ssl.SSLContext:
    """How TLS is spoken with targets.

    Their certificates are not verified unless FAST_TARGET_CA asks for it: what is tested wears self-signed
    ones, and whoever could stand between the node and its target is in the test network already.
    Raises ConfigurationError for files that do not work.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    if settings.fast_target_ca:
        _load("FAST_TARGET_CA", settings.fast_target_ca, lambda path: _trust(context, path))
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # A target in a test network may be as old as it likes.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.options |= 0x4  # SSL_OP_LEGACY_SERVER_CONNECT, which the ssl module names from 3.12 on
    if settings.fast_target_cert:
        _load("FAST_TARGET_CERT", settings.fast_target_cert, context.load_cert_chain)
    return context


def _trust(context: ssl.SSLContext, path: str) -> None:
    if path == "system":
        context.load_default_certs()
    else:
        context.load_verify_locations(path)


def _load(name: str, path: str, load: Callable[[str], None]) -> None:
    try:
        load(path)
    except OSError as error:
        raise ConfigurationError([f"{name}={path!r} cannot be used{because(error)}"]) from error


def is_link_local(host: str) -> bool:
    """Whether it is an address of this link, where clouds keep what they know of a machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_link_local or address in _METADATA


def because(error: Exception | None) -> str:
    """`: reason` to end a message with, empty when there is none."""
    if error is None:
        return ""
    number = getattr(error, "errno", None) or 0
    # The loops wrap the system's words in their own; numbers of name resolution are below zero.
    text = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
    return f": {text}" if text else ""

"""Where a request goes: absolute targets and the authorities of CONNECT (RFC 9112, section 3.2)."""

import re
from dataclasses import dataclass

from fastci.node.message import Origin
from fastci.node.proxy.target import Key
from fastci.node.proxy.wire import BadMessage

_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_AUTHORITY = re.compile(
    r"(?:[^@]*@)?(\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z]+)?\]|[^\s\[\]:@/]+)(?::([0-9]{0,5}))?\Z"
)
_SHORTEST = len("http://")
_REMEMBERED = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An origin as it is recorded, the key of its connections, and how a Host header names it."""

    origin: Origin
    key: Key
    authority: bytes


class Places:
    """Reads targets. Ports of BACKEND_HTTPS_PORTS are spoken to with TLS whatever the client says."""

    def __init__(self, https_ports: tuple[int, ...]) -> None:
        self._https_ports = frozenset(https_ports)
        self._known: dict[bytes, Place] = {}

    def of_target(self, target: bytes, method: bytes) -> tuple[Place, bytes]:
        """The place of an absolute target and the origin form of the rest. Raises BadMessage."""
        slash = target.find(b"/", _SHORTEST)
        place = self._known.get(target[:slash])
        if place and slash > 0 and b"#" not in target:
            return place, target[slash:]
        parts = _ABSOLUTE.match(target)
        if not parts:
            raise BadMessage(f"{target[:60]!r} is neither an http:// URL nor a page of this proxy")
        start = target[: parts.end(2)]
        place = self._known.get(start)
        if place is None:
            scheme = parts[1].decode().lower()
            host, port = parse_authority(parts[2], {"http": 80, "https": 443}[scheme])
            place = self.of(host, port, secure=scheme == "https")
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[start] = place
        path = parts[3]
        if path[:1] == b"/":
            return place, path
        return place, b"*" if not path and method == b"OPTIONS" else b"/" + path

    def of(self, host: str, port: int, *, secure: bool, server_name: str = "") -> Place:
        """The place of a host and a port."""
        secure = secure or port in self._https_ports
        scheme = "https" if secure else "http"
        origin = Origin(scheme=scheme, host=host, port=port)
        key = Key(scheme=scheme, host=host, port=port, server_name=server_name or host if secure else "")
        return Place(origin=origin, key=key, authority=origin.authority.encode("latin-1"))


def parse_authority(authority: bytes, default_port: int = 0) -> tuple[str, int]:
    """Host without brackets, in lower case, and port; user information is left out. Raises BadMessage."""
    parts = _AUTHORITY.match(authority.decode("latin-1"))
    port = int(parts[2] or default_port) if parts else 0
    if not parts or not 1 <= port <= 65535:
        raise BadMessage(f"{authority[:60]!r} does not name a host and a port")
    return parts[1].strip("[]").lower(), port

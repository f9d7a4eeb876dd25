"""Where test requests may go: the target authority and nowhere else."""

from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from fastci.node.dsl import Credentials
from fastci.node.message import Origin, Request
from fastci.node.store import Baseline

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where the requests of one recorded origin go. `base` is a path that stands before every target."""

    recorded: Origin
    origin: Origin
    base: bytes

    def url(self, target: bytes) -> str:
        """The address of a request target, for people."""
        path = target if target.startswith(b"/") else b"/" + target
        return str(self.origin) + (self.base + path).decode("latin-1")

    def address(self, target: bytes) -> bytes:
        """The request target as it is sent; one that is no path (attacks make such) stays as it is."""
        return self.base + target if self.base and target.startswith(b"/") else target

    def inside(self, request: Request, location: bytes) -> bytes | None:
        """The request target a redirect leads to, None when it leaves the authority or means nothing.

        An absolute address of the recorded authority counts as inside: the target may build its links from
        a configured name.
        """
        try:
            parts = urlsplit(urljoin(self.url(request.target), location.decode("latin-1").strip()))
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError:
            return None
        place = (parts.hostname or "", port)
        if place not in ((o.host.lower(), o.port) for o in (self.origin, self.recorded)):
            return None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        target = path.encode("latin-1", "replace").replace(b" ", b"%20")
        if self.base and target.startswith(self.base + b"/"):
            target = target[len(self.base) :]
        return target if target.isascii() and not set(target) & set(b"\r\n\t") else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """`replacement` is TEST_RUN_URI parsed, None where baselines go to the origin they were recorded from.

    `credentials` go into every request that is made from a baseline.
    """

    replacement: Origin | None
    base: bytes
    tls_ports: frozenset[int]
    credentials: Credentials = field(default_factory=Credentials)

    @classmethod
    def parse(cls, test_run_uri: str, backend_https_ports: tuple[int, ...]) -> "Scope":
        """From the settings TEST_RUN_URI and BACKEND_HTTPS_PORTS."""
        ports = frozenset(backend_https_ports)
        if not test_run_uri:
            return cls(replacement=None, base=b"", tls_ports=ports)
        parts = urlsplit(test_run_uri)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        origin = Origin(scheme=parts.scheme, host=parts.hostname or "", port=port)
        return cls(replacement=origin, base=parts.path.rstrip("/").encode(), tls_ports=ports)

    def target(self, recorded: Origin) -> Target:
        """Where requests recorded for this origin go now."""
        origin = self.replacement or recorded
        if origin.port in self.tls_ports and origin.scheme == "http":
            origin = Origin(scheme="https", host=origin.host, port=origin.port)
        return Target(recorded=recorded, origin=origin, base=self.base)

    def request(self, baseline: Baseline) -> Request:
        """The baseline's request as it must be for the target now; every other byte stays as recorded.

        Host, Origin and Referer follow TEST_RUN_URI (a target compares them). Answers are asked for without
        content coding: they are to be read, and brotli or zstd could not be.
        """
        request = self.credentials.apply(baseline.request)
        if request.get(b"accept-encoding") is not None:
            request = request.with_header(b"Accept-Encoding", b"identity")
        if self.replacement is None:
            return request
        if request.get(b"host") is not None:
            request = request.with_header(b"Host", self.replacement.authority.encode())
        was, now = str(baseline.origin).encode(), str(self.replacement).encode()
        for name, base in ((b"Origin", b""), (b"Referer", self.base)):
            value = request.get(name)
            if value is not None and (value == was or value.startswith(was + b"/")):
                request = request.with_header(name, now + base + value[len(was) :])
        return request

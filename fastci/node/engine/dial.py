"""Opening connections: only to where test requests may go, through a company's proxy where there is one."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from fastci.config import Settings
from fastci.node.hosts import HostFilter
from fastci.node.message import Origin
from fastci.node.ways import Upstream, is_link_local, load_context, parse_upstream

_LARGEST_HEAD = 16 << 10

P = TypeVar("P", bound=asyncio.Protocol)


class Unreachable(ConnectionError):
    """No connection could be made: refused, no route, unknown name, TLS failed, or too slow."""


class Forbidden(Unreachable):
    """The target is out of bounds: nothing was sent to it, nor will be."""


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How targets are reached. `public` are the hosts at public addresses that may be tested."""

    context: ssl.SSLContext
    upstream: Upstream | None = None
    public: HostFilter
    link_local: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Ways":
        """Raises ConfigurationError for files that cannot be used."""
        return cls(
            context=load_context(settings),
            upstream=parse_upstream(settings),
            public=HostFilter.parse(settings.fast_public_targets, empty=False),
            link_local=settings.fast_link_local,
        )

    def courier(self, origin: Origin) -> Upstream | None:
        """The proxy that takes plain requests for this origin; None where the target itself is spoken to."""
        return self._upstream(origin) if origin.scheme == "http" else None

    async def open(self, origin: Origin, make: Callable[[], P], *, tunnel: bool = False) -> P:
        """A connection to the origin, or to the proxy that takes plain requests for it; `tunnel` goes to the
        origin itself in any case. Raises OSError kinds, Forbidden among them.
        """
        loop = asyncio.get_running_loop()
        upstream = self._upstream(origin)
        addresses = await self._addresses(origin, through_proxy=upstream is not None)
        secure = origin.scheme == "https"
        if upstream is None:
            return await self._connect(addresses, origin, make)
        if not secure and not tunnel:
            _, protocol = await loop.create_connection(make, upstream.host, upstream.port)
            return protocol
        return await self._open_tunnel(upstream, origin, make)

    def _upstream(self, origin: Origin) -> Upstream | None:
        upstream = self.upstream
        return None if upstream is None or upstream.bypass.admits(origin.host) else upstream

    async def _connect(self, addresses: Sequence[str], origin: Origin, make: Callable[[], P]) -> P:
        """To the first address that takes it: a name such as localhost may have several."""
        loop, secure = asyncio.get_running_loop(), origin.scheme == "https"
        failure = OSError(f"{origin.host} has no address")
        for address in addresses:
            try:
                _, protocol = await loop.create_connection(
                    make,
                    address,
                    origin.port,
                    ssl=self.context if secure else None,
                    server_hostname=origin.host if secure else None,
                )
            except OSError as error:
                failure = error
            else:
                return protocol
        raise failure

    async def _addresses(self, origin: Origin, *, through_proxy: bool) -> list[str]:
        """The addresses of a host, each looked at: a name may mean another one when it is asked for again.

        Behind a proxy names may be known to that alone; what cannot be looked at counts as public.
        """
        host, loop = origin.host, asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM)
        except OSError:
            if not through_proxy:
                raise
            found = []
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if is_link_local(address) and not self.link_local:
                raise Forbidden(f"{host} is a link-local address; FAST_LINK_LOCAL=true allows it")
        public = [address for address in addresses if _is_public(address)]
        if (public or not addresses) and not self.public.admits(host):
            what = (
                f"is at the public address {public[0]}" if public else "is a name that only the proxy knows"
            )
            raise Forbidden(
                f"{host} {what}: nothing was sent. Where you may attack it, set FAST_PUBLIC_TARGETS={host}"
            )
        return addresses

    async def _open_tunnel(self, upstream: Upstream, origin: Origin, make: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        where = f"[{origin.host}]" if ":" in origin.host else origin.host
        authority = f"{where}:{origin.port}"
        _, knock = await loop.create_connection(lambda: _Knock(loop), upstream.host, upstream.port)
        transport = knock.transport
        try:
            transport.write(upstream.connect(authority.encode()))
            head = await knock.answer
            said = head.partition(b"\r\n")[0].decode("latin-1")
            if not said.partition(" ")[2].startswith("2"):
                raise Unreachable(f"the upstream proxy opens no way to {authority}: {said}")
            protocol = make()
            if origin.scheme == "https":
                secured = await loop.start_tls(transport, protocol, self.context, server_hostname=origin.host)
                transport = cast(asyncio.Transport, secured)
            else:
                transport.set_protocol(protocol)
        except BaseException:
            transport.abort()
            raise
        protocol.connection_made(transport)
        return protocol


class _Knock(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT: `answer` is its head."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[bytes] = loop.create_future()
        self._head = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._head += data
        if (b"\r\n\r\n" in self._head or len(self._head) > _LARGEST_HEAD) and not self.answer.done():
            self.answer.set_result(self._head)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(Unreachable(f"the upstream proxy closed the connection {error or ''}"))


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return found.is_global and not found.is_multicast

"""Opens connections to targets, and keeps idle ones for whoever comes next."""

import asyncio
import ipaddress
import socket
import ssl
import weakref
from collections.abc import Sequence

from fastci.node.proxy.target import Key, Target, TargetError
from fastci.node.ways import Upstream, because, is_link_local

IDLE_CONNECTIONS = 256


class Tunnel:
    """Waits for the answer to CONNECT: `answer` has its first bytes, or fails when none comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[bytes] = loop.create_future()

    def on_finished(self, last: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(last)

    def on_opened(self, data: bytes) -> None:
        self.on_finished(data)

    def on_failed(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(reason))

    def on_piece(self, data: bytes) -> None:
        # The beginning of a refusal is enough to know that it is one.
        self.on_finished(data)

    def on_interim(self, data: bytes) -> None: ...
    def on_upgraded(self, data: bytes) -> None: ...
    def on_end(self) -> bool:
        return False

    def on_broken_off(self, error: Exception | None) -> None: ...
    def on_raw(self, data: bytes) -> None: ...
    def on_unasked(self, data: bytes) -> None: ...
    def on_lost(self, error: Exception | None) -> None: ...
    def on_target_full(self, is_full: bool) -> None: ...


class Dialer:
    """The way to targets, past an upstream proxy if there is one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        context: ssl.SSLContext,
        upstream: Upstream | None = None,
        link_local: bool = False,
        connect_timeout: float,
        idle: float = 0.3,
    ) -> None:
        """`idle` is how long a connection that no client holds is kept, in seconds.

        Enough for a test tool that connects anew for every request; short, because a server with one thread
        serves nobody else while a connection to it is open, and a direct client would have closed it.
        """
        self._loop = loop
        self._upstream = upstream
        self._link_local = link_local
        self._connect_timeout = connect_timeout
        self._idle_seconds = idle
        self._own: list[tuple[str, int]] = []
        self._idle: dict[Key, list[Target]] = {}
        self._made: weakref.WeakSet[Target] = weakref.WeakSet()
        self._count = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._context = context

    def refuse(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Addresses this proxy listens on: it does not talk to itself."""
        self._own = list(addresses)

    def take(self, key: Key) -> Target | None:
        """An idle connection that somebody left, the youngest one."""
        kept = self._idle.get(key)
        while kept:
            target = kept.pop()
            self._count -= 1
            if not target.closed:
                return target
        self._idle.pop(key, None)
        return None

    def has(self, host: str, port: int) -> bool:
        """Whether there is an idle TLS connection to this place."""
        return any(
            k.scheme == "https" and (k.host, k.port) == (host, port) and any(not t.closed for t in kept)
            for k, kept in self._idle.items()
        )

    def give(self, target: Target) -> None:
        """Take back a connection whose response was read; it is closed if it cannot be used again."""
        target.detach()
        fit = target.reusable and target.shareable and not target.closed
        if not fit or not target.key or self._count >= IDLE_CONNECTIONS:
            target.close()
            return
        target.pause(False)
        target.idle_since = self._loop.time()
        self._idle.setdefault(target.key, []).append(target)
        self._count += 1
        if not self._sweeping:
            self._sweeping = self._loop.call_later(self._idle_seconds, self._sweep)

    async def open(self, host: str, port: int, *, plain: bool = False) -> Target:
        """A new connection; `plain` when it is for HTTP without TLS only. Raises TargetError."""
        upstream = self._upstream
        if not self._link_local and is_link_local(host):
            raise TargetError(f"{host} is a link-local address; FAST_LINK_LOCAL=true allows it", 403)
        if upstream is None or upstream.bypass.admits(host):
            return await self._connect(host, port)
        target = await self._connect(upstream.host, upstream.port)
        if plain:
            target.courier = upstream
        else:
            await self._open_tunnel(target, upstream, host, port)
        return target

    async def _open_tunnel(self, target: Target, upstream: Upstream, host: str, port: int) -> None:
        tunnel = Tunnel(self._loop)
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        target.begin(tunnel, b"CONNECT", 0, upstream.connect(authority.encode()))
        try:
            async with asyncio.timeout(self._connect_timeout):
                answer = await tunnel.answer
        except (TimeoutError, ConnectionError) as error:
            target.close()
            status = 504 if isinstance(error, TimeoutError) else 502
            raise TargetError(
                f"the upstream proxy opens no way to {authority}{because(error)}", status
            ) from error
        said = answer.partition(b"\r\n")[0].decode("latin-1")
        if not said.partition(" ")[2].startswith("2"):
            target.close()
            raise TargetError(f"the upstream proxy opens no way to {authority}: {said}")

    async def _connect(self, host: str, port: int) -> Target:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, target = await self._loop.create_connection(lambda: Target(self._loop), host, port)
                self._made.add(target)
        except TimeoutError as error:
            raise TargetError(f"{where} did not answer within {self._connect_timeout:g} s", 504) from error
        except socket.gaierror as error:
            raise TargetError(f"the name {host} cannot be resolved{because(error)}") from error
        except (OSError, UnicodeError) as error:
            raise TargetError(f"no connection to {where}{because(error)}") from error
        if self._is_self(target):
            target.close()
            raise TargetError(f"{where} is this proxy itself", 508)
        if not self._link_local and isinstance(target.peer, tuple) and is_link_local(target.peer[0]):
            target.close()
            raise TargetError(f"{where} is a link-local address; FAST_LINK_LOCAL=true allows it", 403)
        return target

    async def secure(self, target: Target, server_name: str) -> None:
        """TLS over an open connection. Raises TargetError; the connection is closed then."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                await target.secure(self._context, server_name)
        except TimeoutError as error:
            target.close()
            raise TargetError(f"no TLS handshake within {self._connect_timeout:g} s", 504) from error
        except TargetError:
            target.close()
            raise

    def close(self) -> None:
        """Part from all targets, from those too that have not taken yet what was written to them."""
        self._sweep(everything=True)
        for target in list(self._made):
            if target.unsent:
                target.abort()

    def _sweep(self, *, everything: bool = False) -> None:
        now, idle = self._loop.time(), self._idle
        self._idle, self._count = {}, 0
        for key, kept in idle.items():
            for target in kept:
                if everything or target.closed or now - target.idle_since >= self._idle_seconds:
                    target.close()
                else:
                    self._idle.setdefault(key, []).append(target)
                    self._count += 1
        if self._sweeping:
            self._sweeping.cancel()
        self._sweeping = self._loop.call_later(self._idle_seconds, self._sweep) if self._count else None

    def _is_self(self, target: Target) -> bool:
        if not (isinstance(target.peer, tuple) and isinstance(target.local, tuple)):
            return False
        peer, port = ipaddress.ip_address(target.peer[0]), target.peer[1]
        # Linux reaches an address of its own from that very address; all of 127/8 from 127.0.0.1.
        here = peer.is_loopback or target.peer[0] == target.local[0]
        for own_host, own_port in self._own:
            own = ipaddress.ip_address(own_host)
            if port == own_port and (peer == own or (own.is_unspecified and here)):
                return True
        return False

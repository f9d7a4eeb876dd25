"""Opens connections to targets, and keeps idle ones for whoever comes next."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence

from fastci.node.proxy.target import Key, Target, TargetError, because

IDLE_SECONDS = 0.3
"""How long a connection that no client holds is kept.

Enough for a test tool that connects anew for every request; short, because a server with one thread serves
nobody else while a connection to it is open, and a direct client would have closed it.
"""
IDLE_CONNECTIONS = 256


class Dialer:
    """The way to targets.

    Certificates of targets are not verified: what is tested wears self-signed ones, and whoever could stand
    between the node and its target is in the test network already.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, connect_timeout: float) -> None:
        self._loop = loop
        self._connect_timeout = connect_timeout
        self._own: list[tuple[str, int]] = []
        self._idle: dict[Key, list[Target]] = {}
        self._count = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._context = _client_context()

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
        if target.closed or not target.reusable or not target.key or self._count >= IDLE_CONNECTIONS:
            target.close()
            return
        target.pause(False)
        target.idle_since = self._loop.time()
        self._idle.setdefault(target.key, []).append(target)
        self._count += 1
        if not self._sweeping:
            self._sweeping = self._loop.call_later(IDLE_SECONDS, self._sweep)

    async def open(self, host: str, port: int) -> Target:
        """A new connection. Raises TargetError."""
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, target = await self._loop.create_connection(lambda: Target(self._loop), host, port)
        except TimeoutError as error:
            raise TargetError(f"{where} did not answer within {self._connect_timeout:g} s", 504) from error
        except socket.gaierror as error:
            raise TargetError(f"the name {host} cannot be resolved{because(error)}") from error
        except (OSError, UnicodeError) as error:
            raise TargetError(f"no connection to {where}{because(error)}") from error
        if self._is_self(target):
            target.close()
            raise TargetError(f"{where} is this proxy itself", 508)
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
        self._sweep(everything=True)

    def _sweep(self, *, everything: bool = False) -> None:
        now, idle = self._loop.time(), self._idle
        self._idle, self._count = {}, 0
        for key, kept in idle.items():
            for target in kept:
                if everything or target.closed or now - target.idle_since >= IDLE_SECONDS:
                    target.close()
                else:
                    self._idle.setdefault(key, []).append(target)
                    self._count += 1
        if self._sweeping:
            self._sweeping.cancel()
        self._sweeping = self._loop.call_later(IDLE_SECONDS, self._sweep) if self._count else None

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


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # A target in a test network may be as old as it likes.
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.options |= 0x4  # SSL_OP_LEGACY_SERVER_CONNECT, which the ssl module names from 3.12 on
    context.set_alpn_protocols(["http/1.1"])
    return context

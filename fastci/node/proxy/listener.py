"""The recording proxy as a whole: listens, stops, reports."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastci.config import Settings
from fastci.errors import ConfigurationError, TechnicalError
from fastci.node.hosts import HostFilter
from fastci.node.proxy.advice import advise
from fastci.node.proxy.authority import Authority
from fastci.node.proxy.dialer import Dialer
from fastci.node.proxy.journal import Journal
from fastci.node.proxy.place import Places
from fastci.node.proxy.relay import Proxy
from fastci.node.proxy.source import Source
from fastci.node.store import Recorder
from fastci.node.ways import because, load_context, parse_upstream, render_credentials

Say = Callable[[str], None]

_BACKLOG = 1024
_CHECK_SECONDS = 1.0
_IDLE_SECONDS = 0.2
"""Without a new baseline for this long there is time to tidy the record up."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long is waited, in seconds: for a connection or a TLS handshake, for the first byte of a response,
    for exchanges under way when the proxy is stopped, for the next user of a connection to a target, for the
    next request of a client whose target has closed."""

    connect: float = 10.0
    response: float = 300.0
    stop: float = 2.0
    idle: float = 0.3
    idle_end: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ProxyReport:
    """What a proxy did: recorded exchanges, client connections, and when the last baseline came.

    `advice` says why others were not recorded.
    `last_baseline` is in seconds of time.monotonic(), None when there was none. `seen` counts by kind and
    host what passed without being recorded: "filtered"; unread "http2" (gRPC too), "untouched" (as
    FAST_TUNNEL_HOSTS asks) and "tunnel" (whatever else); "websocket" and "upgrade" (to another protocol);
    "tls-rejected", "tls-to-proxy", "client-left", "upstream-failed", "unauthorized", "address-refused",
    "bad-request".
    """

    baselines: int
    connections: int
    last_baseline: float | None
    seen: dict[tuple[str, str], int]
    advice: list[str]


async def serve(
    settings: Settings,
    recorder: Recorder,
    *,
    authority: Authority,
    stop: asyncio.Event,
    say: Say,
    on_ready: Callable[[str, int], None] = lambda host, port: None,
    patience: Patience = Patience(),
) -> ProxyReport:
    """Record what passes until `stop` is set; `on_ready` is told the address once it is listened on.

    The recorder stays open. Raises TechnicalError when the port cannot be had, or when the record could not
    be written: then nothing was delivered to a client that is not recorded.
    """
    loop = asyncio.get_running_loop()
    failures: list[TechnicalError] = []
    halt = asyncio.Event()
    empty = asyncio.Event()

    def fail(error: TechnicalError) -> None:
        failures.append(error)
        halt.set()

    proxy = Proxy(
        loop=loop,
        recorder=recorder,
        journal=Journal(recorder, loop, fail),
        dialer=Dialer(
            loop,
            context=load_context(settings),
            upstream=parse_upstream(settings),
            link_local=settings.fast_link_local,
            connect_timeout=patience.connect,
            idle=patience.idle,
        ),
        places=Places(settings.backend_https_ports),
        authority=authority,
        admitted=_parse_hosts("ALLOWED_HOSTS", settings.allowed_hosts, empty=True),
        untouched=_parse_hosts("FAST_TUNNEL_HOSTS", settings.fast_tunnel_hosts, empty=False),
        credentials=render_credentials(settings.fast_proxy_auth),
        hand_out=settings.fast_hand_out,
        allowed_hosts=settings.allowed_hosts,
        max_body=settings.fast_max_body,
        response_timeout=patience.response,
        idle_end=patience.idle_end,
        say=say,
        on_empty=empty.set,
    )
    server = await _listen(loop, proxy, settings.fast_listen)
    chores = [loop.create_task(_check(proxy)), loop.create_task(_tidy(proxy))]
    try:
        on_ready(*server.sockets[0].getsockname()[:2])
        await _first(stop, halt)
    finally:
        server.close()
        for chore in chores:
            chore.cancel()
        await _finish(proxy, empty, 0.0 if failures else patience.stop)
    if failures:
        raise failures[0]
    return ProxyReport(
        baselines=recorder.count,
        connections=proxy.connections,
        last_baseline=proxy.journal.last,
        seen=recorder.seen,
        advice=advise(proxy.traffic),
    )


def _parse_hosts(name: str, text: str, *, empty: bool) -> HostFilter:
    try:
        return HostFilter.parse(text, empty=empty)
    except ValueError as error:
        raise ConfigurationError([f"{name}={text[:80]!r} is not allowed: {error}"]) from error


async def _listen(loop: asyncio.AbstractEventLoop, proxy: Proxy, address: tuple[str, int]) -> asyncio.Server:
    host, port = address
    try:
        server = await loop.create_server(lambda: Source(proxy), host, port, backlog=_BACKLOG)
    except OSError as error:
        raise TechnicalError(
            f"the proxy cannot listen on {host}:{port}",
            why=because(error).removeprefix(": "),
            hint="stop what uses that port, or name another address in FAST_LISTEN",
        ) from error
    proxy.dialer.refuse([sock.getsockname()[:2] for sock in server.sockets])
    return server


async def _check(proxy: Proxy) -> None:
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        now = time.monotonic()
        for relay in list(proxy.relays):
            relay.check(now)


async def _tidy(proxy: Proxy) -> None:
    """Take the record's tail over into its file while the tests think, so that little is left for the end."""
    count = -1
    while True:
        await asyncio.sleep(_IDLE_SECONDS)
        while proxy.recorder.count == count and proxy.recorder.tidy():
            await asyncio.sleep(0)
        count = proxy.recorder.count


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _finish(proxy: Proxy, empty: asyncio.Event, seconds: float) -> None:
    """Let exchanges under way end within `seconds`, then part from everybody."""
    proxy.stopping = True
    for relay in list(proxy.relays):
        relay.finish()
    empty.clear()
    if proxy.relays and seconds:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(empty.wait(), seconds)
    proxy.journal.flush()
    for relay in list(proxy.relays):
        relay.abort()
    proxy.dialer.close()

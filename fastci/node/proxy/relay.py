"""One exchange after the other: a request to its target, the response back, both into the record."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from fastci.node.hosts import HostFilter
from fastci.node.proxy.advice import Traffic
from fastci.node.proxy.authority import Authority
from fastci.node.proxy.connection import Connection
from fastci.node.proxy.dialer import Dialer
from fastci.node.proxy.journal import Journal
from fastci.node.proxy.place import Place, Places
from fastci.node.proxy.target import Target, TargetError
from fastci.node.proxy.wire import BadMessage, Body, RequestHead
from fastci.node.store import Recorder, Row

_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
_WEBSOCKET = re.compile(rb"(?i)\nupgrade[ \t]*:[ \t]*websocket")
_IDEMPOTENT = _SAFE | {b"PUT", b"DELETE"}

IDLE = "idle"
"""Reading the head of the next request."""
OPENING = "opening"
"""Waiting for a connection to the target."""
SENDING = "sending"
"""Passing on the body of a request."""
WAITING = "waiting"
"""The request is sent; its response, or its place in the record, is awaited."""
SNIFFING = "sniffing"
"""After CONNECT, before the first bytes tell what is spoken."""
TUNNEL = "tunnel"
"""Passing on bytes that are none of our business."""


@dataclass(kw_only=True)
class Proxy:
    """What all connections of one proxy share."""

    loop: asyncio.AbstractEventLoop
    recorder: Recorder
    journal: Journal
    dialer: Dialer
    places: Places
    authority: Authority
    admitted: HostFilter
    untouched: HostFilter
    """Hosts whose TLS is not intercepted."""
    credentials: bytes
    """What clients must say in Proxy-Authorization; empty when nothing is asked."""
    hand_out: bool
    """Whether clients may take the record."""
    max_body: int
    response_timeout: float
    idle_end: float
    """Seconds until a client that is idle sees that the target has closed."""
    say: Callable[[str], None]
    on_empty: Callable[[], None]
    relays: "set[Relay]" = field(default_factory=set)
    allowed_hosts: str = ""
    connections: int = 0
    requests: int = 0
    """Requests to targets, and tunnels asked for."""
    silent: int = 0
    """Connections that ended without a word."""
    refusers: dict[str, str] = field(default_factory=dict)
    """What clients call themselves who did not accept the certificate for a host."""
    stopping: bool = False
    distrusted: set[str] = field(default_factory=set)

    @property
    def traffic(self) -> Traffic:
        """What came so far."""
        return Traffic(
            baselines=self.recorder.count,
            requests=self.requests,
            silent=self.silent,
            seen=self.recorder.seen,
            clients=self.refusers,
            allowed_hosts=self.allowed_hosts,
        )


class Exchange:
    """A request on its way, until its response is delivered."""

    __slots__ = ("begun", "body", "delivered", "finished", "forward", "head", "place", "recorded", "retried",
                 "stale", "started")  # fmt: skip

    def __init__(
        self, head: RequestHead, place: Place, forward: bytes, body: Body | None, recorded: bool
    ) -> None:
        self.head = head
        self.place = place
        self.forward = forward
        self.body = body
        self.recorded = recorded
        self.started = time.time()
        self.begun = time.monotonic()
        self.stale = False
        """It went over a connection that had been used before, so that one may have died of age."""
        self.retried = False
        self.finished = False
        """The whole response is here."""
        self.delivered = False
        """The whole response is with the client, although the request may still be on its way."""

    @property
    def sent(self) -> bool:
        return self.body is None or self.body.done


class Relay(Connection):
    """The client's side of exchanges, one at a time; a subclass reads requests and calls `exchange`."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy.loop)
        proxy.connections += 1
        self.number = proxy.connections
        self.state = IDLE
        self.proxy = proxy
        self.buffer = b""
        """What the client sent and nobody has taken yet."""
        self.target: Target | None = None
        self.current: Exchange | None = None
        self.half_closed = False
        self.alone = False
        """All requests of this connection are for one origin."""
        self._last = b""
        self._task: asyncio.Task[None] | None = None
        self._full = False

    # for subclasses to override

    def advance(self) -> None:
        """Go on with what is in the buffer."""

    def refuse(self, status: int, reason: str) -> None:
        """Answer in the target's place and part from this client."""

    def finish(self) -> None:
        """Close as soon as what is under way is done."""

    # a request begins

    def exchange(self, head: RequestHead, place: Place, forward: bytes) -> None:
        """Send this request to its target, with the body that follows in the buffer."""
        proxy = self.proxy
        proxy.requests += 1
        recorded = proxy.admitted.admits_header(head.host or place.authority)
        if head.canary:
            proxy.recorder.see("canary" if recorded else "canary-filtered", place.origin.host)
            recorded = False
        elif not recorded:
            proxy.recorder.see("filtered", place.origin.host)
        body = head.body(proxy.max_body if recorded else 0) if head.length else None
        exchange = self.current = Exchange(head, place, forward, body, recorded)
        target = self._ready_target(exchange)
        if target:
            self._start(exchange, target)
        else:
            self._open(exchange)

    def feed_body(self) -> None:
        """Pass on what the buffer has of the request's body."""
        exchange, data = self.current, self.buffer
        assert exchange
        assert exchange.body
        try:
            stop = exchange.body.feed(data, 0)
        except BadMessage as error:
            self.refuse(error.status, str(error))
            return
        self.buffer = data[stop:]
        if self.target:
            self.target.write(data if stop == len(data) else data[:stop])
        if exchange.body.done:
            self.state = WAITING
            if exchange.delivered:
                self.complete(exchange)
            else:
                self.pass_end_on()

    def pass_end_on(self) -> None:
        """Let the target know that the client sends no more, once it has all that was sent."""
        exchange, target = self.current, self.target
        if self.half_closed and exchange and target and not self.buffer and not target.said_all:
            self.state = WAITING
            target.reusable = False
            target.end(ragged=self.ragged)

    def _ready_target(self, exchange: Exchange) -> Target | None:
        key, target = exchange.place.key, self.target
        if target is not None:
            if target.closed:
                self.target = None
            elif target.key is key or target.key == key:
                return target
            elif target.key is None:
                # The connection that CONNECT opened; for TLS it has to be secured first.
                return target if key.scheme == "http" else None
            else:
                self.let_go()
        # What somebody else left may be about to close: only for a request that can be repeated.
        if exchange.body is None and exchange.head.method in _SAFE:
            return self.proxy.dialer.take(key)
        return None

    def _open(self, exchange: Exchange) -> None:
        self.state = OPENING
        self.run(self._open_target(exchange))

    async def _open_target(self, exchange: Exchange) -> None:
        key, dialer = exchange.place.key, self.proxy.dialer
        target = self.target
        try:
            if target is None:
                target = self.target = await dialer.open(key.host, key.port, plain=key.scheme == "http")
            if key.scheme == "https":
                target.detach()
                await dialer.secure(target, key.server_name)
        except TargetError as error:
            self.let_go()
            self.refuse(error.status, str(error))
            return
        self._start(exchange, target)
        self.advance()

    def _start(self, exchange: Exchange, target: Target) -> None:
        self.target = target
        target.key = exchange.place.key
        exchange.stale = target.used
        data, body = exchange.forward, exchange.body
        if target.courier:
            data = target.courier.dress(data, exchange.place.authority)
        self.state = WAITING
        if body is not None:
            if self.buffer:
                try:
                    stop = body.feed(self.buffer, 0)
                except BadMessage as error:
                    self.refuse(error.status, str(error))
                    return
                data += self.buffer[:stop]
                self.buffer = self.buffer[stop:]
            if not body.done:
                self.state = SENDING
        self.pause(False)
        target.begin(self, exchange.head.method, self.proxy.max_body if exchange.recorded else 0, data)
        if self._full:
            target.pause(True)
        if self.half_closed:
            self.pass_end_on()

    def let_go(self) -> None:
        """Part from the connection to the target; the next client may have it if it is in order."""
        target, self.target = self.target, None
        if target:
            self.proxy.dialer.give(target)

    def run(self, work: Coroutine[object, object, None]) -> None:
        """Do what needs waiting; ends with this connection."""
        self._task = self.loop.create_task(work)
        self._task.add_done_callback(self._worked)

    def _worked(self, task: "asyncio.Task[None]") -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled() and task.exception():
            self.proxy.say(f"[error] a connection was dropped: {task.exception()!r}")
            self.abort()

    # the target answers

    def on_interim(self, data: bytes) -> None:
        self.write(data)

    def on_piece(self, data: bytes) -> None:
        self.write(data)

    def on_finished(self, last: bytes) -> None:
        exchange, target = self.current, self.target
        assert exchange
        assert target
        response, body, sent = target.response, target.response_body, exchange.body
        assert response
        self._last = last
        exchange.finished = True
        if not exchange.recorded:
            self.release()
            return
        origin, test = exchange.place.origin, exchange.head.test
        row = Row(
            0, origin.scheme, origin.host, origin.port,
            exchange.forward, sent.content() if sent else b"", response.raw, body.content() if body else b"",
            exchange.started, time.monotonic() - exchange.begun, self.number,
            test.decode("utf-8", "replace") if test else "",
            bool((body and body.truncated) or (sent and (sent.truncated or not sent.done))),
        )  # fmt: skip
        self.proxy.journal.add(self, row)

    def release(self) -> None:
        """The exchange is in the record: let the last bytes go."""
        exchange, last = self.current, self._last
        self._last = b""
        assert exchange
        exchange.delivered = True
        if self.closed:
            return
        if last:
            self.write(last)
        if exchange.body is None or exchange.body.done or self.half_closed:
            self.complete(exchange)
        elif not self.target or self.target.closed:
            self.linger()
        elif self.target.heard_all:
            self.end(ragged=self.target.ragged)

    def complete(self, exchange: Exchange) -> None:
        """Both messages are through: on to the next request, or good-bye."""
        target = self.target
        response = target.response if target else None
        self.current = None
        if target and not target.reusable:
            self.let_go()
        body = exchange.body
        stays = exchange.head.keep_alive and response and response.keep_alive and (body is None or body.done)
        if not stays or self.said_all or self.proxy.stopping or (self.half_closed and not self.buffer):
            ragged = target is not None and target.ragged
            self.let_go()
            self.close(ragged=ragged)
            return
        self.state = IDLE
        self.pause(False)
        if self.buffer:
            self.advance()

    def on_failed(self, reason: str) -> None:
        exchange = self.current
        self.target = None
        assert exchange
        if self.half_closed and not exchange.sent:
            self.refuse(400, "the client ended its request before all of it was sent")
        elif not exchange.stale:
            self.refuse(502, reason)
        elif exchange.retried or exchange.body or exchange.head.method not in _IDEMPOTENT:
            # It may have been carried out. Closing leaves the decision to the client, as without a proxy.
            self.current = None
            self.close()
        else:
            exchange.retried = True
            self._open(exchange)

    def on_broken_off(self, error: Exception | None) -> None:
        """The client sees what a direct client would: an answer that breaks off, in this very way."""
        exchange, target = self.current, self.target
        assert exchange
        assert target
        self.proxy.recorder.see("upstream-failed", exchange.place.origin.host)
        exchange.finished = exchange.delivered = True
        if error:
            self.current = self.target = None
            self.break_off()
            return
        self.end(ragged=target.ragged)
        if exchange.sent or self.half_closed:
            self.complete(exchange)

    def on_upgraded(self, data: bytes) -> None:
        exchange = self.current
        assert exchange
        kind = "websocket" if _WEBSOCKET.search(data) else "upgrade"
        self.proxy.recorder.see(kind, exchange.place.origin.host)
        self.current = None
        self.write(data)
        self.pass_through()

    def on_opened(self, data: bytes) -> None:
        # Behind a tunnel of ours is another proxy.
        self.on_upgraded(data)
        if self.target:
            self.target.attach(self)

    def pass_through(self) -> None:
        """From here on bytes go both ways untouched."""
        self.state = TUNNEL
        self.pause(False)
        if self.target:
            data, self.buffer = self.buffer, b""
            if data:
                self.target.write(data)
            if self.half_closed:
                self.target.end()

    def on_raw(self, data: bytes) -> None:
        self.write(data)

    def on_unasked(self, data: bytes) -> None:
        exchange = self.current
        if exchange and not exchange.delivered:
            self._last += data
        elif exchange or self.alone:
            self.write(data)
        else:
            # The next request of this client may be for somebody else.
            self.let_go()

    def on_end(self) -> bool:
        target, exchange = self.target, self.current
        assert target
        if self.state is TUNNEL:
            if self.half_closed:
                self.close()
            else:
                self.end(ragged=target.ragged)
            return True
        if not exchange or exchange.sent:
            return False
        if exchange.delivered:
            self.end(ragged=target.ragged)
        return True

    def on_lost(self, error: Exception | None) -> None:
        target, self.target = self.target, None
        exchange = self.current
        raw = self.state in (TUNNEL, SNIFFING)
        if error and (raw or (exchange and exchange.delivered)):
            self.break_off()
        elif raw:
            self.close()
        elif exchange and exchange.delivered:
            self.linger()
        elif not exchange:
            # A client that comes soon with the next request gets a new connection to the target instead.
            self.loop.call_later(self.proxy.idle_end, self._end_idle, bool(target and target.ragged))

    def _end_idle(self, ragged: bool) -> None:
        if self.state is IDLE and self.target is None and not (self.buffer or self.closed):
            self.close(ragged=ragged)

    def on_target_full(self, is_full: bool) -> None:
        self.pause(is_full)

    # what the connection tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.proxy.relays.add(self)

    def lost(self, error: Exception | None) -> None:
        proxy, exchange = self.proxy, self.current
        proxy.relays.discard(self)
        if self._task:
            self._task.cancel()
        if exchange and not exchange.finished:
            proxy.recorder.see("client-left", exchange.place.origin.host)
        target = self.target
        if target and error and (exchange or self.state is TUNNEL):
            self.target = None
            target.detach()
            target.break_off()
        self.let_go()
        if not proxy.relays:
            proxy.on_empty()

    def full(self, is_full: bool) -> None:
        self._full = is_full
        if self.target:
            self.target.pause(is_full)

    def check(self, now: float) -> None:
        """End the wait for a target that keeps silent; `now` as time.monotonic()."""
        exchange, target = self.current, self.target
        if (
            self.state is WAITING
            and exchange
            and target
            and not target.response
            and now - exchange.begun > self.proxy.response_timeout
        ):
            self.refuse(504, f"no answer from the target within {self.proxy.response_timeout:g} s")
        elif self.said_all and exchange and now - exchange.begun > self.proxy.response_timeout:
            # The target has ended, and the client neither finishes its request nor leaves.
            self.abort()

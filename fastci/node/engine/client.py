"""The wire client: sends any bytes to a target over kept-alive connections and reads what comes back."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import cast

from fastci.config import Settings
from fastci.node.engine.dial import Forbidden, Unreachable, Ways
from fastci.node.engine.wire import Answer, NotHttp, ResponseReader, read_at_once
from fastci.node.message import Origin, Response

BODY_LIMIT = 4 << 20
"""Bytes of a response body that are kept; what is longer is cut and its connection closed."""

ANSWER_TIMEOUT = 30.0
"""Seconds a whole response may take, where nothing else is said (FAST_REQUEST_TIMEOUT)."""

CONNECT_TIMEOUT = 5.0
"""Seconds until a connection, TLS included, must stand."""

Exchange = tuple[Response, float]
"""A response, and the seconds until its last byte."""

Then = Callable[[Response, float, float, bool], bytes | None]
"""Takes a response, when its request went out, when it had ended (`time.monotonic`), and whether its
connection may carry another request. Gives the bytes that go out over it at once, with the same method and
time-out; None ends the matter, or leaves the rest to who waits for it.
"""


class NoAnswer(ConnectionError):
    """The connection ended before a response head came."""


class _Outbox:
    """What is written in one turn of the event loop goes out together, at its end.

    A target that falls asleep after each request costs every one of them its waking up, which is more than
    all that the client itself does for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append((transport, data))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            transport.write(data)


class _Connection(asyncio.Protocol):
    """One connection of a line; carries one request at a time.

    When an answer has ended and no other request follows, it goes back to its line by itself, or closes where
    it can carry no more. `data` is the request that was sent last, `kept` whether the connection stood before
    that: it may be dead then for no fault of the request.
    """

    __slots__ = (
        "_alone", "_begin", "_deadline", "_done", "_limit", "_line", "_loop", "_method", "_outbox", "_reader",
        "_then", "_timeout", "_timer", "_timer_at", "_transport", "alive", "data", "kept",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, outbox: _Outbox, limit: int, line: "Line") -> None:
        self._loop = loop
        self._outbox = outbox
        self._limit = limit
        self._line = line
        self._transport: asyncio.Transport | None = None
        self._method = b""
        self._alone = False
        self._reader: ResponseReader | None = None
        self._done: asyncio.Future[Exchange] | None = None
        self._then: Then | None = None
        self._timeout = 0.0
        self._begin = 0.0
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.alive = False
        self.data = b""
        self.kept = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.alive = True

    def ask(
        self, data: bytes, method: bytes, timeout: float, alone: bool, then: Then | None
    ) -> "asyncio.Future[Exchange]":
        """Send `data`, and what `then` has follow; the last exchange is there when its answer has ended.

        The future carries OSError kinds and TimeoutError. Who does not wait for it any more calls `give_up`.
        """
        self._method = method
        self._timeout = timeout
        self._alone = alone
        self._then = then
        self._done = done = self._loop.create_future()
        self._send(data, monotonic())
        return done

    def _send(self, data: bytes, begin: float) -> None:
        assert self._transport is not None
        self.data = data
        self._begin = begin
        self._deadline = deadline = begin + self._timeout
        # A timer that is still running from earlier requests serves for this one too: it looks at _deadline.
        if self._timer is None or self._timer_at > deadline:
            self._set_timer(self._timeout)
        self._outbox.put(self._transport, data)

    def data_received(self, data: bytes) -> None:
        if self._done is None:
            # Nobody asked: a second answer, or a farewell. Such a connection must not carry anything more.
            self.close()
            return
        reader = self._reader
        if reader is None:
            answer = read_at_once(data, method=self._method, limit=self._limit)
            if answer is not None:
                self._deliver(answer)
                return
            reader = self._reader = ResponseReader(method=self._method, limit=self._limit)
        try:
            if reader.feed(data):
                self._deliver(reader.answer())
        except NotHttp as error:
            self._fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._done is None:
            return
        if self._reader is not None:
            self._end_early()
        else:
            self._fail(NoAnswer(str(error or "closed without an answer")))

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = monotonic() + seconds
        self._timer = self._loop.call_later(seconds, self._look_at_the_time)

    def _look_at_the_time(self) -> None:
        self._timer = None
        if self._done is None:
            return
        left = self._deadline - monotonic()
        if left > 0:
            self._set_timer(left)
        elif self._reader is not None and self._reader.has_head:
            self._end_early()
        else:
            self._fail(TimeoutError("no answer in time"))

    def _end_early(self) -> None:
        assert self._reader is not None
        try:
            self._reader.finish()
        except NotHttp as error:
            self._fail(error)
        else:
            self._deliver(self._reader.answer())

    def _deliver(self, answer: Answer) -> None:
        response, reusable = answer
        done, self._reader = self._done, None
        assert done is not None
        begin, end = self._begin, monotonic()
        if done.cancelled():
            self.close()
            return
        reusable = reusable and not self._alone
        then = self._then
        if then is not None and (data := then(response, begin, end, reusable)) is not None:
            self.kept = True
            self._send(data, end)
            return
        self._done = None
        if reusable:
            self._line.keep(self)
        else:
            self.close()
        done.set_result((response, end - begin))

    def _fail(self, error: OSError) -> None:
        done = self._done
        self.close()
        assert done is not None
        if not done.cancelled():
            done.set_exception(error)

    def give_up(self, asked: "asyncio.Future[Exchange]") -> None:
        """Nobody waits for that answer any more; once it is there, the connection may be another's."""
        if self._done is asked:
            self.close()

    def close(self) -> None:
        self.alive = False
        self._done = self._reader = None
        if self._transport is not None:
            self._transport.abort()


class Line:
    """The way to one origin: its kept-alive connections."""

    def __init__(self, client: "WireClient", origin: Origin) -> None:
        self.origin = origin
        self._client = client
        self._courier = client.ways.courier(origin)
        self._idle: list[_Connection] = []

    @property
    def direct(self) -> bool:
        """Whether requests go out as they are, with no proxy in between that is told where to."""
        return self._courier is None

    async def send(
        self, data: bytes, *, method: bytes, timeout: float, alone: bool = False, then: Then | None = None
    ) -> Exchange:
        """`WireClient.send` for this origin; with `then` the last exchange, on a direct line only."""
        tunnel = False
        if self._courier is not None:
            # Behind an authority an attack's target could make another one of it: only a path may follow.
            tunnel = alone or not data.startswith(b"/", len(method) + 1)
            alone = tunnel
            data = data if tunnel else self._courier.dress(data, self.origin.authority.encode())
        connection = (None if alone else self._take()) or await self.open(tunnel=tunnel)
        while True:
            asked = connection.ask(data, method, timeout, alone, then)
            try:
                return await asked
            except NoAnswer:
                if not connection.kept:
                    raise
                data = connection.data
            except asyncio.CancelledError:
                connection.give_up(asked)
                raise
            connection = await self.open()

    def _take(self) -> _Connection | None:
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.alive:
                return connection
        return None

    def keep(self, connection: _Connection) -> None:
        """Hold an idle connection for the next request, or close it where there are enough."""
        if len(self._idle) < self._client.idle_limit:
            connection.kept = True
            self._idle.append(connection)
        else:
            connection.close()

    async def open(self, *, tunnel: bool = False) -> _Connection:
        """A new connection. Raises Unreachable."""
        return await self._client.open(self, tunnel=tunnel)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class WireClient:
    """A pool of connections per origin. Certificates are not verified unless the `ways` say so.

    `idle_limit` bounds the idle connections kept per origin. One client belongs to one event loop.
    """

    def __init__(
        self,
        *,
        ways: Ways | None = None,
        body_limit: int = BODY_LIMIT,
        connect_timeout: float = CONNECT_TIMEOUT,
        idle_limit: int = 32,
    ) -> None:
        self.body_limit = body_limit
        self.idle_limit = idle_limit
        self._connect_timeout = connect_timeout
        self._lines: dict[Origin, Line] = {}
        self._outbox: _Outbox | None = None
        self.ways = ways or Ways.of(Settings())
        self.opened = 0

    def line(self, origin: Origin) -> Line:
        """The way to an origin; the same one for the same origin."""
        if origin not in self._lines:
            self._lines[origin] = Line(self, origin)
        return self._lines[origin]

    async def send(
        self, origin: Origin, data: bytes, *, method: bytes, timeout: float, alone: bool = False
    ) -> Exchange:
        """Send request bytes; give the response and the seconds until its last byte.

        `timeout` is seconds for the whole response; a body that goes on longer is cut, not an error. `alone`
        takes a connection of its own: for bytes that a server may read as more or less than one request.
        A kept-alive connection that turns out to be dead before any byte of the answer is replaced once.
        Raises Unreachable, NoAnswer, NotHttp (all OSError) or TimeoutError.
        """
        return await self.line(origin).send(data, method=method, timeout=timeout, alone=alone)

    async def connect(self, origin: Origin) -> None:
        """Open a connection and keep it for the next request. Raises Unreachable."""
        line = self.line(origin)
        line.keep(await line.open())

    async def open(self, line: Line, *, tunnel: bool = False) -> _Connection:
        """A new connection for a line. Raises Unreachable."""
        origin = line.origin
        loop = asyncio.get_running_loop()
        outbox = self._outbox = self._outbox or _Outbox(loop)
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self.ways.open(
                    origin, lambda: _Connection(loop, outbox, self.body_limit, line), tunnel=tunnel
                )
        except Forbidden:
            raise
        except TimeoutError as error:
            raise Unreachable(f"{origin} took no connection in {self._connect_timeout:g} s") from error
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{origin}: {error}") from error
        self.opened += 1
        return connection

    def close(self) -> None:
        """Drop every idle connection."""
        for line in self._lines.values():
            line.close()

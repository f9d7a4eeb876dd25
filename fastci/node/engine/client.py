"""The wire client: sends any bytes to a target over kept-alive connections and reads what comes back."""

import asyncio
import ssl
import time
from collections import defaultdict
from contextlib import suppress
from typing import cast

from fastci.node.engine.wire import NotHttp, ResponseReader
from fastci.node.message import Origin, Response

BODY_LIMIT = 4 << 20
"""Bytes of a response body that are kept; what is longer is cut and its connection closed."""

CONNECT_TIMEOUT = 5.0
"""Seconds until a connection, TLS included, must stand."""


class Unreachable(ConnectionError):
    """No connection could be made: refused, no route, unknown name, TLS failed, or too slow."""


class NoAnswer(ConnectionError):
    """The connection ended before a response head came."""


class _Connection(asyncio.Protocol):
    """One connection; carries one request at a time."""

    __slots__ = ("_deadline", "_done", "_loop", "_reader", "_timer", "_timer_at", "_transport", "alive")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._done: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.alive = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.alive = True

    def start(self, data: bytes, reader: ResponseReader, timeout: float) -> asyncio.Future[None]:
        """Send `data` and let `reader` take the answer; done when that has ended.

        The future carries OSError kinds and TimeoutError. Call `finish` afterwards in any case.
        """
        assert self._transport is not None
        self._reader = reader
        self._done = done = self._loop.create_future()
        self._deadline = time.monotonic() + timeout
        # A timer that is still running from earlier requests serves for this one too: it looks at _deadline.
        if self._timer is None or self._timer_at > self._deadline:
            self._set_timer(timeout)
        self._transport.write(data)
        return done

    def finish(self) -> None:
        """The request is over, whatever way it ended."""
        self._reader = self._done = None

    def data_received(self, data: bytes) -> None:
        if self._reader is None or self._done is None or self._done.done():
            # Nobody asked: a second answer, or a farewell. Such a connection must not carry anything more.
            self.close()
            return
        try:
            if self._reader.feed(data):
                self._done.set_result(None)
        except NotHttp as error:
            self._done.set_exception(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._done is None or self._done.done():
            return
        if self._reader is not None and self._reader.began:
            self._end_early()
        else:
            self._done.set_exception(NoAnswer(str(error or "closed without an answer")))

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = time.monotonic() + seconds
        self._timer = self._loop.call_later(seconds, self._look_at_the_time)

    def _look_at_the_time(self) -> None:
        self._timer = None
        if self._done is None or self._done.done():
            return
        left = self._deadline - time.monotonic()
        if left > 0:
            self._set_timer(left)
        elif self._reader is not None and self._reader.has_head:
            self._end_early()
        else:
            self._done.set_exception(TimeoutError("no answer in time"))

    def _end_early(self) -> None:
        assert self._reader is not None
        assert self._done is not None
        try:
            self._reader.finish()
        except NotHttp as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(None)

    def close(self) -> None:
        self.alive = False
        if self._transport is not None:
            self._transport.abort()


class WireClient:
    """A pool of connections per origin. Certificates are not verified: few test targets have real ones.

    `idle_limit` bounds the idle connections kept per origin. One client belongs to one event loop.
    """

    def __init__(
        self,
        *,
        body_limit: int = BODY_LIMIT,
        connect_timeout: float = CONNECT_TIMEOUT,
        idle_limit: int = 32,
    ) -> None:
        self._body_limit = body_limit
        self._connect_timeout = connect_timeout
        self._idle_limit = idle_limit
        self._idle: defaultdict[Origin, list[_Connection]] = defaultdict(list)
        self._tls = _trusting_context()
        self.opened = 0

    async def send(
        self, origin: Origin, data: bytes, *, method: bytes, timeout: float, alone: bool = False
    ) -> tuple[Response, float]:
        """Send request bytes; give the response and the seconds until its last byte.

        `timeout` is seconds for the whole response; a body that goes on longer is cut, not an error. `alone`
        takes a connection of its own: for bytes that a server may read as more or less than one request.
        A kept-alive connection that turns out to be dead before any byte of the answer is replaced once.
        Raises Unreachable, NoAnswer, NotHttp (all OSError) or TimeoutError.
        """
        pool = self._idle[origin]
        reused = None if alone else _alive(pool)
        if reused is not None:
            with suppress(NoAnswer):
                return await self._exchange(reused, pool, data, method, timeout, alone)
        connection = await self._open(origin)
        return await self._exchange(connection, pool, data, method, timeout, alone)

    async def connect(self, origin: Origin) -> None:
        """Open a connection and keep it for the next request. Raises Unreachable."""
        self._idle[origin].append(await self._open(origin))

    async def _exchange(
        self,
        connection: _Connection,
        pool: list[_Connection],
        data: bytes,
        method: bytes,
        timeout: float,
        alone: bool,
    ) -> tuple[Response, float]:
        reader = ResponseReader(method=method, limit=self._body_limit)
        reusable = False
        begin = time.perf_counter()
        try:
            await connection.start(data, reader, timeout)
            elapsed = time.perf_counter() - begin
            reusable = reader.reusable and connection.alive and not alone
        finally:
            connection.finish()
            if reusable and len(pool) < self._idle_limit:
                pool.append(connection)
            else:
                connection.close()
        return reader.response(), elapsed

    async def _open(self, origin: Origin) -> _Connection:
        loop = asyncio.get_running_loop()
        secure = origin.scheme == "https"
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop),
                    origin.host,
                    origin.port,
                    ssl=self._tls if secure else None,
                    server_hostname=origin.host if secure else None,
                )
        except TimeoutError as error:
            raise Unreachable(f"{origin} took no connection in {self._connect_timeout:g} s") from error
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{origin}: {error}") from error
        self.opened += 1
        return connection

    def close(self) -> None:
        """Drop every idle connection."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


def _alive(pool: list[_Connection]) -> _Connection | None:
    while pool:
        connection = pool.pop()
        if connection.alive:
            return connection
    return None


def _trusting_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["http/1.1"])
    return context

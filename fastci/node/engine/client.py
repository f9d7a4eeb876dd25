"""The wire client: sends any bytes to a target over kept-alive connections and reads what comes back."""

import asyncio
import ssl
import time
from collections import defaultdict
from contextlib import suppress

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

    __slots__ = ("_deadline", "_done", "_loop", "_reader", "_transport", "alive", "elapsed")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._done: asyncio.Future[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.alive = False
        self.elapsed = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self.alive = True

    async def exchange(self, data: bytes, reader: ResponseReader, timeout: float) -> None:
        """Send `data` and let `reader` take the answer. Raises OSError kinds and TimeoutError."""
        assert self._transport is not None
        self._reader = reader
        self._done = self._loop.create_future()
        begin = time.perf_counter()
        self._deadline = self._loop.call_later(timeout, self._time_is_up)
        try:
            self._transport.write(data)
            await self._done
        finally:
            self._deadline.cancel()
            self._reader = self._done = None
            self.elapsed = time.perf_counter() - begin

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
        if self._done is None or self._done.done():
            return
        if self._reader is not None and self._reader.began:
            self._finish()
        else:
            self._done.set_exception(NoAnswer(str(error or "closed without an answer")))

    def _time_is_up(self) -> None:
        if self._done is None or self._done.done():
            return
        if self._reader is not None and self._reader.has_head:
            self._finish()
        else:
            self._done.set_exception(TimeoutError("no answer in time"))

    def _finish(self) -> None:
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
        reused = None if alone else self._take(origin)
        if reused is not None:
            with suppress(NoAnswer):
                return await self._exchange(reused, origin, data, method, timeout, alone)
        connection = await self._open(origin)
        return await self._exchange(connection, origin, data, method, timeout, alone)

    async def connect(self, origin: Origin) -> None:
        """Open a connection and keep it for the next request. Raises Unreachable."""
        self._idle[origin].append(await self._open(origin))

    async def _exchange(
        self,
        connection: _Connection,
        origin: Origin,
        data: bytes,
        method: bytes,
        timeout: float,
        alone: bool,
    ) -> tuple[Response, float]:
        reader = ResponseReader(method=method, limit=self._body_limit)
        reusable = False
        try:
            await connection.exchange(data, reader, timeout)
            reusable = reader.reusable and connection.alive and not alone
        finally:
            idle = self._idle[origin]
            if reusable and len(idle) < self._idle_limit:
                idle.append(connection)
            else:
                connection.close()
        return reader.response(), connection.elapsed

    def _take(self, origin: Origin) -> _Connection | None:
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if connection.alive:
                return connection
        return None

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


def _trusting_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["http/1.1"])
    return context

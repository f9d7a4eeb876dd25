"""A connection to the target application: sends requests, reads the framing of responses, passes bytes on."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Protocol

from fastci.node.proxy.connection import Connection
from fastci.node.proxy.wire import (
    HEAD_LIMIT,
    UNTIL_CLOSE,
    BadMessage,
    Body,
    ResponseHead,
    WholeBody,
    head_end,
)
from fastci.node.ways import because


class TargetError(Exception):
    """The target gave no answer. `status` is what the client is told, the text is the reason."""

    def __init__(self, reason: str, status: int = 502) -> None:
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """What two requests must share to use one connection. `server_name` is the name asked for by TLS."""

    scheme: str
    host: str
    port: int
    server_name: str = ""


class Courier(Protocol):
    """Between this proxy and the target: wants requests in another form."""

    def dress(self, head: bytes, authority: bytes) -> bytes:
        """The head of a request in origin form as it is wanted."""


class User(Protocol):
    """Who uses a connection to the target: gets its answer piece by piece."""

    def on_interim(self, data: bytes) -> None:
        """A 1xx response before the real one."""

    def on_piece(self, data: bytes) -> None:
        """Bytes of the response that are not its last ones."""

    def on_finished(self, last: bytes) -> None:
        """The last bytes of the response; none where the connection's end was its end."""

    def on_failed(self, reason: str) -> None:
        """No response will come."""

    def on_broken_off(self, error: Exception | None) -> None:
        """The rest of a response will not come; without an error when its sender ended in order."""

    def on_upgraded(self, data: bytes) -> None:
        """The target switched protocols: the head that says so and what followed. Then `on_raw` is called."""

    def on_opened(self, data: bytes) -> None:
        """What the target said when it took a CONNECT; whoever attaches gets what comes behind that."""

    def on_raw(self, data: bytes) -> None:
        """Bytes that are not HTTP, or not asked for yet."""

    def on_unasked(self, data: bytes) -> None:
        """Bytes behind the end of a response."""

    def on_end(self) -> bool:
        """The target sends no more, and no response is awaited. True while it shall still be told something.

        `Target.ragged` says how it ended.
        """

    def on_lost(self, error: Exception | None) -> None:
        """The connection is gone, without an error in order, and no response was awaited on it."""

    def on_target_full(self, is_full: bool) -> None:
        """The target takes bytes slower than they come, or has caught up."""


class Target(Connection):
    """One connection to the target; carries one exchange at a time, or raw bytes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.key: Key | None = None
        """What it may be used for; None while it is open, but not given to any origin."""
        self.used = False
        """A response came on it before: the target may close it at any moment."""
        self.idle_since = 0.0
        self.courier: Courier | None = None
        """Who carries plain requests to the target; None when the connection ends there itself."""
        self.reusable = False
        """A further request may be sent on it."""
        self.shareable = True
        """By somebody else than its last user, too: all that came on it was asked for."""
        self.response: ResponseHead | None = None
        self.response_body: Body | None = None
        self._user: User | None = None
        self._secured: asyncio.Future[None] | None = None
        self._raw = True
        self._awaiting = False
        self._nonsense = False
        """The response lost its framing: what comes is passed on until the connection's end."""
        self._method = b""
        self._limit = 0
        self._buffer = b""

    def attach(self, user: User) -> None:
        """Give raw bytes to `user`, those too that came before."""
        self._user = user
        self._raw = True
        if self._buffer:
            early, self._buffer = self._buffer, b""
            self.loop.call_soon(user.on_raw, early)
        self.pause(False)

    def detach(self) -> None:
        """Tell nobody any more what comes. Raw bytes are kept for the next user."""
        self._user = None

    def begin(self, user: User, method: bytes, limit: int, data: bytes) -> None:
        """Send the first bytes of a request. Its response goes to `user`; `limit` bytes of body are kept."""
        self._user = user
        self._raw = False
        self._method = method
        self._limit = limit
        self._awaiting = True
        self._nonsense = False
        self.reusable = False
        self.response = None
        self.response_body = None
        self.write(data)
        if self._buffer:
            # It spoke before it was asked; a direct client would take that for the answer.
            early, self._buffer = self._buffer, b""
            self.loop.call_soon(self.received, early)
            self.pause(False)

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Begin TLS and wait for it. Raises TargetError with the reason when the target refuses."""
        self._secured = self.loop.create_future()
        self.speak_tls(context, server_side=False, server_name=server_name)
        self.pause(False)
        await self._secured

    # what the connection tells

    def received(self, data: bytes) -> None:
        if self._awaiting and self._user:
            try:
                self._read_response(self._user, data)
            except BadMessage as error:
                self._fail(f"the answer of the target makes no sense: {error}")
        elif not self._raw:
            # Whatever it is, it does not answer anybody else's request.
            self.shareable = False
            if self._user:
                self._user.on_unasked(data)
            else:
                self.close()
        elif self._user:
            self._user.on_raw(data)
        else:
            self._buffer += data
            self.pause(True)

    def secured(self) -> None:
        if self._secured and not self._secured.done():
            self._secured.set_result(None)

    def ended(self) -> bool:
        user = self._user
        if user is None or (self._secured and not self._secured.done()):
            return False
        self.reusable = False
        if not self._awaiting:
            return user.on_end()
        if not self.response:
            return False
        self._awaiting = False
        if self.response.length == UNTIL_CLOSE and not self._nonsense:
            user.on_finished(b"")
        else:
            user.on_broken_off(None)
        return not self.closed

    def refused(self, error: ssl.SSLError | None) -> None:
        why = getattr(error, "verify_message", "") or getattr(error, "reason", "")
        reason = f"TLS with the target failed: {why or 'it closed the connection'}"
        if self._secured and not self._secured.done():
            self._secured.set_exception(TargetError(reason))
        elif self._awaiting:
            self._fail(reason, error)

    def lost(self, error: Exception | None) -> None:
        if self._secured and not self._secured.done():
            self._secured.set_exception(
                TargetError("the target closed the connection during the TLS handshake")
            )
        user = self._user
        if not self._awaiting:
            self._user = None
            if user:
                user.on_lost(error)
        else:
            self._fail(
                f"the target closed the connection{because(error)} before its answer was complete", error
            )

    def full(self, is_full: bool) -> None:
        if self._user:
            self._user.on_target_full(is_full)

    def _read_response(self, user: User, data: bytes) -> None:
        response, body = self.response, self.response_body
        if response is not None:
            stop = self._follow(body, data, 0) if body else 0
        else:
            if self._buffer:
                data, self._buffer = self._buffer + data, b""
            while True:
                stop = head_end(data)
                if stop < 0:
                    if len(data) > HEAD_LIMIT:
                        raise BadMessage("its head is too long")
                    self._buffer = data
                    return
                response = ResponseHead(data if stop == len(data) else data[:stop], self._method)
                if response.status >= 200:
                    break
                if response.status == 101:
                    self._awaiting, self._raw = False, True
                    user.on_upgraded(data)
                    return
                user.on_interim(data[:stop])
                data = data[stop:]
            self.response = response
            if 0 < response.length == len(data) - stop <= self._limit:
                body = self.response_body = WholeBody(data[stop:])
                stop = len(data)
            else:
                body = self.response_body = response.body(self._limit)
                if body:
                    stop = self._follow(body, data, stop)
        if body and not body.done:
            user.on_piece(data)
            return
        self._awaiting = False
        if self._method == b"CONNECT" and response.status < 300:
            # What follows comes from behind the tunnel; to whoever uses it this is a new connection.
            self._user, self._raw = None, True
            self.response = None
            self._buffer, data = data[stop:], data[:stop]
            user.on_opened(data)
            return
        self.used = True
        self.reusable = response.keep_alive
        if stop != len(data):
            self.shareable = False
        # Bytes behind the announced end: a direct client gets them, too.
        user.on_finished(data)

    def _follow(self, body: Body, data: bytes, start: int) -> int:
        """Where the body ends in `data`. One that breaks its coding never ends: its client is to judge it."""
        if not self._nonsense:
            try:
                return body.feed(data, start)
            except BadMessage:
                self._nonsense = True
        return len(data)

    def _fail(self, reason: str, error: Exception | None = None) -> None:
        user, self._user = self._user, None
        self._awaiting = False
        self.close()
        if user and self.response:
            user.on_broken_off(error or ConnectionError(reason))
        elif user:
            user.on_failed(reason)

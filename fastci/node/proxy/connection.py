"""A TCP connection that may carry TLS: what both sides of the proxy share."""

import asyncio
import contextlib
import socket
import ssl
import struct
from typing import cast

from fastci.node.proxy.tls import TlsLayer

_LINGER_SECONDS = 2.0


class Connection(asyncio.Protocol):
    """Hands plain bytes to `received` and takes plain bytes in `write`, whether TLS is spoken or not.

    A subclass overrides the methods that tell what happened; none of them is called after `lost`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.closed = False
        """Nothing can be sent any more."""
        self.said_all = False
        """Our direction is closed."""
        self.leaving = False
        """What still comes is of no interest: this connection only waits for its end."""
        self.heard_all = False
        """The peer's direction is closed."""
        self.ragged = False
        """It was closed without the word by which TLS tells an end from a cut."""
        self.local: object = None
        self.peer: object = None
        self._transport: asyncio.Transport
        self._tls: TlsLayer | None = None
        self._paused = False
        self._lingering: asyncio.TimerHandle | None = None
        self._breaking = False

    # for subclasses to override

    def received(self, data: bytes) -> None:
        """The peer sent `data`; never empty."""

    def secured(self) -> None:
        """The TLS handshake is done."""

    def ended(self) -> bool:
        """The peer sends no more. True keeps our direction open."""
        return False

    def refused(self, error: ssl.SSLError | None) -> None:
        """TLS broke off, without an error when the peer just left during the handshake. Closed afterwards."""

    def lost(self, error: Exception | None) -> None:
        """The connection is gone; without an error when it was closed in order."""

    def full(self, is_full: bool) -> None:
        """The peer takes bytes slower than they are written, or has caught up."""

    # for their use

    def write(self, data: bytes) -> None:
        if not (self.closed or self.said_all):
            self._transport.write(data if self._tls is None else self._tls.seal(data))

    def end(self, *, ragged: bool = False) -> None:
        """Send no more, after what was written; `ragged` without the word of TLS that says so."""
        if self.closed or self.said_all:
            return
        if not ragged:
            self._say_goodbye()
        self.said_all = True
        with contextlib.suppress(OSError, NotImplementedError):
            self._transport.write_eof()

    def close(self, *, ragged: bool = False) -> None:
        """Close in order, after what was written; `ragged` as in `end`."""
        if not self.closed and not ragged:
            self._say_goodbye()
        self.closed = True
        self._transport.close()

    def abort(self) -> None:
        """Close so that the peer sees that something is missing. What was not sent yet is dropped."""
        self.closed = True
        # Without this the loop closes in order, which is how a body without a length ends.
        self._set_option(socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def break_off(self) -> None:
        """The same after what was written, as far as the peer takes it within some time."""
        if self.closed or self._breaking:
            return
        if not self.unsent:
            self.abort()
            return
        self._breaking = self.leaving = self.said_all = True
        self._lingering = self._lingering or self.loop.call_later(_LINGER_SECONDS, self.abort)
        # With this limit the loop tells when nothing is left to be sent.
        self._transport.set_write_buffer_limits(0)

    def linger(self) -> None:
        """Close although the peer may still be sending: it gets what was written, then has some time to stop.

        Closing at once would make its system drop the answer it has not read yet (RFC 9112, section 9.6).
        """
        if self.closed or self._lingering:
            return
        self.end()
        self.leaving = True
        self.pause(False)
        self._lingering = self.loop.call_later(_LINGER_SECONDS, self.abort)

    def pause(self, paused: bool) -> None:
        """Stop or go on reading from the peer."""
        if paused is self._paused or self.closed or self._transport.is_closing():
            return
        self._paused = paused
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def speak_tls(self, context: ssl.SSLContext, *, server_side: bool, server_name: str = "") -> None:
        """From here on bytes are encrypted."""
        self._tls = TlsLayer(context, server_side=server_side, server_name=server_name or None)
        if not server_side:
            self._tls.start()
            self._transport.write(self._tls.take_outgoing())

    @property
    def unsent(self) -> bool:
        """Whether something that was written is not sent yet."""
        return bool(self._transport.get_write_buffer_size())

    @property
    def established(self) -> bool:
        """Whether the TLS handshake is done."""
        return self._tls is not None and self._tls.established

    # called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.local = transport.get_extra_info("sockname")
        self.peer = transport.get_extra_info("peername")
        self._set_option(socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._tls is None:
            self.received(data)
            return
        ended_before, was_established = self._tls.ended, self._tls.established
        try:
            plain = self._tls.receive(data)
        except ssl.SSLError as error:
            if not self.said_all:
                self._transport.write(self._tls.take_outgoing())
            self.closed = True
            self._transport.close()
            self.refused(error)
            return
        outgoing = self._tls.take_outgoing()
        if outgoing and not self.said_all:
            self._transport.write(outgoing)
        if not was_established and self._tls.established:
            self.secured()
        if plain:
            self.received(plain)
        if self._tls.ended and not ended_before and not self.closed:
            self.heard_all = True
            if not self.ended():
                self.close()

    def eof_received(self) -> bool:
        if self._lingering or self.closed:
            return False
        if self._tls is not None:
            if not self._tls.established:
                return False
            if self._tls.ended:
                return True
            self.ragged = True
        self.heard_all = True
        if not self.ended():
            self.closed = True
        return not self.closed

    def connection_lost(self, exc: Exception | None) -> None:
        gone_early = self._tls is not None and not self._tls.established and not self.closed
        self.closed = True
        if self._lingering:
            self._lingering.cancel()
        if gone_early:
            self.refused(None)
        self.lost(exc)

    def pause_writing(self) -> None:
        if not self._breaking:
            self.full(True)

    def resume_writing(self) -> None:
        if self._breaking:
            self.abort()
        else:
            self.full(False)

    def _set_option(self, option: int, value: int | bytes) -> None:
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, option, value)

    def _say_goodbye(self) -> None:
        if self._tls is not None and self._tls.established and not self.said_all:
            self._transport.write(self._tls.end())

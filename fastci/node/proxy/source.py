"""A connection from the request source: the test tool, for which the proxy must be invisible."""

import hmac
import re
import ssl

from fastci.node.proxy import pages
from fastci.node.proxy.place import Place, parse_authority
from fastci.node.proxy.relay import IDLE, OPENING, SENDING, SNIFFING, TUNNEL, WAITING, Proxy, Relay
from fastci.node.proxy.sniff import Speech, greets_http2, sniff
from fastci.node.proxy.target import TargetError
from fastci.node.proxy.tls import ClientHello
from fastci.node.proxy.wire import HEAD_LIMIT, BadMessage, RequestHead, head_end

_BUFFER_LIMIT = 64 * 1024
_REFUSERS = 100
_AGENT = re.compile(rb"(?i)\nuser-agent[ \t]*:[ \t]*([^\r\n]*)")
_DISTRUST = re.compile("CERTIFICATE|UNKNOWN_CA")
"""In the names of alerts that a client sends who does not trust, some only after the handshake."""
_UNDECIDED_SECONDS = 0.5
_HANDSHAKE = 0x16
_SEEN = {502: "upstream-failed", 504: "upstream-failed", 407: "unauthorized", 403: "address-refused"}
"""What a refusal counts as; anything else is the client's fault."""
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Source(Relay):
    """One client connection: reads requests and decides what becomes of each."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy)
        self._opened: tuple[str, int] | None = None
        """Host and port of the CONNECT that opened a tunnel."""
        self._inside: Place | None = None
        """The origin of all requests in an intercepted tunnel."""
        self._host = ""
        self._agent = ""
        """What the client called itself when it asked for a tunnel."""
        self._spoke = False

    # what the connection tells

    def received(self, data: bytes) -> None:
        self._spoke = True
        if self.state is TUNNEL:
            if self.target:
                self.target.write(data)
            return
        self.buffer = self.buffer + data if self.buffer else data
        self.advance()
        if len(self.buffer) > _BUFFER_LIMIT and self.state in (OPENING, WAITING):
            self.pause(True)

    def ended(self) -> bool:
        self.half_closed = True
        if self.state is TUNNEL and self.target and not self.said_all:
            self.target.end(ragged=self.ragged)
        elif self.state is SNIFFING:
            # The client has said all it will, so nothing will make this HTTP.
            self._tunnel()
        elif self.state is IDLE and self.buffer:
            self._read_head()
        elif self.current and self.current.delivered:
            self.complete(self.current)
        elif self.state in (SENDING, WAITING):
            self.pass_end_on()
        else:
            return self.state is OPENING
        return True

    def lost(self, error: Exception | None) -> None:
        self.proxy.silent += not self._spoke
        super().lost(error)

    def refused(self, error: ssl.SSLError | None) -> None:
        proxy = self.proxy
        if self.established and not _DISTRUST.search(error.reason if error and error.reason else ""):
            # It trusted us, and left for another reason.
            return
        proxy.recorder.see("tls-rejected", self._host)
        if self._agent and len(proxy.refusers) < _REFUSERS:
            proxy.refusers.setdefault(self._host, self._agent)
        if self._host not in proxy.distrusted:
            proxy.distrusted.add(self._host)
            reason = f" ({error.reason})" if error else ""
            proxy.say(f"[warn] a client does not accept the certificate for {self._host}{reason}: "
                      f"let it trust the node's authority, http://{pages.NODE_HOST}/ca.pem")  # fmt: skip

    def finish(self) -> None:
        """Close as soon as what is under way is done."""
        if self.state in (IDLE, SNIFFING, TUNNEL):
            self.close()

    # requests

    def advance(self) -> None:
        while self.buffer and not (self.closed or self.leaving):
            if self.state is IDLE:
                if not self._read_head():
                    return
            elif self.state is SENDING:
                self.feed_body()
            elif self.state is SNIFFING:
                if not self._sniff():
                    return
            else:
                return

    def _read_head(self) -> bool:
        data = self.buffer
        if data[0] in b"\r\n":
            # RFC 9112, section 2.2: empty lines before a request are no fault.
            data = self.buffer = data.lstrip(b"\r\n")
        end = head_end(data)
        if end < 0:
            if data[:1] == b"\x16" and not self._inside:
                self.proxy.recorder.see("tls-to-proxy", "")
                self.refuse(
                    400, "TLS was spoken to the proxy's port: the URL of this proxy begins with http://"
                )
            elif len(data) > HEAD_LIMIT:
                self.refuse(431, "the head of the request is too long")
            elif self.half_closed and data:
                self.refuse(400, "the client ended in the middle of the head of a request")
            elif self.half_closed:
                self.close()
            return False
        self.buffer = data[end:]
        try:
            self._begin(RequestHead(data if end == len(data) else data[:end]))
        except BadMessage as error:
            self.refuse(error.status, str(error))
        return True

    def _begin(self, head: RequestHead) -> None:
        if self._inside is not None:
            self.exchange(head, self._inside, head.forwarded_inside())
        elif head.target[0] in b"/*" and head.method != b"CONNECT":
            self._answer_page(head, head.target)
        elif self.proxy.credentials and not self._may_pass(head):
            self.refuse(407, "this proxy asks for a name and a password")
        elif head.method == b"CONNECT":
            self.proxy.requests += 1
            agent = _AGENT.search(head.raw)
            self._agent = agent[1].decode("latin-1") if agent else ""
            self._opened = parse_authority(head.target)
            self._host = self._opened[0]
            self.state = OPENING
            self.run(self._open_tunnel(*self._opened))
        else:
            place, path = self.proxy.places.of_target(head.target, head.method)
            if place.origin.host == pages.NODE_HOST:
                self._answer_page(head, path)
            else:
                self.exchange(head, place, head.forwarded(path, place.authority))

    def _may_pass(self, head: RequestHead) -> bool:
        wanted = self.proxy.credentials
        return not wanted or hmac.compare_digest(head.authorization, wanted)

    # CONNECT

    async def _open_tunnel(self, host: str, port: int) -> None:
        dialer = self.proxy.dialer
        if not dialer.has(host, port):
            try:
                self.target = await dialer.open(host, port)
            except TargetError as error:
                self.refuse(error.status, str(error))
                return
        self.write(_ESTABLISHED)
        self.state = SNIFFING
        if self.target:
            self.target.attach(self)
        self.pause(False)
        self.advance()
        if self.half_closed and self.state is SNIFFING:
            self._tunnel()

    def _sniff(self) -> bool:
        """Decide what is spoken in the tunnel; False while the first bytes do not tell."""
        assert self._opened
        host, port = self._opened
        speech, hello = sniff(self.buffer)
        if speech is Speech.UNDECIDED:
            if len(self.buffer) > HEAD_LIMIT:
                self._tunnel()
            elif self.buffer[0] != _HANDSHAKE:
                self.loop.call_later(_UNDECIDED_SECONDS, self._give_up_sniffing, len(self.buffer))
            return False
        if speech is Speech.HTTP:
            self._enter(self.proxy.places.of(host, port, secure=False))
        elif speech is Speech.HTTP2:
            self._tunnel("http2")
        elif hello:
            self._intercept(hello, host, port)
        else:
            self._tunnel()
        return True

    def _give_up_sniffing(self, length: int) -> None:
        if self.state is SNIFFING and len(self.buffer) == length and not self.closed:
            self._tunnel()

    def _intercept(self, hello: ClientHello, host: str, port: int) -> None:
        admitted = self.proxy.admitted
        untouched = self.proxy.untouched
        if untouched.admits(hello.server_name or host) or untouched.admits(host):
            self._tunnel("untouched")
            return
        if not hello.speaks_http1:
            self._tunnel("http2" if hello.speaks_http2 else "tunnel")
            return
        if hello.server_name and not (admitted.admits(hello.server_name) or admitted.admits(host)):
            self._tunnel("filtered")
            return
        try:
            context = self.proxy.authority.context_for(hello.server_name or host)
        except ValueError:
            self._tunnel()
            return
        self._host = hello.server_name or host
        self._enter(self.proxy.places.of(host, port, secure=True, server_name=hello.server_name))
        data, self.buffer = self.buffer, b""
        self.speak_tls(context, server_side=True)
        self.data_received(data)

    def _enter(self, place: Place) -> None:
        self._inside = place
        self.alone = True
        self.state = IDLE
        if self.target:
            self.target.detach()

    def on_end(self) -> bool:
        if self.state is SNIFFING:
            self._tunnel()
        return super().on_end()

    def on_raw(self, data: bytes) -> None:
        if self.state is SNIFFING:
            # A server that speaks first does not speak HTTP/1.
            self._tunnel("http2" if greets_http2(data) else "tunnel")
        super().on_raw(data)

    def _tunnel(self, kind: str = "tunnel") -> None:
        """Pass bytes on untouched; `kind` is what that is counted as."""
        self.proxy.recorder.see(kind, self._host)
        if self.target:
            self.pass_through()
        else:
            self.state = OPENING
            self.run(self._open_raw())

    async def _open_raw(self) -> None:
        assert self._opened
        try:
            self.target = await self.proxy.dialer.open(*self._opened)
        except TargetError:
            self.close()
            return
        self.target.attach(self)
        self.pass_through()

    # what the proxy says itself

    def _answer_page(self, head: RequestHead, path: bytes) -> None:
        recorder = self.proxy.recorder
        status, content_type, body = pages.render_page(
            path,
            record=recorder.id,
            traffic=self.proxy.traffic,
            certificate=self.proxy.authority.certificate_pem,
            copy=recorder.copy if self.proxy.hand_out and self._may_pass(head) else None,
        )
        if status != 200:
            recorder.see("bad-request", "")
        keep_alive = head.keep_alive and head.length == 0 and not self.half_closed
        self.write(
            pages.render_answer(
                status, content_type, body, keep_alive=keep_alive, head_only=head.method == b"HEAD"
            )
        )
        self.state = IDLE
        if not keep_alive:
            self.linger()

    def refuse(self, status: int, reason: str) -> None:
        exchange, self.current = self.current, None
        host = exchange.place.origin.host if exchange else self._host
        answering = bool(self.target and self.target.response)
        self.let_go()
        if answering:
            self.close()
            return
        if exchange and status == 508 and pages.has_page(exchange.head.target):
            self._answer_page(exchange.head, exchange.forward.split(b" ", 2)[1])
            return
        self.proxy.recorder.see(_SEEN.get(status, "bad-request"), host)
        self.write(pages.render_error(status, reason))
        if not self.half_closed and (self.buffer or (exchange and not exchange.sent)):
            self.linger()
        else:
            self.close()

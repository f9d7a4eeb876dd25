"""The same words said to an origin directly and through the proxy: both sides must hear the same.

Every case is played three times on plain sockets, and some over TLS: without the proxy, by requests in
absolute form, and through CONNECT. Equal must be all bytes that each side hears, and how its hearing ends: in
order, by a reset, or (in TLS) cut off without the word that tells an end. What is left out is where the proxy
has to speak itself: a target that gives no answer at all is a 502.
"""

import contextlib
import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from proxy_rig import TIMEOUT, Rig, self_signed

from fastci.node.proxy import Patience

HOST = b"Host: target.test\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET <to>/a?b HTTP/1.1\r\n" + HOST + b"\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def post(length: int, *lines: bytes) -> bytes:
    return b"POST <to>/ HTTP/1.1\r\n" + HOST + b"".join(lines) + b"Content-Length: %d\r\n\r\n" % length


class Talk:
    """One side of a connection: what it heard, and how that ended."""

    def __init__(self, connection: socket.socket, target: bytes = b"") -> None:
        connection.settimeout(TIMEOUT)
        self.heard = b""
        self.ended = ""
        self._socket = connection
        self._target = target

    def say(self, *words: bytes) -> None:
        """Each piece on its own; a reset that came meanwhile is heard, not raised."""
        for word in words:
            with contextlib.suppress(ConnectionError):
                self._socket.sendall(word.replace(b"<to>", self._target))

    def hear(self, marker: bytes) -> None:
        """Up to and with this, from here on."""
        start = len(self.heard)
        while not self.ended and marker not in self.heard[start:]:
            self._take(1)

    def hear_out(self) -> None:
        while not self.ended:
            self._take(65536)

    def _take(self, most: int) -> None:
        try:
            data = self._socket.recv(most)
            self.heard += data
            self.ended = "" if data else "in order"
        except ssl.SSLEOFError:
            self.ended = "cut off"
        except ConnectionResetError:
            self.ended = "reset"

    def say_all(self) -> None:
        """Send no more; go on hearing."""
        self._socket.shutdown(socket.SHUT_WR)

    def end_tls(self) -> None:
        assert isinstance(self._socket, ssl.SSLSocket)
        with contextlib.suppress(OSError):
            self._socket.unwrap()

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()


@dataclass(kw_only=True)
class Play:
    """Two talks at once; `cue` is given by one to the other when something is to happen after something."""

    origin: Callable[["Play", Talk], None]
    client: Callable[["Play", Talk], None]
    cue: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        assert self.cue.wait(TIMEOUT)


CASES: dict[str, tuple[Callable[[Play, Talk], None], Callable[[Play, Talk], None]]] = {}


def case(
    client: Callable[[Play, Talk], None],
) -> Callable[[Callable[[Play, Talk], None]], Callable[[Play, Talk], None]]:
    """Registers what the origin does under its name, against what the client does."""

    def register(origin: Callable[[Play, Talk], None]) -> Callable[[Play, Talk], None]:
        CASES[origin.__name__] = (origin, client)
        return origin

    return register


def asks(*words: bytes) -> Callable[[Play, Talk], None]:
    """A client that says this and hears everything."""

    def client(_: Play, talk: Talk) -> None:
        talk.say(*words)
        talk.hear_out()

    return client


def asks_again(*words: bytes, times: int = 2, end: bytes = b"ok") -> Callable[[Play, Talk], None]:
    """A client that repeats itself on one connection, then leaves it."""

    def client(_: Play, talk: Talk) -> None:
        for _ in range(times):
            talk.say(*words)
            talk.hear(end)
        talk.say_all()
        talk.hear_out()

    return client


def answers(*words: bytes, to: bytes = b"\r\n\r\n", times: int = 1) -> Callable[[Play, Talk], None]:
    """An origin that hears each request up to `to`, says this, and hears out what follows."""

    def origin(_: Play, talk: Talk) -> None:
        for _ in range(times):
            talk.hear(to)
            talk.say(*words)
        talk.hear_out()

    return origin


def closes(*words: bytes, to: bytes = b"\r\n\r\n") -> Callable[[Play, Talk], None]:
    """An origin that hears one request, says this, and closes."""

    def origin(_: Play, talk: Talk) -> None:
        talk.hear(to)
        talk.say(*words)

    return origin


def resets(*words: bytes) -> Callable[[Play, Talk], None]:
    """An origin that hears one request, says this, and resets the connection, once that was heard."""

    def origin(play: Play, talk: Talk) -> None:
        talk.hear(b"\r\n\r\n")
        talk.say(*words)
        play.wait()
        talk.reset()

    return origin


def hears(marker: bytes, *words: bytes) -> Callable[[Play, Talk], None]:
    """A client that says this (GET), hears up to a marker, tells so, and hears out."""

    def client(play: Play, talk: Talk) -> None:
        talk.say(*(words or (GET,)))
        talk.hear(marker)
        play.cue.set()
        talk.hear_out()

    return client


def simple(name: str, client: Callable[[Play, Talk], None], origin: Callable[[Play, Talk], None]) -> None:
    CASES[name] = (origin, client)


# versions, keep-alive, pipelining

simple(
    "HTTP/1.0, ended by the connection",
    asks(b"GET <to>/ HTTP/1.0\r\n" + HOST + b"\r\n"),
    closes(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nall of it"),
)
simple(
    "HTTP/1.0, kept alive",
    asks_again(b"GET <to>/ HTTP/1.0\r\n" + HOST + b"Connection: Keep-Alive\r\n\r\n"),
    answers(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", times=2),
)
simple("HTTP/1.1, kept alive", asks_again(GET, times=3), answers(OK, times=3))
simple(
    "HTTP/1.1, closed by the client's wish",
    asks(b"GET <to>/ HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"),
    closes(OK),
)
simple("HTTP/1.1, closed by the origin without a word", asks(GET), closes(OK))
simple(
    "HTTP/1.1, closed by the origin's wish",
    asks(GET),
    closes(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)),
)


def pipelines(_: Play, talk: Talk) -> None:
    talk.say(GET * 3 + post(3) + b"abc" + GET)
    talk.say_all()
    talk.hear_out()


@case(pipelines)
def pipelined_and_half_closed(_: Play, talk: Talk) -> None:
    for end in (*[b"\r\n\r\n"] * 3, b"abc", b"\r\n\r\n"):
        talk.hear(end)
        talk.say(OK)
    talk.hear_out()


# bodies, trailers, interim and early responses, answers without a body

simple(
    "chunked both ways, with extensions and trailers",
    asks_again(
        b"POST <to>/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTrailer: T\r\n\r\n",
        b"3;a=b\r\nabc\r\n",
        b"00\r\nT: 1\r\nT:2\r\n\r\n",
        end=b"U: 2\r\n\r\n",
    ),
    answers(CHUNKED, b"A;x\r\n0123456789\r\n", b"0\r\nu: 1\r\nU: 2\r\n\r\n", to=b"T:2\r\n\r\n", times=2),
)
simple("chunk by chunk over all borders", asks_again(GET, end=b"\r\n0\r\n\r\n"),
       answers(*(bytes([b]) for b in CHUNKED + b"2\r\nok\r\n0\r\n\r\n"), times=2))  # fmt: skip
simple(
    "interim responses",
    asks_again(GET, end=b"\r\n\r\nok"),
    answers(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK, times=2),
)
for status in (b"204 No Content", b"304 Not Modified"):
    simple(
        status.decode(),
        asks_again(GET, end=b"\r\n\r\n"),
        answers(b"HTTP/1.1 " + status + b"\r\nContent-Length: 7\r\nETag: x\r\n\r\n", times=2),
    )
simple(
    "HEAD",
    asks_again(GET.replace(b"GET", b"HEAD"), end=b"\r\n\r\n"),
    answers(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", times=2),
)
simple(
    "a compressed answer",
    asks_again(GET.replace(HOST, HOST + b"Accept-Encoding: gzip\r\n"), end=b"!" * 3),
    answers(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 33\r\n\r\n"
        + gzip.compress(b"0123456789", mtime=0) + b"!" * 3,
        times=2,
    ),
)  # fmt: skip


def expects(_: Play, talk: Talk) -> None:
    talk.say(post(5, b"Expect: 100-continue\r\n"))
    talk.hear(b"\r\n\r\n")
    talk.say(b"hello")
    talk.hear(b"ok")
    talk.say_all()
    talk.hear_out()


@case(expects)
def expect_continue(_: Play, talk: Talk) -> None:
    talk.hear(b"\r\n\r\n")
    talk.say(b"HTTP/1.1 100 Continue\r\n\r\n")
    talk.hear(b"hello")
    talk.say(OK)
    talk.hear_out()


@case(asks(post(5, b"Expect: 100-continue\r\n")))
def expectation_refused(_: Play, talk: Talk) -> None:
    talk.hear(b"\r\n\r\n")
    talk.say(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    talk.say_all()
    talk.hear_out()


def goes_on_sending(_: Play, talk: Talk) -> None:
    """Hears the answer while it still sends, and sends the rest."""
    talk.say(post(8), b"half")
    talk.hear(b"early")
    talk.say(b"rest")
    talk.say_all()
    talk.hear_out()


simple("early answer, the request goes on", goes_on_sending,
       answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly", to=b"half"))  # fmt: skip


def half_closing(*words: bytes) -> Callable[[Play, Talk], None]:
    def origin(_: Play, talk: Talk) -> None:
        talk.hear(b"half")
        talk.say(*words)
        talk.say_all()
        talk.hear_out()

    return origin


simple("early answer of known length, half-closed", goes_on_sending,
       half_closing(b"HTTP/1.1 413 No\r\nContent-Length: 5\r\n\r\nearly"))  # fmt: skip
simple("early answer without length, half-closed", goes_on_sending,
       half_closing(b"HTTP/1.1 413 No\r\n\r\nearly"))  # fmt: skip
simple("early answer that is cut short, half-closed", goes_on_sending,
       half_closing(b"HTTP/1.1 413 No\r\nContent-Length: 50\r\n\r\nearly"))  # fmt: skip
simple(
    "early answer cut off in a chunk, half-closed", goes_on_sending, half_closing(CHUNKED + b"50\r\nearly")
)


def keeps_sending(play: Play, talk: Talk) -> None:
    talk.say(post(8), b"half")
    talk.hear(b"early")
    play.cue.set()
    talk.hear_out()


@case(keeps_sending)
def early_answer_then_reset(play: Play, talk: Talk) -> None:
    talk.hear(b"half")
    talk.say(b"HTTP/1.1 413 No\r\nContent-Length: 5\r\n\r\nearly")
    play.wait()
    talk.reset()


# heads

ODD = (
    b"hOsT:\ttarget.test \r\nX-B: 1\r\nx-a:2\r\nX-B:  1\r\nEmpty:\r\nLatin: \xe4\xff\r\n"
    b"Fold: a\r\n  b\r\nTE: trailers\r\n"
)
simple(
    "heads with odd, double and folded lines",
    asks_again(b"GET <to>/%zz/../a;b?c=d&c=d HTTP/1.1\r\n" + ODD + b"\r\n"),
    answers(
        b"HTTP/1.1  299 So  so\xff\r\nset-cookie: a\r\nSet-Cookie:b\r\n"
        + ODD
        + b"Content-Length:2\r\n\r\nok",
        times=2,
    ),
)
simple(
    "bare line feeds",
    asks_again(b"GET <to>/ HTTP/1.1\nHost: target.test\nA: b\n\n"),
    answers(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", to=b"\n\n", times=2),
)

# servers that lie

simple(
    "shorter than its length", asks(GET), closes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
)
simple("longer than its length", asks_again(GET, end=b"surplus"), answers(OK + b"surplus", times=2))
simple("longer than its length, and closed", asks(GET), closes(OK + b"surplus"))
simple("a body where HEAD has none", asks(GET.replace(b"GET", b"HEAD")), closes(OK))
simple("lengths that contradict each other", asks(GET),
       closes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"))  # fmt: skip
simple("a length beside chunks", asks_again(GET, end=b"0\r\n\r\n"),
       answers(CHUNKED[:-2] + b"Content-Length: 1\r\n\r\n2\r\nok\r\n0\r\n\r\n", times=2))  # fmt: skip
simple("closed within a chunk", asks(GET), closes(CHUNKED + b"50\r\nonly this"))
simple("closed without the last chunk", asks(GET), closes(CHUNKED + b"2\r\nok\r\n"))
simple("broken chunks, closed", asks(GET), closes(CHUNKED + b"2\r\nok\r\nnonsense\r\n", b"more of it"))
simple("broken chunks, reset", hears(b"more"), resets(CHUNKED + b"2\r\nok\r\nnonsense\r\n", b"more"))
simple("broken chunks from the first on", asks(GET), closes(CHUNKED[:30], CHUNKED[30:] + b"nonsense\r\n"))
simple(
    "reset within its length",
    hears(b"this"),
    resets(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nonly this"),
)
simple("reset within a chunk", hears(b"this"), resets(CHUNKED + b"50\r\nonly this"))
simple("reset without a length", hears(b"this"), resets(b"HTTP/1.1 200 OK\r\n\r\nonly this"))

# clients that leave


def leaves(how: str, *words: bytes, after: bytes = b"") -> Callable[[Play, Talk], None]:
    """A client that says this, hears up to `after`, and leaves."""

    def client(play: Play, talk: Talk) -> None:
        talk.say(*words)
        if after:
            talk.hear(after)
        else:
            play.wait()
        getattr(talk, how)()
        if how == "say_all":
            talk.hear_out()

    return client


def listens(marker: bytes, *words: bytes) -> Callable[[Play, Talk], None]:
    """An origin that hears up to a marker, says this, tells so, hears out, and then says one word more."""

    def origin(play: Play, talk: Talk) -> None:
        talk.hear(marker)
        talk.say(*words)
        play.cue.set()
        talk.hear_out()
        if talk.ended == "in order":
            talk.say(
                b"HTTP/1.1 400 Why\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" if not words else b""
            )

    return origin


for how in ("say_all", "reset"):
    simple(f"client {how} within its body", leaves(how, post(9), b"half"), listens(b"half"))
    simple(f"client {how} within a chunk", leaves(how, b"POST <to>/ HTTP/1.1\r\n" + HOST +
           b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf"), listens(b"half"))  # fmt: skip
    simple(f"client {how} while it waits", leaves(how, GET), listens(b"\r\n\r\n"))
    simple(f"client {how} within the answer", leaves(how, GET, after=b"half"),
           listens(b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))  # fmt: skip

# other protocols

UPGRADE = b"GET <to>/ HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def talks(play: Play, talk: Talk, last: Callable[[Talk], None]) -> None:
    talk.say(UPGRADE)
    talk.hear(b"\r\n\r\n\x81\x05first")
    talk.say(b"GET / HTTP/1.1\r\n\r\n", b"\x00\xff")
    talk.hear(b"second")
    play.cue.set()
    last(talk)


@case(lambda play, talk: talks(play, talk, Talk.hear_out))
def upgrade_ended_by_the_origin(play: Play, talk: Talk) -> None:
    talk.hear(b"websocket\r\n\r\n")
    talk.say(SWITCH + b"\x81\x05first")
    talk.hear(b"\x00\xff")
    talk.say(b"second")
    play.wait()


@case(lambda play, talk: talks(play, talk, Talk.hear_out))
def upgrade_reset_by_the_origin(play: Play, talk: Talk) -> None:
    upgrade_ended_by_the_origin(play, talk)
    talk.reset()


def asks_back(talk: Talk) -> None:
    talk.hear_out()
    talk.say(b"still here")
    talk.say_all()


@case(lambda play, talk: talks(play, talk, asks_back))
def upgrade_half_closed_by_the_origin(play: Play, talk: Talk) -> None:
    upgrade_ended_by_the_origin(play, talk)
    talk.say_all()
    talk.hear_out()


def ends_first(talk: Talk) -> None:
    talk.say_all()
    talk.hear_out()


@case(lambda play, talk: talks(play, talk, ends_first))
def upgrade_half_closed_by_the_client(play: Play, talk: Talk) -> None:
    upgrade_ended_by_the_origin(play, talk)
    talk.hear_out()
    talk.say(b"still here")


@case(lambda play, talk: talks(play, talk, Talk.reset))
def upgrade_reset_by_the_client(play: Play, talk: Talk) -> None:
    upgrade_ended_by_the_origin(play, talk)
    talk.hear_out()


# playing them


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    patience = Patience(connect=TIMEOUT, response=TIMEOUT, idle=0.02, idle_end=0.05)
    with Rig(tmp_path_factory.mktemp("record"), patience=patience) as rig:
        yield rig


Way = Callable[[int], tuple[socket.socket, bytes]]


def perform(
    origin: Callable[[Play, Talk], None],
    client: Callable[[Play, Talk], None],
    way: Way,
    tls: ssl.SSLContext | None = None,
) -> dict[str, tuple[bytes, str]]:
    """What both heard, and how it ended for them."""
    play = Play(origin=origin, client=client)
    heard: dict[str, tuple[bytes, str]] = {}

    def serve() -> None:
        connection, _ = listener.accept()
        talk = Talk(
            tls.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) if tls else connection
        )
        try:
            play.origin(play, talk)
        finally:
            heard["origin"] = (talk.heard, talk.ended)
            talk.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        serving = threading.Thread(target=serve)
        serving.start()
        connection, target = way(listener.getsockname()[1])
        talk = Talk(connection, target)
        try:
            play.client(play, talk)
        finally:
            talk.close()
            serving.join(TIMEOUT)
    heard["client"] = (talk.heard, talk.ended)
    return heard


def directly(port: int) -> tuple[socket.socket, bytes]:
    return socket.create_connection(("127.0.0.1", port), TIMEOUT), b""


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", ["proxied", "tunnelled"])
def test_both_sides_hear_the_same_with_and_without_the_proxy(proxy: Rig, name: str, form: str):
    def proxied(port: int) -> tuple[socket.socket, bytes]:
        return proxy.connect(), b"http://127.0.0.1:%d" % port

    def tunnelled(port: int) -> tuple[socket.socket, bytes]:
        return proxy.tunnel("127.0.0.1", port), b""

    way = {"proxied": proxied, "tunnelled": tunnelled}[form]
    assert perform(*CASES[name], way) == perform(*CASES[name], directly)


# over TLS


def ends_tls(*words: bytes) -> Callable[[Play, Talk], None]:
    def origin(play: Play, talk: Talk) -> None:
        closes(*words)(play, talk)
        talk.end_tls()

    return origin


def asks_and_ends_tls(_: Play, talk: Talk) -> None:
    for _ in range(2):
        talk.say(GET)
        talk.hear(b"ok")
    talk.end_tls()


SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
SECURE = {
    "HTTP/1.1, kept alive": (answers(OK, times=2), asks_and_ends_tls),
    "ended in order": (ends_tls(b"HTTP/1.1 200 OK\r\n\r\nall of it"), asks(GET)),
    "ended by a cut": (closes(b"HTTP/1.1 200 OK\r\n\r\nall of it"), asks(GET)),
    "shorter than its length, ended in order": (ends_tls(SHORT), asks(GET)),
    "shorter than its length, cut off": (closes(SHORT), asks(GET)),
    **{
        name: CASES[name]
        for name in (
            "reset within its length",
            "reset within a chunk",
            "reset without a length",
            "longer than its length, and closed",
            "broken chunks, closed",
            "upgrade_ended_by_the_origin",
            "upgrade_reset_by_the_origin",
            "upgrade_reset_by_the_client",
            "client reset within its body",
            "client reset within the answer",
        )
    },
}


@pytest.mark.parametrize("name", SECURE)
def test_both_sides_hear_the_same_in_tls(proxy: Rig, tmp_path: Path, name: str):
    secret = self_signed(tmp_path)
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE

    def secured(context: ssl.SSLContext, connection: socket.socket) -> tuple[socket.socket, bytes]:
        return context.wrap_socket(connection, server_hostname="target.test", suppress_ragged_eofs=False), b""

    through = perform(*SECURE[name], lambda p: secured(proxy.trust(), proxy.tunnel("127.0.0.1", p)), secret)
    assert through == perform(*SECURE[name], lambda p: secured(blind, directly(p)[0]), secret)

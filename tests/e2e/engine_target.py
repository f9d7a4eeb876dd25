"""Targets for the engine's tests: real sockets on 127.0.0.1 that answer what a test says."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from fastci.node.message import Origin

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(talk: Talk, **options: object) -> AsyncIterator[Origin]:
    """A server whose every connection is `talk`; give `ssl=` for TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if options.get("ssl") else "http"
    try:
        yield Origin(scheme=scheme, host="127.0.0.1", port=port)
    finally:
        server.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as a handler of `web_target` sees it."""

    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(kw_only=True)
class Said:
    """What a handler answers."""

    body: str | bytes = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "text/html; charset=utf-8"


Handler = Callable[[Asked], Said]


@dataclass(kw_only=True)
class WebTarget:
    """A running target; `asked` is every request it has got, in order."""

    origin: Origin
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def web_target(handler: Handler, port: int = 0) -> Iterator[WebTarget]:
    """A small threaded web application."""
    lock = threading.Lock()

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = urlsplit(self.path)
            form = "form" in (self.headers.get("content-type") or "")
            asked = Asked(
                method=self.command,
                path=url.path,
                query=dict(parse_qsl(url.query, keep_blank_values=True, encoding="latin-1")),
                form=dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True)) if form else {},
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
            )
            with lock:
                target.asked.append(asked)
            said = handler(asked)
            data = said.body.encode() if isinstance(said.body, str) else said.body
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", said.kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", port), Answering)
    target = WebTarget(origin=Origin(scheme="http", host="127.0.0.1", port=server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield target
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

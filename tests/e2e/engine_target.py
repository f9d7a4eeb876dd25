"""Targets for the engine's tests: real sockets on 127.0.0.1 that answer what a test says."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import uvloop

from fastci.config import parse_settings
from fastci.node.dsl import builtin_extensions, load_extensions
from fastci.node.engine.client import WireClient
from fastci.node.engine.login import Login
from fastci.node.engine.run import run_tests
from fastci.node.message import Field, Origin, Request, Response
from fastci.node.policy import load_policy
from fastci.node.store import Baseline, Record, Store
from fastci.results import Run

_FAREWELL = 0.2
"""Seconds in which a server's connections may end by themselves before it ends them."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(talk: Talk, **options: object) -> AsyncIterator[Origin]:
    """A server whose every connection is `talk`; give `ssl=` for TLS. Ends its connections with itself."""
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        talks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            talks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if options.get("ssl") else "http"
    try:
        yield Origin(scheme=scheme, host="127.0.0.1", port=port)
    finally:
        server.close()
        if talks:
            _, still = await asyncio.wait(talks, timeout=_FAREWELL)
            for task in still:
                task.cancel()
            await asyncio.gather(*still, return_exceptions=True)


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


def request(method: str, target: str, body: str | bytes = b"", **headers: str) -> Request:
    """A request as a browser sends it; form encoded unless `Content_Type` says otherwise."""
    names = {
        "Host": "recorded.test",
        "User-Agent": "tests",
        **{n.replace("_", "-"): v for n, v in headers.items()},
    }
    data = body.encode() if isinstance(body, str) else body
    if data:
        names.setdefault("Content-Type", "application/x-www-form-urlencoded")
    fields = tuple(Field.of(name.encode(), value.encode()) for name, value in names.items())
    return Request(method=method.encode(), target=target.encode("latin-1"), fields=fields).with_body(data)


def record_exchanges(origin: Origin, requests: Sequence[Request]) -> list[Baseline]:
    """Baselines with the answers that the target really gives, in order."""

    async def work() -> list[Baseline]:
        client, made = WireClient(), []
        for number, asked in enumerate(requests, 1):
            response, elapsed = await client.send(origin, asked.render(), method=asked.method, timeout=10)
            made.append(baseline(number, origin, asked, response, elapsed))
        client.close()
        return made

    return uvloop.run(work())


def baseline(
    number: int, origin: Origin, asked: Request, response: Response, elapsed: float = 0.01
) -> Baseline:
    return Baseline(
        sequence=number, origin=origin, request=asked, response=response, started=float(number),
        duration=elapsed, connection=1, test=f"test_{number}", truncated=False,
    )  # fmt: skip


def store_baselines(folder: Path, baselines: Sequence[Baseline]) -> Record:
    """The baselines as a record on disk."""
    store = Store(folder / "store")
    recorder = store.create("tests")
    for b in baselines:
        recorder.add(b.origin, b.request, b.response, started=b.started, duration=b.duration, test=b.test)
    recorder.close()
    return store.choose()


@dataclass(kw_only=True)
class Outcome:
    """A run and what it said."""

    run: Run
    lines: list[str]

    @property
    def found(self) -> list[tuple[str, str, str]]:
        """Type, point and route of every finding."""
        return [(f.type, f.point, f.route) for f in self.run.findings]


def run_engine(
    baselines: Sequence[Baseline],
    extensions: Sequence[str],
    folder: Path,
    *,
    policy: str = "default",
    detects: Sequence[str] = (),
    record: Record | None = None,
    stop_when: Callable[[list[str]], bool] | None = None,
    changes: Path | None = None,
    login: Login | None = None,
    **variables: str,
) -> Outcome:
    """Run the engine with these extensions (YAML texts, loaded by the real loader) and settings.

    `detects` are the names of built-in ones to run besides.

    `stop_when` is asked at every console line; when it says so, the run is stopped as by a signal.
    """
    home = folder / "extensions"
    home.mkdir(exist_ok=True)
    for number, text in enumerate(extensions, 1):
        (home / f"e{number}.yaml").write_text(text)
    loaded, faults = load_extensions(home, builtin=False)
    assert not faults, faults
    loaded += [extension for extension in builtin_extensions() if extension.name in detects]
    lines: list[str] = []

    async def work() -> Run:
        stop = asyncio.Event()

        def say(line: str) -> None:
            lines.append(line)
            if stop_when and stop_when(lines):
                stop.set()

        used = record or Record(
            id="rec_0001", name="tests", build_id="", created=0, closed=1, baselines=len(baselines),
            seen={}, path=folder / "none",
        )  # fmt: skip
        return await run_tests(
            run_id="tr_0001",
            settings=parse_settings({"CI_MODE": "testing", "TEST_RUN_NAME": "test run", **variables}),
            record=used,
            baselines=iter(baselines),
            extensions=loaded,
            policy=load_policy(policy, None),
            say=say,
            stop=stop,
            changes=changes,
            login=login,
        )

    return Outcome(run=uvloop.run(work()), lines=lines)

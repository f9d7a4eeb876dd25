"""How fast testing goes: the engine against a bare client loop, both to one local server in the same run.

Prints a table; `--json FILE` writes it with `ratios` (reference name -> ours/reference). The server is nginx
where it is installed (one worker, a fixed small page), else an asyncio server in a process of its own.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httptools
import uvloop

from fastci.config import parse_settings
from fastci.node.dsl import builtin_extensions, load_extensions
from fastci.node.engine.client import WireClient
from fastci.node.engine.run import run_tests
from fastci.node.message import Field, Origin, Request, Response
from fastci.node.policy import load_policy
from fastci.node.store import Baseline, Record, Store
from fastci.results import render_document

CONNECTIONS = 10
PAGE = b"<html><body><p>welcome</p></body></html>"
CONF = """daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder};
  proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ default_type text/html; return 200 "{page}"; }} }} }}
"""
EXTENSION = """
meta-info: {type: sqli, title: bench, threat: 50, description: bench}
generate:
  payload: [%s]
detect:
  response:
    - body: 'this never matches [0-9]{12}'
"""


def answer_in_asyncio(port: int) -> None:
    """The stand-in for nginx."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(head % len(PAGE) + PAGE)  # type: ignore[attr-defined]

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(serve())


@contextlib.contextmanager
def local_server() -> Iterator[tuple[str, Origin]]:
    """A running server: its name, and where it is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    with tempfile.TemporaryDirectory() as folder:
        if nginx:
            conf = Path(folder, "nginx.conf")
            conf.write_text(CONF.format(folder=folder, port=port, page=PAGE.decode()))
            command = [nginx, "-c", str(conf), "-p", folder]
        else:
            command = [sys.executable, __file__, "--serve", str(port)]
        process = subprocess.Popen(command)
        try:
            end = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                if time.monotonic() > end or process.poll() is not None:
                    raise SystemExit("the local server does not start")
                time.sleep(0.05)
            yield "nginx" if nginx else "asyncio", Origin(scheme="http", host="127.0.0.1", port=port)
        finally:
            process.terminate()
            process.wait(10)


def request_of(origin: Origin, number: int) -> Request:
    target = b"/items/search/page%d?q=tea&category=drinks&page=1" % number
    fields = [(b"Host", origin.authority.encode()), (b"User-Agent", b"bench"), (b"Accept", b"text/html")]
    return Request(method=b"GET", target=target, fields=tuple(Field.of(*field) for field in fields))


class Bare(asyncio.Protocol):
    """The reference: a client that does nothing but write bytes and await httptools' end of the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()

    def ask(self, data: bytes) -> "asyncio.Future[None]":
        self.parser = httptools.HttpResponseParser(self)
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.done = self.loop.create_future()
        self.transport.write(data)  # type: ignore[attr-defined]
        return self.done

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.done.set_result(None)


async def bare_loop(origin: Origin, seconds: float) -> float:
    """Requests a second of the reference."""
    data, count = request_of(origin, 1).render(), 0
    begin = time.perf_counter()

    async def work() -> None:
        nonlocal count
        loop = asyncio.get_running_loop()
        transport, bare = await loop.create_connection(Bare, origin.host, origin.port)
        while time.perf_counter() < begin + seconds:
            await bare.ask(data)
            count += 1
        transport.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return count / (time.perf_counter() - begin)


async def wire_client(origin: Origin, seconds: float) -> float:
    """Requests a second of the engine's client by itself."""
    client, data, count = WireClient(), request_of(origin, 1).render(), 0
    begin = time.perf_counter()

    async def work() -> None:
        nonlocal count
        while time.perf_counter() < begin + seconds:
            await client.send(origin, data, method=b"GET", timeout=10)
            count += 1

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    client.close()
    return count / (time.perf_counter() - begin)


def record_on_disk(folder: Path, origin: Origin, count: int) -> Record:
    """What several processes read: the same baselines as a record's file."""
    store = Store(folder)
    recorder = store.create("bench")
    for each in baselines_of(origin, count):
        recorder.add(each.origin, each.request, each.response, started=0, duration=0.001)
    recorder.close()
    return store.choose()


def record_of(count: int) -> Record:
    return Record(
        id="rec_0001", name="bench", build_id="", created=0, closed=0, baselines=count, seen={}, path=Path()
    )


def baselines_of(origin: Origin, count: int) -> Iterator[Baseline]:
    for number in range(1, count + 1):
        yield Baseline(
            sequence=number, origin=origin, request=request_of(origin, number),
            response=Response(status=200, body=PAGE), started=0, duration=0.001, connection=1, test="",
            truncated=False,
        )  # fmt: skip


async def engine(
    origin: Origin, baselines: int, payloads: int, record: Record | None = None, **variables: str
) -> tuple[float, int, float]:
    """Requests a second of a whole run, its requests, and the seconds until the first baseline began."""
    names = {"CI_MODE": "testing", "WORKERS": str(CONNECTIONS), "FAST_SKIP_DUPLICATES": "false"}
    with tempfile.TemporaryDirectory() as folder:
        text = EXTENSION % ", ".join(f"'STR_MARKER{n}'" for n in range(payloads))
        Path(folder, "bench.yaml").write_text(text)
        extensions, faults = load_extensions(Path(folder), builtin=True)
    assert not faults, faults
    lines: list[float] = []
    begin = time.perf_counter()
    run = await run_tests(
        run_id="tr_0001",
        settings=parse_settings(names | variables),
        record=record or record_of(baselines),
        baselines=baselines_of(origin, baselines),
        extensions=extensions,
        policy=load_policy("default", None),
        say=lambda _: lines.append(time.perf_counter()),
        stop=asyncio.Event(),
    )
    assert run.state == "passed", run.messages
    seconds = time.perf_counter() - begin
    return run.sent_requests / seconds, run.sent_requests, lines[0] - begin


async def many_baselines(origin: Origin, count: int, seconds: float) -> None:
    """Test a record of so many baselines with the default policy and every built-in detect for a while.

    Prints, as JSON, the seconds until the first test request, the peak memory in MB, and how far it came.
    """
    stop, begin, first = asyncio.Event(), time.perf_counter(), [0.0]

    def say(_: str) -> None:
        first[0] = first[0] or time.perf_counter() - begin

    asyncio.get_running_loop().call_later(seconds, stop.set)
    run = await run_tests(
        run_id="tr_0001",
        settings=parse_settings({"CI_MODE": "testing", "FAST_SKIP_DUPLICATES": "false", "FAST_OOB": "false"}),
        record=record_of(count),
        baselines=baselines_of(origin, count),
        extensions=builtin_extensions(),
        policy=load_policy("default", None),
        say=say,
        stop=stop,
    )
    ended = run.count("passed") + run.count("failed") + run.count("tech_failed")
    # As at the end of the whole run: every baseline has the coverage that the tested ones have.
    whole = next((check.coverage for check in run.checks if check.requests), [])
    run = replace(run, checks=[replace(check, coverage=list(whole)) for check in run.checks])
    render_document(run)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    facts = {"first": first[0], "memory": peak, "listed": len(run.checks), "ended": ended}
    print(json.dumps(facts | {"requests": run.sent_requests}))


def in_a_process_of_its_own(origin: Origin, count: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--many", str(count), "--port", str(origin.port)]
    done = subprocess.run([*command, "--seconds", str(seconds)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter measurements")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--many", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        answer_in_asyncio(options.serve)
        return
    if options.many:
        here = Origin(scheme="http", host="127.0.0.1", port=options.port)
        uvloop.run(many_baselines(here, options.many, options.seconds))
        return
    seconds, scale = (2.0, 40) if options.quick else (6.0, 200)
    rows: list[tuple[str, float, str]] = []
    with local_server() as (server, origin):
        bare = best(lambda: bare_loop(origin, seconds))
        wire = best(lambda: wire_client(origin, seconds))
        rate, sent, _ = uvloop.run(engine(origin, scale, 60))
        rows += [
            (f"bare client loop (httptools), {CONNECTIONS} connections", bare, "requests/s"),
            ("wire client alone", wire, "requests/s"),
            (f"engine, {scale} baselines, {sent} requests", rate, "requests/s"),
        ]
        limit = 200
        limited, sent, _ = uvloop.run(engine(origin, 2, 60, TEST_RUN_RPS=str(limit)))
        rows.append((f"engine, TEST_RUN_RPS={limit}, {sent} requests", limited, "requests/s"))
        with tempfile.TemporaryDirectory() as folder:
            # Starting a process takes a second: it must not be what is measured.
            record = record_on_disk(Path(folder), origin, 15 * scale)
            double, sent, _ = uvloop.run(engine(origin, 15 * scale, 60, record, PROCESSES="2"))
        rows.append((f"engine, 2 processes, {15 * scale} baselines, {sent} requests", double, "requests/s"))
        times = []
        for part in (1, 2, 4):
            part_rate, sent, _ = uvloop.run(engine(origin, part * scale // 4, 60))
            times.append(sent / part_rate)
            rows.append((f"time for {part * scale // 4} baselines, {sent} requests", times[-1], "s"))
        found = in_a_process_of_its_own(origin, 10_000, 10 if options.quick else 60)
        first, memory = found["first"], found["memory"]
        rows += [
            ("first test request of 10000 baselines, default policy, after", first, "s"),
            (f"peak memory with {found['listed']:.0f} of them in the results", memory, "MB"),
        ]
    print(f"server: {server}")
    for name, value, unit in rows:
        print(f"{name:60} {value:12,.2f} {unit}")
    ratios = {
        "bare_client_loop": rate / bare,
        "wire_client_to_bare": wire / bare,
        "rps_limit": limited / limit,
        "two_processes_to_one": double / rate,
        "time_to_linear": times[2] / (4 * times[0]),
    }
    for name, value in ratios.items():
        print(f"ratio to {name:51} {value:12.3f}")
    if options.json:
        facts = {"server": server, "rows": rows, "ratios": ratios, "first_test_s": first, "memory_mb": memory}
        options.json.write_text(json.dumps(facts, indent=1))


def best(measure: Callable[[], Awaitable[float]], times: int = 2) -> float:
    """The best of several measurements: what disturbs makes slower, never faster."""

    async def once() -> float:
        return await measure()

    return max(uvloop.run(once()) for _ in range(times))


if __name__ == "__main__":
    main()

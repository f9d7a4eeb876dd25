"""How fast testing goes: the engine against a bare client loop, both to one local server in the same run.

Prints a table; `--json FILE` writes it with `ratios` (reference name -> ours/reference). The server is nginx
where it is installed (one worker), else an asyncio server in a process of its own. What a target has seen it
says itself: it logs the moment of every request, and all rates but the memory's are worked out from that.

- A bare loop sends the same requests over as many connections, in one warm process, and reads each answer
  whole: once by the engine's own wire client, once by the least that Python can do, a parser in C whose
  results nobody looks at. They and the engine take turns; a ratio is the median of the turns' ratios.
- "steady" is the rate between the first and the last test request, "whole" that from the call to the results:
  with the plan, the journal on the disk and the summing up.
- A page that is always the same flatters what remembers answers. In the other rows no two bodies are alike.
- WORKERS is the same in every process. Two processes need a third CPU, or a target that leaves them most of
  two: the engine with the default policy works long on each request, and the slow target sleeps.
- The many baselines are tested by the node itself, started as a pipeline starts it. Only without `--quick`
  are they tested to the end, which takes minutes and gives the peak with what rendering the results takes
  (about 90 MB); with it, what they come to until then is foretold from the growth over the first of them.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import httptools
import uvloop

from fastci.config import parse_settings
from fastci.node.dsl import Extension, builtin_extensions, load_extensions
from fastci.node.engine.client import WireClient
from fastci.node.engine.journal import JournalPlace
from fastci.node.engine.run import run_tests
from fastci.node.message import Field, Origin, Request, Response
from fastci.node.policy import load_policy
from fastci.node.store import Record, Store

WORKERS = 10
MANY = 10_000
SLEEP = 0.005
"""Seconds that the slow target takes to answer; meanwhile it takes other requests."""

PAGE = "<html><body><p>welcome</p><i>%s</i></body></html>"
CONF = """daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{ log_format moment $msec; keepalive_requests 1000000000; client_body_temp_path {folder};
  proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  access_log {log} moment buffer=64k flush=100ms; default_type text/html;
  server {{ listen 127.0.0.1:{port};
    location / {{ return 200 "{same}"; }} location /varying/ {{ return 200 "{varying}"; }} }} }}
"""
EXTENSION = """
meta-info: {type: sqli, title: bench, threat: 50, description: bench}
generate:
  payload: [%s]
detect:
  response:
    - body: 'this never matches [0-9]{12}'
"""
_PROGRESS = re.compile(rb"Progress: (\d+) of")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A local server. `log` gets the moment of every request, as seconds since the epoch on a line."""

    name: str
    origin: Origin
    log: Path

    def forget(self) -> None:
        self.seen()
        os.truncate(self.log, 0)

    def seen(self) -> list[float]:
        """The moments of the requests since `forget`, when the log has come to rest."""
        size = -1
        while size != (size := self.log.stat().st_size):
            time.sleep(0.3)
        return sorted(map(float, self.log.read_bytes().split()))


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Requests a second that a target saw: between the first and the last, and over the whole run."""

    count: int
    steady: float
    whole: float
    cost: float
    """Microseconds of processor time of this process for a request."""

    @classmethod
    def of(cls, moments: Sequence[float], begin: float, end: float, spent: float) -> "Rate":
        between = max(moments[-1] - moments[0], 0.001)
        count = len(moments)
        return cls(
            count=count,
            steady=(count - 1) / between,
            whole=count / (end - begin),
            cost=spent / count * 1e6,
        )


# targets


def answer_in_asyncio(port: int, log: str, sleep: float) -> None:
    """The slow target, and the stand-in for nginx."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    moments: list[str] = []

    class Answer(asyncio.Protocol):
        count = 0

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.loop = asyncio.get_running_loop()

        def data_received(self, data: bytes) -> None:
            Answer.count += 1
            number = Answer.count if b"/varying/" in data[:64] else 0
            body = (PAGE % f"{number:032x}").encode()
            answer = head % len(body) + body
            moments.append(f"{time.time():.3f}\n")
            if sleep:
                self.loop.call_later(sleep, self.transport.write, answer)  # type: ignore[attr-defined]
            else:
                self.transport.write(answer)  # type: ignore[attr-defined]

    async def serve() -> None:
        await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", port)
        with Path(log).open("a") as file:
            while True:
                await asyncio.sleep(0.1)
                file.write("".join(moments))
                file.flush()
                moments.clear()

    uvloop.run(serve())


@contextlib.contextmanager
def local_server(*, sleep: float = 0.0) -> Iterator[Target]:
    """A running server; nginx cannot sleep."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "moments")
        log.touch()
        command = [sys.executable, __file__, "--serve", str(port), "--log", str(log), "--sleep", str(sleep)]
        if nginx and not sleep:
            conf = Path(folder, "nginx.conf")
            pages = {"same": PAGE % ("0" * 32), "varying": PAGE % "$request_id"}
            conf.write_text(CONF.format(folder=folder, log=log, port=port, **pages))
            command = [nginx, "-c", str(conf), "-p", folder]
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
            name = "nginx" if command[0] == nginx else "asyncio"
            yield Target(name=name, origin=Origin(scheme="http", host="127.0.0.1", port=port), log=log)
        finally:
            process.terminate()
            process.wait(10)


# what is sent


def request_of(origin: Origin, number: int, folder: str) -> Request:
    target = f"/{folder}/search/page{number}?q=tea&category=drinks&page=1".encode()
    fields = [(b"Host", origin.authority.encode()), (b"User-Agent", b"bench"), (b"Accept", b"text/html")]
    return Request(method=b"GET", target=target, fields=tuple(Field.of(*field) for field in fields))


def record_of(store: Path, origin: Origin, count: int, folder: str) -> Record:
    """A record of so many baselines, as recording leaves it."""
    recorder = Store(store).create("bench")
    answer = Response(status=200, body=(PAGE % "recorded").encode())
    for number in range(1, count + 1):
        recorder.add(origin, request_of(origin, number, folder), answer, started=0, duration=0.001)
    recorder.close()
    return Store(store).choose()


def one_extension() -> list[Extension]:
    """One check of 60 payloads that finds nothing: what is left is the engine itself."""
    with tempfile.TemporaryDirectory() as folder:
        text = EXTENSION % ", ".join(f"'STR_MARKER{n}'" for n in range(60))
        Path(folder, "bench.yaml").write_text(text)
        extensions, faults = load_extensions(Path(folder), builtin=True)
    assert not faults, faults
    return extensions


# the references


class Bare(asyncio.Protocol):
    """A client that does nothing but write bytes and await httptools' end of the answer."""

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


Ask = Callable[[bytes], Awaitable[object]]


async def by_httptools(origin: Origin) -> Ask:
    loop = asyncio.get_running_loop()
    _, bare = await loop.create_connection(Bare, origin.host, origin.port)
    return bare.ask


async def by_wire_client(origin: Origin) -> Ask:
    return partial(WireClient(idle_limit=1).line(origin).send, method=b"GET", timeout=30)


def bare_loop(
    target: Target, seconds: float, folder: str, client: Callable[[Origin], Awaitable[Ask]]
) -> Rate:
    """`WORKERS` connections of a client, each asking again as soon as it is answered."""
    requests = cycle([request_of(target.origin, number, folder).render() for number in range(1, 500)])

    async def work(until: float) -> None:
        ask = await client(target.origin)
        while time.perf_counter() < until:
            await ask(next(requests))

    async def work_all() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(work(until) for _ in range(WORKERS)))

    target.forget()
    begin, spent = time.time(), time.process_time()
    uvloop.run(work_all())
    end, spent = time.time(), time.process_time() - spent
    return Rate.of(target.seen(), begin, end, spent)


# the engine


def engine(
    target: Target,
    baselines: int,
    folder: str,
    extensions: Sequence[Extension],
    *,
    processes: int = 1,
    **variables: str,
) -> Rate:
    """A whole run: from a record's file, with its journal, in this process or in several."""
    names = {
        "CI_MODE": "testing", "WORKERS": str(WORKERS), "PROCESSES": str(processes), "FAST_OOB": "false",
        "FAST_SKIP_DUPLICATES": "false",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        record = record_of(Path(place), target.origin, baselines, folder)
        target.forget()
        begin, spent = time.time(), time.process_time()
        run = uvloop.run(
            run_tests(
                run_id="tr_0001",
                settings=parse_settings(names | variables),
                record=record,
                baselines=Store(Path(place)).baselines(record),
                extensions=extensions,
                policy=load_policy("default", None),
                say=lambda _: None,
                stop=asyncio.Event(),
                journal=JournalPlace(
                    folder=Path(place), run_id="tr_0001", record_id=record.id, subject="bench"
                ),
            )
        )
        end, spent = time.time(), time.process_time() - spent
    assert run.state == "passed", run.messages
    rate = Rate.of(target.seen(), begin, end, spent)
    assert rate.count == run.sent_requests, (rate.count, run.sent_requests)
    return rate


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node that tested a record in a process of its own. `memory` is its peak in MB; foretold where it was
    ended before, and without the rendering of the results."""

    first: float
    memory: float
    tested: int
    requests: int
    seconds: float


def node(target: Target, count: int, seconds: float) -> Node:
    """Let the node test so many baselines with the default policy, to the end where `seconds` is 0.

    Ended before, its memory is foretold from what it has grown for each baseline since the first hundred.
    """
    with tempfile.TemporaryDirectory() as place:
        store = Path(place, "store")
        record_of(store, target.origin, count, "varying")
        target.forget()
        environ = {
            "CI_MODE": "testing", "FAST_STORE": str(store), "FAST_REPORTS": f"{place}/reports",
            "FAST_SKIP_DUPLICATES": "false", "FAST_OOB": "false", "FAST_PROGRESS_EVERY": "1",
            "FAST_RUN_ID": "tr_0001",
        }  # fmt: skip
        begin = time.time()
        process = subprocess.Popen(
            [sys.executable, "-m", "fastci", "node"], stdout=subprocess.PIPE, env=os.environ | environ
        )
        assert process.stdout is not None
        seen: list[tuple[int, float]] = []
        if seconds:
            threading.Timer(seconds, process.send_signal, (signal.SIGTERM,)).start()
        for line in process.stdout:
            if known := _PROGRESS.search(line):
                seen.append((int(known[1]), resident(process.pid)))
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
        end = time.time()
        moments = target.seen()
    memory = usage.ru_maxrss / 1024
    tested, grown = seen[-1]
    if seconds:
        early = next(each for each in seen if each[0] >= 100)
        memory = grown + (count - tested) * (grown - early[1]) / (tested - early[0])
    return Node(
        first=moments[0] - begin, memory=memory, tested=tested, requests=len(moments), seconds=end - begin
    )


def resident(pid: int) -> float:
    """MB of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


# the table


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter measurements")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--log", help=argparse.SUPPRESS)
    parser.add_argument("--sleep", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        answer_in_asyncio(options.serve, options.log, options.sleep)
        return
    measure(Table(), options.quick, options.json)


class Table:
    """Rows are printed as they come: the whole takes minutes."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, str]] = []
        self.ratios: dict[str, float] = {}

    def row(self, name: str, value: float, unit: str) -> None:
        self.rows.append((name, value, unit))
        print(f"{name:96} {value:12,.2f} {unit}", flush=True)

    def ratio(self, name: str, value: float) -> None:
        self.ratios[name] = value
        print(f"ratio to {name:87} {value:12.3f}", flush=True)


def measure(table: Table, quick: bool, to_file: Path | None) -> None:
    turns, seconds, scale = (3, 1.5, 100) if quick else (5, 4.0, 400)
    light, full = one_extension(), builtin_extensions()
    with local_server() as target:
        print(f"server: {target.name}; {WORKERS} connections, and WORKERS={WORKERS} in each process")
        bare_loop(target, seconds / 2, "same", by_httptools)
        for folder, page in (("same", "same page always"), ("varying", "no two bodies alike")):
            turns_taken = [
                (
                    bare_loop(target, seconds, folder, by_wire_client),
                    bare_loop(target, seconds, folder, by_httptools),
                    engine(target, scale, folder, light),
                )
                for _ in range(turns)
            ]
            wires, bares, engines = zip(*turns_taken, strict=True)
            name = f"engine, {scale} baselines, {engines[0].count} requests, {page}"
            for what, rates in (("wire client", wires), ("httptools", bares)):
                table.row(f"bare loop of {what}, {page}", median(r.steady for r in rates), "requests/s")
            table.row(f"{name}, steady", median(r.steady for r in engines), "requests/s")
            table.row(f"{name}, whole", median(r.whole for r in engines), "requests/s")
            for what, rates in (("wire client", wires), ("httptools", bares), ("engine", engines)):
                table.row(f"processor time a request, {what}, {page}", median(r.cost for r in rates), "us")
            for what, rates in (("bare_client_loop", wires), ("bare_httptools_loop", bares)):
                key = what + ("" if folder == "same" else "_varying")
                pairs = list(zip(rates, engines, strict=True))
                table.ratio(key, median(e.steady / r.steady for r, e in pairs))
                table.ratio(f"{key}_whole", median(e.whole / r.steady for r, e in pairs))
                table.ratio(f"{key}_cpu", median(r.cost / e.cost for r, e in pairs))
        limit = 200
        limited = engine(target, 2, "varying", light, TEST_RUN_RPS=str(limit))
        table.row(f"engine, TEST_RUN_RPS={limit}, {limited.count} requests", limited.steady, "requests/s")
        table.ratio("rps_limit", limited.steady / limit)
        two_to_one(table, "two_processes_to_one", "default policy", target, scale, full, turns)
        times = {part: engine(target, part * scale // 4, "varying", light) for part in (1, 2, 4)}
        for part, rate in times.items():
            name = f"time for {part * scale // 4} baselines, {rate.count} requests"
            table.row(name, rate.count / rate.whole, "s")
        table.ratio("time_to_linear", times[1].whole / times[4].whole)
        found = node(target, MANY, 15 if quick else 0)
        name = f"node, {MANY} baselines, default policy"
        table.row(f"{name}: first test request after its start", found.first, "s")
        told = (
            f"memory until the results are rendered, foretold after {found.tested}"
            if quick
            else f"peak memory of the whole run, {found.requests} requests"
        )
        table.row(f"{name}: {told}", found.memory, "MB")
        table.row(f"{name}: time, {found.tested} of them tested", found.seconds, "s")
    with local_server(sleep=SLEEP) as slow:
        what = f"target that sleeps {SLEEP * 1000:.0f} ms"
        two_to_one(table, "two_processes_to_one_sleeping", what, slow, 4 * WORKERS, light, turns)
    if to_file:
        facts = {"server": target.name, "rows": table.rows, "ratios": table.ratios}
        memory = "memory_before_results_mb" if quick else "memory_mb"
        facts |= {"first_test_s": found.first, memory: found.memory}
        to_file.write_text(json.dumps(facts, indent=1))


def two_to_one(
    table: Table, key: str, what: str, target: Target, scale: int, extensions: Sequence[Extension], turns: int
) -> None:
    """The same baselines by one process and by two, in turns."""
    pairs = [
        [engine(target, scale, "varying", extensions, processes=count) for count in (1, 2)]
        for _ in range(turns)
    ]
    for count in (1, 2):
        name = f"engine, {what}, PROCESSES={count}, {scale} baselines, {pairs[0][0].count} requests"
        table.row(name, median(pair[count - 1].steady for pair in pairs), "requests/s")
    table.ratio(key, median(two.steady / one.steady for one, two in pairs))


if __name__ == "__main__":
    main()

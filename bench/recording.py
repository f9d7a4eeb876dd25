"""What recording costs: requests a second and latency, direct, through this proxy, and through others.

    python bench/recording.py [--quick] [--json FILE] [--references FOLDER | --no-references]

One origin (nginx with one worker where it is installed, else a small server of our own), one proxy process at
a time, every measure of a row taken in turn in the same run. HTTP is loaded by `wrk` where it is installed;
HTTPS, which goes through CONNECT, by a client of our own, which is slower, for all of them alike. The
references are mitmproxy with an addon that records each exchange to SQLite, and proxy.py, which records
nothing and does not look into TLS; both are installed into FOLDER, a virtual environment, at the first use.

`ratios` in the JSON are ours/reference in requests a second, `figures` what the project owes and got.
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fastci.config import parse_settings
from fastci.node.proxy import Authority, serve
from fastci.node.proxy.connection import Connection
from fastci.node.proxy.wire import head_end
from fastci.node.store import Store

TINY, LARGE = b"hello", b"0123456789abcdef" * 3200
BODIES = {"tiny": TINY, "50 KB": LARGE}
REFERENCES = {"mitmproxy": "mitmproxy==11.0.2", "proxy.py": "proxy.py==2.4.10"}
ADDON = """
import sqlite3

class Record:
    def load(self, loader):
        self.db = sqlite3.connect({path!r}, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")
        self.db.execute("CREATE TABLE exchange (url, request, request_body, head, body, started, duration)")

    def response(self, flow):
        request, response = flow.request, flow.response
        duration = (response.timestamp_end or 0) - request.timestamp_start
        row = (request.pretty_url, bytes(request.headers), request.raw_content, bytes(response.headers),
               response.raw_content, request.timestamp_start, duration)
        self.db.execute("INSERT INTO exchange VALUES (?, ?, ?, ?, ?, ?, ?)", row)

addons = [Record()]
"""
NGINX = """
worker_processes 1; daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl; root {folder}/www;
    ssl_certificate {folder}/origin.pem; ssl_certificate_key {folder}/origin.pem;
  }}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One load: requests a second, median and 99th percentile of the latency in milliseconds."""

    rate: float
    median: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked for: `proxy` is None for a direct client."""

    target: tuple[str, int]
    path: str
    proxy: tuple[str, int] | None
    tls: bool
    connections: int
    seconds: float


# processes of this file's own


class Client(Connection):
    """One client connection that asks again as soon as it has its answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, load: Load, took: list[float]) -> None:
        super().__init__(loop)
        self.load = load
        self.took = took
        self.opened = load.proxy is None or not load.tls
        self.left = 0
        self.data = b""
        self.since = 0.0
        host, port = load.target
        absolute = f"http://{host}:{port}" if load.proxy and not load.tls else ""
        self.request = f"GET {absolute}{load.path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()

    def begin(self) -> None:
        if not self.opened:
            host, port = self.load.target
            self.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        elif self.load.tls:
            self.shake_hands()
        else:
            self.ask()

    def shake_hands(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.speak_tls(context, server_side=False)

    def data_received(self, data: bytes) -> None:
        before = self.established
        super().data_received(data)
        if self.established and not before:
            self.ask()

    def ask(self) -> None:
        self.since = time.perf_counter()
        self.write(self.request)

    def received(self, data: bytes) -> None:
        if not self.opened:
            self.data += data
            if head_end(self.data) > 0:
                self.opened, self.data = True, b""
                self.shake_hands()
            return
        if not self.left:
            self.data += data
            end = head_end(self.data)
            if end < 0:
                return
            length = re.search(rb"(?i)content-length: *(\d+)", self.data[:end])
            if not self.data.startswith(b"HTTP/1.1 200") or not length:
                raise SystemExit(f"unexpected answer: {self.data[:200]!r}")
            self.left = int(length[1]) - (len(self.data) - end)
            self.data = b""
        else:
            self.left -= len(data)
        if self.left <= 0:
            self.took.append(time.perf_counter() - self.since)
            self.ask()


async def own_client(load: Load) -> None:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    clients = []
    for _ in range(load.connections):
        _, client = await loop.create_connection(
            lambda: Client(loop, load, took), *(load.proxy or load.target)
        )
        clients.append(client)
    for client in clients:
        client.begin()
    while len(took) < load.connections:
        if any(client.closed for client in clients):
            raise SystemExit("a connection was closed")
        await asyncio.sleep(0.01)
    took.clear()
    await asyncio.sleep(load.seconds)
    took.sort()
    print(
        json.dumps([len(took) / load.seconds, took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3])
    )


class Server(asyncio.Protocol):
    """The origin where nginx is not installed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        body = LARGE if b"/large" in data else TINY
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write((head + body) * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


async def own_origin(folder: Path, http: int, https: int) -> None:
    loop = asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "origin.pem")
    await loop.create_server(Server, "127.0.0.1", http)
    await loop.create_server(Server, "127.0.0.1", https, ssl=context)
    await asyncio.Event().wait()


async def own_proxy(folder: Path, port: int) -> None:
    settings = parse_settings({"FAST_LISTEN": f"127.0.0.1:{port}", "FAST_STORE": str(folder)})
    recorder = Store(folder).create("bench")
    await serve(settings, recorder, authority=Authority.create(), stop=asyncio.Event(), say=print)


# measuring


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, *, patience: float = 30.0) -> Iterator[tuple[int, float]]:
    """A process that listens on `port`: its id, and how many seconds it took until it did."""
    begin = time.perf_counter()
    errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed below)
    # A session of its own: some proxies leave their workers behind when they are killed.
    process = subprocess.Popen(command, stdout=errors, stderr=errors, start_new_session=True)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.perf_counter() - begin > patience:
                errors.seek(0)
                raise RuntimeError(f"{command[0]} is not ready: {errors.read().decode()[-500:]}")
            time.sleep(0.005)
        yield process.pid, time.perf_counter() - begin
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        errors.close()


def myself(*words: object) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), *map(str, words)]


def self_signed() -> bytes:
    """Certificate and key of the origin."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "origin.test")])
    now = datetime.datetime.now(datetime.UTC)
    life = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - life).not_valid_after(now + life)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(pem)
    return certificate + key.private_bytes(pem, pkcs8, serialization.NoEncryption())


@contextlib.contextmanager
def origin(folder: Path) -> Iterator[tuple[int, int, str]]:
    """Its HTTP and HTTPS ports and what it is."""
    http, https = free_port(), free_port()
    (folder / "origin.pem").write_bytes(self_signed())
    (folder / "www").mkdir()
    (folder / "www" / "tiny").write_bytes(TINY)
    (folder / "www" / "large").write_bytes(LARGE)
    nginx = shutil.which("nginx")
    if nginx:
        folder.chmod(0o755)
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, http=http, https=https))
        command = [nginx, "-c", str(config), "-p", str(folder)]
    else:
        command = myself("--be", "origin", folder, http, https)
    with running(command, http):
        yield http, https, "nginx" if nginx else "own origin"


def measure(load: Load, folder: Path) -> Measure:
    wrk = shutil.which("wrk")
    if load.tls or not wrk:
        facts = json.dumps([load.target, load.path, load.proxy, load.tls, load.connections, load.seconds])
        out = subprocess.run(
            myself("--be", "client", facts), capture_output=True, text=True, timeout=60, check=False
        ).stdout
        if not out:
            raise RuntimeError("the load client got no answer")
        rate, median, p99 = json.loads(out)
        return Measure(rate=rate, median=median, p99=p99)
    host, port = load.target
    script = folder / "load.lua"
    absolute = f"http://{host}:{port}" if load.proxy else ""
    script.write_text(f'wrk.path = "{absolute}{load.path}"\nwrk.headers["Host"] = "{host}:{port}"\n')
    at = "http://{}:{}/".format(*(load.proxy or load.target))
    words = [
        wrk,
        "-t1",
        f"-c{load.connections}",
        f"-d{max(1, round(load.seconds))}",
        "-s",
        str(script),
        "--latency",
    ]
    out = subprocess.run([*words, at], capture_output=True, text=True, timeout=60, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(out)
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", out)[0])
    median, p99 = (milliseconds(re.findall(rf"\s{p}%\s+(\S+)", out)[0]) for p in (50, 99))
    return Measure(rate=rate, median=median, p99=p99)


def milliseconds(text: str) -> float:
    number, unit = re.findall(r"([\d.]+)(\w+)", text)[0]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[unit]


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


# who is measured


Starter = Callable[[Path, int], list[str]]


def start_ours(folder: Path, port: int) -> list[str]:
    return myself("--be", "proxy", tempfile.mkdtemp(dir=folder), port)


def reference_starters(venv: Path) -> dict[str, Starter]:
    def mitmproxy(folder: Path, port: int) -> list[str]:
        place = Path(tempfile.mkdtemp(dir=folder))
        (place / "record.py").write_text(ADDON.format(path=str(place / "record.sqlite")))
        return [
            str(venv / "bin" / "mitmdump"), "--quiet", "--set", f"confdir={place}", "--ssl-insecure",
            "--listen-host", "127.0.0.1", "--listen-port", str(port), "--scripts", str(place / "record.py"),
        ]  # fmt: skip

    def proxy_py(folder: Path, port: int) -> list[str]:
        return [
            str(venv / "bin" / "proxy"), "--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1",
            "--num-acceptors", "1", "--log-level", "e", "--data-dir", tempfile.mkdtemp(dir=folder),
        ]  # fmt: skip

    return {"mitmproxy": mitmproxy, "proxy.py": proxy_py}


def install_references(venv: Path) -> None:
    """Raises CalledProcessError when they cannot be had."""
    if not (venv / "bin" / "mitmdump").exists() or not (venv / "bin" / "proxy").exists():
        print(f"installing {', '.join(REFERENCES.values())} into {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", *REFERENCES.values()], check=True)


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    starters: dict[str, Starter] = {"ours": start_ours}
    notes = []
    if arguments.references:
        try:
            install_references(arguments.references)
            starters |= reference_starters(arguments.references)
        except (OSError, subprocess.CalledProcessError) as error:
            notes.append(f"references could not be installed: {error}")
    seconds, rounds = (1.0, 1) if arguments.quick else (3.0, 3)
    connections = (1, 8) if arguments.quick else (1, 8, 64)
    rows: list[dict[str, object]] = []
    with origin(folder) as (http, https, what):
        client = "wrk" if shutil.which("wrk") else "own client"
        print(f"origin: {what}; HTTP client: {client}; HTTPS client: own client; {os.cpu_count()} CPUs")
        print(f"{'':22}" + "".join(f"{name:>26}" for name in ("direct", *starters)))
        for tls in (False, True):
            for size, path in (("tiny", "/tiny"), ("50 KB", "/large")):
                for count in connections:
                    target = ("127.0.0.1", https if tls else http)
                    taken: dict[str, list[Measure]] = {}
                    for _ in range(rounds):
                        for name, starter in ({"direct": None} | starters).items():
                            one = one_load(folder, starter, target, path, tls, count, seconds)
                            if one:
                                taken.setdefault(name, []).append(one)
                    row = {name: best(measures) for name, measures in taken.items()}
                    label = f"{'HTTPS' if tls else 'HTTP'} {size} x{count}"
                    print(
                        f"{label:22}" + "".join(cell(row.get(name)) for name in ("direct", *starters)),
                        flush=True,
                    )
                    rows.append({"tls": tls, "size": size, "connections": count, "measures": row})
        figures = owed(rows) | memory_and_start(folder, http)
    for name, value in figures.items():
        print(f"{name:60} {value:10.3f}")
    for note in notes:
        print(f"note: {note}")
    return {
        "rows": [{**row, "measures": {n: vars(m) for n, m in row["measures"].items()}} for row in rows],  # type: ignore[attr-defined]
        "ratios": ratios(rows),
        "figures": figures,
        "notes": notes,
    }


def one_load(
    folder: Path,
    starter: Starter | None,
    target: tuple[str, int],
    path: str,
    tls: bool,
    count: int,
    seconds: float,
) -> Measure | None:
    if starter is None:
        load = Load(target=target, path=path, proxy=None, tls=tls, connections=count, seconds=seconds)
        return measure(load, folder)
    port = free_port()
    load = Load(
        target=target, path=path, proxy=("127.0.0.1", port), tls=tls, connections=count, seconds=seconds
    )
    with running(starter(folder, port), port):
        try:
            return measure(load, folder)
        except RuntimeError as error:
            print(f"note: {error}", file=sys.stderr)
            return None


def best(measures: list[Measure]) -> Measure:
    """The best of several rounds: what others did on this machine meanwhile only ever takes away."""
    return Measure(
        rate=max(m.rate for m in measures),
        median=min(m.median for m in measures),
        p99=statistics.median(m.p99 for m in measures),
    )


def cell(measure: Measure | None) -> str:
    return f"{measure.rate:>12.0f}/s {measure.median:>8.3f} ms" if measure else f"{'-':>26}"


def ratios(rows: list[dict[str, object]]) -> dict[str, float]:
    """Reference and row to ours/reference."""
    found = {}
    for row in rows:
        measures: dict[str, Measure] = row["measures"]  # type: ignore[assignment]
        scheme = "https" if row["tls"] else "http"
        for name, measure in measures.items():
            if name != "ours":
                label = f"{name} {scheme} {row['size']} x{row['connections']}"
                found[label] = round(measures["ours"].rate / measure.rate, 3)
    return found


def owed(rows: list[dict[str, object]]) -> dict[str, float]:
    all_ratios = ratios(rows)
    wanted = {
        "of direct, HTTP, tiny, 8 connections (owed 0.25)": "direct http tiny x8",
        "of mitmproxy, HTTP, tiny, 8 connections (owed 20)": "mitmproxy http tiny x8",
        "of proxy.py, HTTP, tiny, 8 connections (owed 3)": "proxy.py http tiny x8",
    }
    figures = {text: all_ratios[name] for text, name in wanted.items() if name in all_ratios}
    for row in rows:
        if (row["tls"], row["size"], row["connections"]) == (False, "tiny", 1):
            measures: dict[str, Measure] = row["measures"]  # type: ignore[assignment]
            for name, measure in measures.items():
                if name != "direct":
                    text = f"added median latency, sequential HTTP, {name}, ms" + " (owed 0.15)" * (
                        name == "ours"
                    )
                    figures[text] = round(measure.median - measures["direct"].median, 3)
    return figures


def node_start(folder: Path) -> float:
    """Seconds from the start of `fastci node` until it listens, the best of five."""
    taken = []
    for _ in range(5):
        port = free_port()
        variables = {"CI_MODE": "recording", "FAST_LISTEN": f"127.0.0.1:{port}",
                     "FAST_STORE": tempfile.mkdtemp(dir=folder)}  # fmt: skip
        words = [f"{name}={value}" for name, value in variables.items()]
        with running(["env", *words, sys.executable, "-m", "fastci", "node"], port) as (_, ready):
            taken.append(ready)
    return min(taken)


def memory_and_start(folder: Path, http: int) -> dict[str, float]:
    port = free_port()
    with running(start_ours(folder, port), port) as (pid, _):
        for _ in range(20):
            one = Load(
                target=("127.0.0.1", http), path="/tiny", proxy=("127.0.0.1", port), tls=False, connections=8,
                seconds=1.0,
            )  # fmt: skip
            measure(one, folder)
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                health = connection.makefile("rb").read()
            if json.loads(health.partition(b"\r\n\r\n")[2])["baselines"] >= 10_000:
                break
        return {
            "resident memory after 10,000 baselines, MB (owed 80)": round(resident_mb(pid), 1),
            "node ready after process start, s (owed 0.6)": round(node_start(folder), 3),
        }


def be(words: list[str]) -> None:
    what, *rest = words
    if what == "client":
        target, path, proxy, tls, connections, seconds = json.loads(rest[0])
        uvloop.run(
            own_client(
                Load(
                    target=tuple(target),
                    path=path,
                    proxy=tuple(proxy) if proxy else None,
                    tls=tls,
                    connections=connections,
                    seconds=seconds,
                )
            )
        )
    elif what == "origin":
        uvloop.run(own_origin(Path(rest[0]), int(rest[1]), int(rest[2])))
    else:
        uvloop.run(own_proxy(Path(rest[0]), int(rest[1])))


def main() -> None:
    if sys.argv[1:2] == ["--be"]:
        be(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rows, shorter, one round")
    parser.add_argument("--json", type=Path, metavar="FILE")
    cache = Path.home() / ".cache" / "fast-action" / "bench-references"
    parser.add_argument("--references", type=Path, metavar="FOLDER", default=cache)
    parser.add_argument("--no-references", dest="references", action="store_const", const=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        document = run(arguments, Path(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

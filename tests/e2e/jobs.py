"""What lifecycle tests are made of: a target, a cloud for the stand-in, the command, what is left."""

import html
import http.server
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

from fastci.lifecycle.sessions import members
from fastci.lifecycle.workspace import Workspace
from fastci.reports import REPORTS

PATIENCE = 60.0
ON_PODMAN = "podman" in os.environ.get("DOCKER_HOST", "")


def until(condition, what, patience=PATIENCE):
    """Wait for an observed condition; its value."""
    end = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {patience:g} s for: {what}"
        time.sleep(0.02)
    return value


class _Threads(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Target:
    """A small web application on one address: /echo reflects raw, /safe escapes, /sql breaks on a quote.

    /big is 96 MB. It answers with `status`, and keeps whoever asks waiting while it is not `open`.
    """

    def __init__(self, host="127.0.0.1"):
        self.host = host
        self.requests = []
        self.status = 200
        self.open = threading.Event()
        self.open.set()
        target = self

        class Pages(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                target.requests.append((self.path, dict(self.headers)))
                target.open.wait(PATIENCE)
                parts = urllib.parse.urlsplit(self.path)
                value = urllib.parse.parse_qs(parts.query).get("q", ["nothing"])[0]
                body = f"<p>{html.escape(value)}</p>"
                if parts.path == "/echo":
                    body = f"<p>{value}</p>"
                elif parts.path == "/sql":
                    body = "You have an error in your SQL syntax" if "'" in value else "<p>rows</p>"
                elif parts.path == "/big":
                    body = "x" * (96 << 20)
                self.send_response(target.status)
                content = f"<html><body>{body}</body></html>".encode()
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words):
                pass

        self._pages = Pages
        self._served = []
        self.url = f"http://{host}:{self._serve()}"

    def _serve(self, context=None):
        server = _Threads((self.host, 0), self._pages)
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self._served.append((server, thread))
        return server.server_port

    def secure(self, certificate):
        """The same pages over TLS, with the certificate and key of a PEM file; returns their URL."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return f"https://localhost:{self._serve(context)}"

    def close(self):
        self.open.set()
        while self._served:
            server, thread = self._served.pop()
            server.shutdown()
            thread.join()
            server.server_close()


class Cloud:
    """What the stand-in image keeps its records in."""

    def __init__(self, host="127.0.0.1"):
        self.records = {}
        self.tokens = set()
        cloud = self

        class Shelf(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                cloud.tokens.add(self.headers["X-Token"])
                cloud.records[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(200, b"")

            def do_GET(self):
                found = cloud.records.get(self.path)
                self._answer(200 if found is not None else 404, found or b"")

            def _answer(self, status, content):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words):
                pass

        self._server = _Threads((host, 0), Shelf)
        self.host = f"{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Done:
    """A command that ended."""

    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err
        self.text = out + err

    def __repr__(self):
        return f"status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Started:
    """A fastci that runs in a session of its own, its output in files."""

    def __init__(self, arguments, folder, environ, output):
        self._out = (output / "stdout").open("w+")
        self._err = (output / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastci", *arguments],
            cwd=folder, env=environ, stdout=self._out, stderr=self._err, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def text(self):
        return Path(self._out.name).read_text() + Path(self._err.name).read_text()

    def says(self, words):
        """Wait until it has printed these words."""
        until(lambda: words in self.text() or self.process.poll() is not None, f"{words!r} in {self.text()}")
        assert words in self.text(), self.text()

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE):
        status = self.process.wait(patience)
        done = Done(status, Path(self._out.name).read_text(), Path(self._err.name).read_text())
        self._out.close()
        self._err.close()
        return done

    def end(self):
        if self.process.poll() is None:
            for pid in members(self.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self._out.close()
        self._err.close()


class Fastci:
    """Runs the command in one folder and knows what its jobs left."""

    def __init__(self, folder, runtime, base_image=""):
        self.folder = folder
        self.runtime = runtime
        self.workspace = Workspace(folder / ".fast")
        self.environ = {
            "FAST_OOB_WAIT": "0",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "FAST_RUNTIME": runtime,
            "FAST_BASE_IMAGE": base_image,
            # Whatever a failing test leaves is swept soon.
            "FAST_DEADLINE": "600",
            "INACTIVITY_TIMEOUT": "120",
            "TEST_RUN_POLICY_ID": str(Path(__file__).parent / "xss-only.yml"),
        }
        for name in ("DOCKER_HOST", "PYTHONPATH"):
            if name in os.environ:
                self.environ[name] = os.environ[name]
        self._started = []

    def start(self, *arguments, output=None, **environ):
        words = [str(word) for word in arguments]
        started = Started(words, self.folder, {**self.environ, **environ}, output or self.folder)
        self._started.append(started)
        return started

    def __call__(self, *arguments, **environ):
        return self.start(*arguments, **environ).wait(170)

    @property
    def label(self):
        """The label of every container of this folder's jobs."""
        return f"org.fast-action.job={self.workspace.job_key('')}"

    def nodes(self, engine=None):
        """Names of nodes of this folder's jobs that exist: containers, volumes, processes."""
        found = [path.name for path in self.workspace.nodes.glob("*")]
        if engine is not None:
            wanted = {"label": self.label}
            found += [c["Names"][0] for c in engine.api.containers(all=True, filters=wanted)]
            found += [v["Name"] for v in engine.api.volumes(filters=wanted)["Volumes"] or []]
            found += [n["Name"] for n in engine.api.networks(filters=wanted)]
        return found

    def processes(self):
        """Pids of processes that live in this folder or name it."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    words = (entry / "cmdline").read_bytes() + bytes((entry / "cwd").readlink())
                except OSError:
                    continue
                if str(self.folder).encode() in words:
                    found.append(int(entry.name))
        return found

    def close(self):
        for started in self._started:
            started.end()
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


def sending(*urls, status=0, then=""):
    """A test command: asks for these through whatever proxy it is told of, and ends with a status."""
    lines = ["import sys, urllib.request"]
    lines += [f"print(urllib.request.urlopen({url!r}, timeout=10).status, flush=True)" for url in urls]
    lines += [then, f"sys.exit({status})"]
    return [sys.executable, "-c", "\n".join(filter(None, lines))]


def promised(job):
    """The verdict of the results that a job left; fails unless every report is there, however it ended."""
    latest = {path.name for path in job.workspace.latest.iterdir()}
    assert latest == {report.fixed for report in REPORTS.values()}
    return json.loads((job.workspace.latest / "results.json").read_text())["run"]["verdict"]

"""The reproductions, run: they show a flaw that is there and are content once it is mended."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from fastci.reports import write_reports
from fastci.results import Evidence, Exchange, Finding, Place, Run

TOKEN = "sess-77aa01bc44"
PAYLOAD = "<b>mark7</b>"
BODY = "name=%3Cb%3Emark7%3C%2Fb%3E&password=Tr0ub4dor-and-3"


class Greeter(BaseHTTPRequestHandler):
    """Greets who signs in; a broken one forgets to escape the name."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        known = f"sid={TOKEN}" in self.headers.get("Cookie", "") and form["password"] == [
            self.server.password
        ]
        name = form["name"][0] if self.server.broken else form["name"][0].replace("<", "&lt;")
        page = f"<p>Hello {name}</p>".encode() if known else b"who are you"
        self.send_response(200 if known else 403)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *words):
        pass


@pytest.fixture
def greeter():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Greeter)
    server.broken, server.password = True, "Tr0ub4dor-and-3"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(greeter):
    origin = f"http://127.0.0.1:{greeter.server_port}"
    head = f"POST /greet HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: sid={TOKEN}\r\nConnection: keep-alive\r\n"
    head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(BODY)}\r\n\r\n"
    answer = f"HTTP/1.1 200 OK\r\n\r\n<p>Hello {PAYLOAD}</p>"
    finding = Finding(
        id="v1", type="xss", threat=60, code="xss", title="t", description="d", point="POST_name_value",
        route="/greet", confidence="confirmed",
        places=[Place(baseline="bl_1", method="POST", url=f"{origin}/greet")],
        evidence=Evidence(
            payload=PAYLOAD, matched=PAYLOAD,
            attack=Exchange(
                request=(head + BODY).encode(), response=answer.encode(), status=200, elapsed=0.1
            ),
        ),
    )  # fmt: skip
    return Run(
        id="tr_0001", name="TestRun Nov 23 14:02 UTC", state="failed", record_id="r", record_name="r",
        policy="p", target=origin, start_time=1.0, end_time=2.0, findings=[finding],
    )  # fmt: skip


SECRETS = {"FAST_SECRET_1": TOKEN, "FAST_SECRET_2": "Tr0ub4dor-and-3"}


def repro(path, **environment):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--import-mode=importlib",
         path.name], cwd=path.parent, env=os.environ | environment, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip


def test_pytest_file_fails_while_the_flaw_is_there_and_passes_once_mended(run, greeter, tmp_path):
    (path,) = write_reports(run, tmp_path, f"{run.name}.1", ["pytest"])
    assert TOKEN not in path.read_text()
    broken = repro(path, **SECRETS)
    assert broken.returncode == 1, broken.stdout
    assert "1 failed" in broken.stdout
    greeter.broken = False
    mended = repro(path, **SECRETS)
    assert mended.returncode == 0, mended.stdout
    assert "1 passed" in mended.stdout


def test_pytest_file_with_a_secret_of_another_length_sends_a_whole_request(run, greeter, tmp_path):
    (path,) = write_reports(run, tmp_path, "n", ["pytest"])
    greeter.password = "a-much-longer-one-of-next-year"
    ended = repro(path, FAST_SECRET_1=TOKEN, FAST_SECRET_2=greeter.password)
    assert "1 failed" in ended.stdout, ended.stdout


def test_pytest_file_without_its_secrets_is_skipped_and_says_which(run, tmp_path):
    (path,) = write_reports(run, tmp_path, "n", ["pytest"])
    ended = repro(path, FAST_SECRET_1=TOKEN)
    assert ended.returncode == 0
    assert "1 skipped" in ended.stdout
    assert "set FAST_SECRET_2" in ended.stdout


def test_pytest_file_follows_the_target_where_it_is_now(run, greeter, tmp_path):
    moved = [replace(run.findings[0].place, url="http://nowhere.invalid:1/greet")]
    gone = replace(run, findings=[replace(run.findings[0], places=moved)])
    (path,) = write_reports(gone, tmp_path, "n", ["pytest"])
    ended = repro(path, FAST_TARGET=f"http://127.0.0.1:{greeter.server_port}", **SECRETS)
    assert "1 failed" in ended.stdout
    assert "nowhere.invalid" not in ended.stdout.replace("origin = 'http://nowhere.invalid:1'", "")


def script(path, *words, **environment):
    return subprocess.run(
        ["bash", path.name, *words], cwd=path.parent, env=os.environ | environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_curl_script_lists_and_sends_a_finding(run, tmp_path):
    (path,) = write_reports(run, tmp_path, "n", ["curl"])
    assert "1  medium  Cross-site scripting: POST /greet, POST_name_value" in script(path).stdout
    sent = script(path, "1", **SECRETS)
    assert sent.stdout.endswith(f"<p>Hello {PAYLOAD}</p>"), sent.stderr


def test_curl_script_without_a_secret_says_which_and_sends_nothing(run, tmp_path):
    (path,) = write_reports(run, tmp_path, "n", ["curl"])
    sent = script(path, "1", FAST_SECRET_2="Tr0ub4dor-and-3")
    assert sent.returncode != 0
    assert "FAST_SECRET_1: the secret REDACTED-1" in sent.stderr
    assert sent.stdout == ""


@pytest.mark.parametrize("word", ["2", "nonsense"])
def test_curl_script_asked_for_what_is_not_there_fails(run, tmp_path, word):
    (path,) = write_reports(run, tmp_path, "n", ["curl"])
    assert script(path, word).returncode != 0


def test_curl_script_of_hostile_texts_runs_nothing(run, tmp_path):
    evil = "'; touch ran; $(touch ran) `touch ran`\n touch ran"
    finding = replace(
        run.findings[0], route=evil, point=evil, places=[replace(run.findings[0].place, method=evil)]
    )
    (path,) = write_reports(replace(run, name=evil, findings=[finding]), tmp_path, "n", ["curl"])
    assert script(path).returncode == 0
    script(path, "1", **SECRETS)
    assert not (tmp_path / "ran").exists()

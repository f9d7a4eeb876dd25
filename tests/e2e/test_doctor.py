"""`fastci doctor`, and what a recording says at its end about what it did not record."""

import os
import shutil
import socket
import subprocess

import pytest
from report_browser import CHROMIUM, FLAGS


def doctor(fastci, *words, status=0, **environ):
    done = fastci("doctor", *words, **environ)
    assert done.status == status, done
    return done.out


def settings_of(fastci):
    lines = fastci.workspace.environment_file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_doctor_without_a_recorder_starts_one_sends_a_canary_and_leaves_nothing(fastci, target):
    out = doctor(fastci, "--target-uri", target.url)
    assert f"ok   canary: {target.url} answers with status 200 through the recorder" in out
    assert "ok   ALLOWED_HOSTS: covers 127.0.0.1" in out
    assert "FAIL" not in out
    assert fastci.processes() == []
    assert not any("X-Fast-Canary" in headers for _, headers in target.requests)
    assert list(fastci.workspace.records.iterdir()) == []


def test_doctor_names_each_fault_with_the_line_that_mends_it(fastci, target, certificate):
    secure = target.secure(certificate)
    fastci("record", ALLOWED_HOSTS="shop.test", BACKEND_HTTPS_PORTS=secure.rpartition(":")[2])
    out = doctor(
        fastci, "--target-uri", secure, status=3, NO_PROXY="localhost", NODE_EXTRA_CA_CERTS="/nowhere.pem"
    )
    lines = out.splitlines()

    def after(start):
        at = next(n for n, line in enumerate(lines) if line.startswith(start))
        return lines[at + 1].strip()

    assert after("FAIL ALLOWED_HOSTS: does not cover localhost") == "mend: record it: ALLOWED_HOSTS=localhost"
    assert after("FAIL HTTPS_PROXY: is not set here").startswith("mend: source proxy.sh")
    assert (
        after("FAIL NO_PROXY: covers localhost by localhost")
        == "mend: take localhost out of it for the tests"
    )
    assert after("FAIL REQUESTS_CA_BUNDLE: is not set here").startswith("mend: source proxy.sh")
    assert after("FAIL NODE_EXTRA_CA_CERTS: names no file").startswith("mend: source proxy.sh")
    if shutil.which("node"):
        assert after("FAIL node: ").startswith("mend: source proxy.sh")
    fastci("stop")


def test_doctor_with_the_target_down_says_what_the_node_found(fastci, target):
    fastci("record", "--target-uri", target.url)
    target.close()
    out = doctor(fastci, "--target-uri", target.url, status=3, **settings_of(fastci))
    assert "FAIL canary: no connection to 127.0.0.1:" in out
    assert "refused" in out
    fastci("stop")


def test_stop_of_a_recording_that_went_wrong_tells_why(fastci, target, certificate):
    secure = target.secure(certificate)
    fastci("record", "--target-uri", target.url, BACKEND_HTTPS_PORTS=secure.rpartition(":")[2])
    proxy = settings_of(fastci)["FAST_PROXY"]
    subprocess.run(
        ["curl", "-s", "--noproxy", "", "-x", proxy, f"{secure}/safe?q=1"], check=False, timeout=30
    )
    address, port = proxy.rpartition("/")[2].split(":")
    with socket.create_connection((address, int(port)), 30) as grpc:
        grpc.sendall(b"CONNECT %s HTTP/1.1\r\n\r\n" % target.url.rpartition("/")[2].encode())
        assert grpc.recv(1000).startswith(b"HTTP/1.1 200 ")
        grpc.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert grpc.recv(1)
    out = fastci("stop").out
    assert "seen, not recorded: 1 x http2, 1 x tls-rejected" in out
    assert "1 TLS connection to localhost broken off by curl/" in out
    assert "CURL_CA_BUNDLE" in out
    assert "1 connection to 127.0.0.1 passed unread, as the client offered HTTP/2 alone" in out


@pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("FAST_REQUIRE_CHROMIUM") != "1",
    reason="NOT RUN: there is no Chromium",
)
def test_chromium_is_recorded_with_the_arguments_that_are_exported(fastci, target, certificate, tmp_path):
    secure = target.secure(certificate)
    fastci("record", "--target-uri", target.url, BACKEND_HTTPS_PORTS=secure.rpartition(":")[2])
    script = f'. {fastci.workspace.script_file}; exec "$0" "$@" $FAST_BROWSER_ARGS'
    flags = FLAGS.removesuffix(" --remote-debugging-pipe").split()
    for number, url in enumerate((target.url, secure)):
        words = [
            CHROMIUM,
            *flags,
            "--ignore-certificate-errors",
            f"--user-data-dir={tmp_path}/profile{number}",
        ]
        done = subprocess.run(
            ["sh", "-c", script, *words, "--dump-dom", f"{url}/safe?q=chromium"],
            env=fastci.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "<p>chromium</p>" in done.stdout, done
    assert [path for path, _ in target.requests].count("/safe?q=chromium") == 2
    assert "baseline requests recorded" in fastci("stop").out

"""How test requests reach a target, and which they never reach: certificates, proxies, public addresses."""

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from engine_target import (
    Asked,
    Said,
    free_port,
    raw_server,
    record_exchanges,
    request,
    run_engine,
    store_baselines,
    web_target,
)
from test_engine_client import GET, OK, answering, run, server_context

from fastci.config import parse_settings
from fastci.errors import ConfigurationError
from fastci.node.engine.client import WireClient
from fastci.node.engine.dial import Forbidden, Unreachable, Ways
from fastci.node.message import Origin

ECHOING = """
meta-info: {type: info, threat: 20, title: T, description: D}
generate: {method: [replace], payload: [STR_MARKER]}
detect: [{response: [{body: STR_MARKER}]}]
"""


def client(**variables: str) -> WireClient:
    return WireClient(ways=Ways.of(parse_settings({"CI_MODE": "testing", **variables})), connect_timeout=5)


# certificates


def test_target_that_wants_a_client_certificate_gets_it_and_refuses_who_has_none(tmp_path: Path):
    context, names = server_context(tmp_path), []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    server_context(theirs, days=1)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(theirs / "server.pem")

    async def work() -> None:
        async with raw_server(answering(OK), ssl=context) as origin:
            named = Origin(scheme="https", host="localhost", port=origin.port)
            ours = client(FAST_TARGET_CERT=str(theirs / "server.pem"))
            response, _ = await ours.send(named, GET, method=b"GET", timeout=5)
            assert response.body == b"ok"
            ours.close()
            with pytest.raises(OSError, match=r"(?i)certificate|closed|reset"):
                await client().send(named, GET, method=b"GET", timeout=5)

    run(work())
    assert names == ["localhost", "localhost"]


def test_target_of_another_authority_than_wanted_is_unreachable(tmp_path: Path):
    async def work() -> None:
        async with raw_server(answering(OK), ssl=server_context(tmp_path)) as origin:
            with pytest.raises(Unreachable, match=r"(?i)certificate"):
                await client(FAST_TARGET_CA="system").send(origin, GET, method=b"GET", timeout=5)

    run(work())


def test_certificate_file_that_is_none_is_told_by_its_variable(tmp_path: Path):
    with pytest.raises(ConfigurationError) as error:
        client(FAST_TARGET_CERT=str(tmp_path / "none.pem"))
    assert "FAST_TARGET_CERT" in str(error.value.faults)


# a company's proxy


@contextmanager
def tinyproxy(folder: Path) -> Iterator[tuple[str, Path]]:
    """A real proxy that wants a name and a password; gives its URL and its log."""
    program = shutil.which("tinyproxy")
    if not program:
        if os.environ.get("FAST_REQUIRE_SERVERS") == "1":
            pytest.fail("FAST_REQUIRE_SERVERS=1, but tinyproxy is not installed")
        pytest.skip("NOT RUN: tinyproxy is not installed")
    port, log, conf = free_port(), folder / "log", folder / "conf"
    conf.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 50\nLogLevel Connect\n"
        f'LogFile "{log}"\nBasicAuth me secret\n'
    )
    process = subprocess.Popen([program, "-d", "-c", str(conf)], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, "tinyproxy did not start"
            assert time.monotonic() < end
            time.sleep(0.02)
        yield f"http://me:secret@127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait(10)


def test_requests_go_through_the_upstream_proxy_plain_and_by_tls(tmp_path: Path):
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)

    async def work(url: str) -> None:
        async with (
            raw_server(talk) as plain,
            raw_server(answering(OK), ssl=server_context(tmp_path)) as secure,
        ):
            ours = client(FAST_UPSTREAM_PROXY=url, FAST_NO_PROXY="other.test")
            for origin in (plain, secure, plain):
                response, _ = await ours.send(origin, GET, method=b"GET", timeout=5)
                assert (response.status, response.body) == (200, b"ok")
            # What is no path must not become a part of the authority that the proxy is told.
            odd = b"GET @other.test/ HTTP/1.1\r\nHost: x\r\n\r\n"
            await ours.send(plain, odd, method=b"GET", timeout=5)
            ours.close()
            direct = client(FAST_UPSTREAM_PROXY=url, FAST_NO_PROXY="127.0.0.1")
            await direct.send(plain, GET, method=b"GET", timeout=5)
            direct.close()

    with tinyproxy(tmp_path) as (url, log):
        run(work(url))
        said = log.read_text()
    assert said.count("Request (file descriptor") == 4, said
    assert said.count("CONNECT 127.0.0.1:") == 2, said
    assert b"GET / HTTP/1." in heads[0]
    assert b"proxy-authorization" not in b"".join(heads).lower()
    assert heads[2].startswith(b"GET @other.test/ HTTP/1.1\r\n")
    assert heads[3] == GET


def test_upstream_proxy_that_refuses_is_named(tmp_path: Path):
    async def work(url: str) -> None:
        secure = Origin(scheme="https", host="127.0.0.1", port=free_port())
        with pytest.raises(Unreachable, match=r"upstream proxy opens no way to 127\.0\.0\.1:.* 40[17]"):
            await client(FAST_UPSTREAM_PROXY=url, FAST_NO_PROXY="x").send(
                secure, GET, method=b"GET", timeout=5
            )

    with tinyproxy(tmp_path) as (url, _):
        run(work(url.replace("secret", "wrong")))


# out of bounds


@pytest.mark.parametrize(
    ("host", "variable"),
    [("192.88.99.7", "FAST_PUBLIC_TARGETS"), ("169.254.169.254", "FAST_LINK_LOCAL"),
     ("[2606:4700::1]", "FAST_PUBLIC_TARGETS")],
)  # fmt: skip
def test_target_at_a_public_or_link_local_address_is_sent_nothing(tmp_path: Path, host: str, variable: str):
    with web_target(lambda asked: Said(body="x")) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/a?b=c"), request("POST", "/d", "e=f")])
        begin = time.monotonic()
        outcome = run_engine(baselines, [ECHOING], tmp_path, TEST_RUN_URI=f"http://{host}:9")
        assert outcome.run.state == "failed"
        assert sum(check.requests for check in outcome.run.checks) == 0
        assert time.monotonic() - begin < 20
    (message, *_) = outcome.run.messages
    assert variable in message
    assert host.strip("[]") in message


def test_public_target_that_is_allowed_is_tried():
    async def work() -> None:
        allowed = client(
            FAST_PUBLIC_TARGETS="far.test", FAST_UPSTREAM_PROXY=f"http://127.0.0.1:{free_port()}"
        )
        far = Origin(scheme="http", host="far.test", port=80)
        with pytest.raises(Unreachable) as error:
            await allowed.send(far, GET, method=b"GET", timeout=5)
        assert not isinstance(error.value, Forbidden)
        with pytest.raises(Forbidden, match=r"FAST_PUBLIC_TARGETS=near\.test"):
            await allowed.send(
                Origin(scheme="http", host="near.test", port=80), GET, method=b"GET", timeout=5
            )

    run(work())


# what may have changed something


@pytest.mark.parametrize("processes", ["1", "2"])
def test_everything_that_may_change_something_is_listed_without_secrets(tmp_path: Path, processes: str):
    def handle(asked: Asked) -> Said:
        return Said(body=asked.form.get("name", "nobody"))

    with web_target(handle) as target:
        baselines = record_exchanges(
            target.origin,
            [
                request("GET", "/list?q=tea"),
                request("POST", "/save?t=s3cr3t", "name=Assam&key=hush-hush", Cookie="s=abcdefghij"),
                request("GET", "/delete?id=7"),
            ],
        )
        before = len(target.asked)
        path = tmp_path / "tr_0001.changes.jsonl"
        run_engine(
            baselines, [ECHOING], tmp_path, record=store_baselines(tmp_path, baselines), changes=path,
            PROCESSES=processes,
        )  # fmt: skip
        sent = [(a.method, a.path) for a in target.asked[before:] if a.method == "POST" or "id" in a.query]
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    listed = [(line["method"], line["url"].removeprefix(str(target.origin))) for line in lines]
    assert sorted(listed) == sorted(sent)
    assert len(sent) > 4
    assert {line["by"] for line in lines} == {"control", "e1"}
    assert {line["baseline"] for line in lines} == {"bl_2", "bl_3"}
    assert lines[0]["parameters"] == ["t"]
    assert lines[0]["status"] == 200
    for secret in ("s3cr3t", "hush-hush", "abcdefghij"):
        assert secret not in text

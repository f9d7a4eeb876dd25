"""What every test lives under: unit tests touch nothing outside, engine tests need an engine and say so."""

import functools
import os
import socket
import subprocess
import urllib.parse
from pathlib import Path

import pytest

UNIT = Path(__file__).parent / "unit"


@functools.cache
def engine_fault() -> str:
    """Why no Docker Engine can be used; empty when one answers."""
    where = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    # By hand: the SDK leaves a socket open where it cannot connect.
    parts = urllib.parse.urlsplit(where)
    family, address = socket.AF_INET, (parts.hostname, parts.port or 2375)
    if parts.scheme == "unix":
        family, address = socket.AF_UNIX, parts.path
    try:
        with socket.socket(family) as connection:
            connection.settimeout(5)
            connection.connect(address)
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            answer = connection.recv(64)
    except OSError as error:
        return f"no Docker Engine answers at {where}: {error.strerror}"
    return "" if b" 200 " in answer else f"no Docker Engine answers at {where}: {answer!r}"


def pytest_collection_modifyitems(items):
    wanting = [item for item in items if item.get_closest_marker("engine")]
    if wanting and engine_fault() and os.environ.get("FAST_REQUIRE_ENGINE") != "1":
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=f"NOT RUN: {engine_fault()}"))


def pytest_runtest_setup(item):
    if item.get_closest_marker("engine") and engine_fault():
        pytest.fail(f"FAST_REQUIRE_ENGINE=1, but {engine_fault()}", pytrace=False)


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    lost = [report for report in skipped if "NOT RUN: no Docker Engine" in str(report.longrepr)]
    if lost:
        terminalreporter.section("engine tests", sep="!", red=True)
        terminalreporter.line(f"{len(lost)} tests were NOT RUN: no Docker Engine answers.", red=True)
        terminalreporter.line("FAST_REQUIRE_ENGINE=1 makes that a failure.", red=True)


@pytest.fixture(autouse=True)
def nothing_outside(request, monkeypatch):
    """Unit tests start no process and open no connection: trying to is a failure."""
    if UNIT not in request.path.parents:
        return

    def refuse(*words, **more):
        pytest.fail("a unit test reached outside: start no process, open no connection")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)

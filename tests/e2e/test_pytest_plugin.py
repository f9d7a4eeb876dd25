"""The pytest plugin in the user's own pytest: each baseline gets the test that sent it."""

import os
import subprocess
import sys
from pathlib import Path

from proxy_rig import Origin, Rig, answering, ok

TESTS = """
import asyncio
import os
import threading
import unittest

import pytest


@pytest.mark.parametrize("path", ["one"])
def test_requests(path):
    import requests

    assert requests.get(f"{URL}/requests-{path}", timeout=10).text == "hello"


def test_requests_with_a_name_of_its_own():
    import requests

    requests.get(f"{URL}/own", headers={"x-fast-test": "mine"}, timeout=10)


def test_httpx():
    import httpx

    httpx.get(f"{URL}/httpx")


def test_httpx_async():
    import httpx

    async def main():
        async with httpx.AsyncClient() as client:
            await client.get(f"{URL}/httpx-async")

    asyncio.run(main())


def test_aiohttp():
    import aiohttp

    async def main():
        async with aiohttp.ClientSession(trust_env=True) as session, session.get(f"{URL}/aiohttp") as answer:
            assert answer.status == 200

    asyncio.run(main())


def test_urllib3_in_a_thread():
    import urllib3

    pool = urllib3.ProxyManager(os.environ["HTTP_PROXY"])
    thread = threading.Thread(target=lambda: pool.request("GET", f"{URL}/urllib3", headers={"A": "1"}))
    thread.start()
    thread.join()


class TestClass(unittest.TestCase):
    def test_method(self):
        import requests

        requests.post(f"{URL}/class", json={"a": 1}, timeout=10)
"""


def test_each_client_names_its_test_and_the_target_never_sees_it(tmp_path: Path):
    seen: list[bytes] = []
    with (
        Origin(answering(ok(b"hello", b"Connection: close"), seen=seen)) as origin,
        Rig(tmp_path / "node") as proxy,
    ):
        # A part of a repository with a pytest of its own: what is named counts from the repository.
        folder = tmp_path / "repository" / "service" / "tests"
        folder.mkdir(parents=True)
        (tmp_path / "repository" / ".git").mkdir()
        (folder.parent / "pytest.ini").write_text("[pytest]\n")
        (folder / "test_shop.py").write_text(f"URL = {origin.url!r}\n{TESTS}")
        environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environ |= {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url, "FAST_PROXY": proxy.url}
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"]
        done = subprocess.run(
            words, cwd=folder.parent, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout
        tests = {b.request.target.decode(): b.test for b in proxy.baselines()}
    lines = (folder / "test_shop.py").read_text().splitlines()

    def name(text: str, shown: str) -> str:
        # A decorated function begins at its decorator.
        line = next(n for n, one in enumerate(lines, 1) if text in one)
        return f"service/tests/test_shop.py:{line}::{shown}"

    assert tests == {
        "/requests-one": name("@pytest.mark", "test_requests[one]"),
        "/own": "mine",
        "/httpx": name("def test_httpx()", "test_httpx"),
        "/httpx-async": name("def test_httpx_async", "test_httpx_async"),
        "/aiohttp": name("def test_aiohttp", "test_aiohttp"),
        "/urllib3": name("def test_urllib3", "test_urllib3_in_a_thread"),
        "/class": name("def test_method", "TestClass::test_method"),
    }
    assert len(seen) == 7
    assert not [request for request in seen if b"x-fast-test" in request.lower()]

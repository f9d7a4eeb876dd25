"""Tells the recorder which test sent a request: a header that the recorder takes out again.

Loaded by pytest wherever this package is installed, and idle unless FAST_PROXY is set, as `fastci run` and
`fastci record` do. These also lay a copy of this file where any other Python of the tests finds it, so it
needs nothing but pytest 7 and Python 3.8. It follows the clients that tests use: requests and whatever else
stands on urllib3, httpx, aiohttp. What is sent outside of a test carries no name.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import pytest

HEADER = "X-Fast-Test"
_LIMIT = 1000
_running: list[str] = []
"""The test that runs; threads that it started are its own."""


def pytest_configure(config: pytest.Config) -> None:
    """Follow the clients from the start: a test may import its own only when it runs."""
    if os.environ.get("FAST_PROXY") and hasattr(config, "rootpath"):
        for module, owner, method, wrap in _CLIENTS:
            with suppress(ImportError, AttributeError):
                target = getattr(importlib.import_module(module), owner)
                setattr(target, method, wrap(getattr(target, method)))


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Name the test while it is set up, called and torn down."""
    with suppress(AttributeError):
        # An older pytest, which pytest_configure has left alone.
        _running[:] = [name_of(item)]
    yield
    _running.clear()


def name_of(item: pytest.Item) -> str:
    """`path/to/test.py:12::test_name[parameters]`: the path as in the repository, the line from 1."""
    path, line, _ = item.location
    _, _, name = item.nodeid.partition("::")
    file = item.config.rootpath / path
    place = _in_repository(file, item.config.invocation_params.dir) + (
        f":{line + 1}" if line is not None else ""
    )
    # Only what every client and every server takes in a header.
    return "".join(c if " " <= c <= "~" else "?" for c in f"{place}::{name}"[:_LIMIT])


@lru_cache(maxsize=None)  # noqa: UP033 - functools.cache is new in 3.9
def _in_repository(file: Path, elsewhere: Path) -> str:
    """The path below the checkout that holds the file; outside of any, below `elsewhere`."""
    top = next((folder for folder in file.parents if (folder / ".git").exists()), elsewhere)
    return Path(os.path.relpath(file, top)).as_posix()


def _mark(headers: MutableMapping[str, Any]) -> None:
    if _running and not any(str(known).lower() == HEADER.lower() for known in headers):
        headers[HEADER] = _running[0]


def _wrap_urlopen(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def urlopen(
        self: Any, method: str, url: str, body: Any = None, headers: Any = None, *rest: Any, **more: Any
    ) -> Any:
        marked = dict(self.headers if headers is None else headers)
        _mark(marked)
        return original(self, method, url, body, marked, *rest, **more)

    return urlopen


def _wrap_send(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def send(self: Any, request: Any, *rest: Any, **more: Any) -> Any:
        _mark(request.headers)
        return original(self, request, *rest, **more)

    return send


def _wrap_request(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def request(self: Any, *words: Any, headers: Any = None, **more: Any) -> Any:
        from multidict import CIMultiDict

        marked: CIMultiDict[Any] = CIMultiDict(headers or {})
        _mark(marked)
        return original(self, *words, headers=marked, **more)

    return request


_CLIENTS = (
    ("urllib3.connectionpool", "HTTPConnectionPool", "urlopen", _wrap_urlopen),
    ("httpx", "Client", "send", _wrap_send),
    ("httpx", "AsyncClient", "send", _wrap_send),
    ("aiohttp", "ClientSession", "_request", _wrap_request),
)

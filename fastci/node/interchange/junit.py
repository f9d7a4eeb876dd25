"""When each functional test ran, from the JUnit file of the run: it tells whose requests a record holds.

JUnit gives a suite its start and each test its duration, the tests in the order in which they ran. That is
enough where they ran one after the other; where two windows overlap, a request in both belongs to neither.
"""

import datetime
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

_TOLERANCE = 0.001
"""Seconds: durations are rounded to milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A test and the time it ran, unix seconds; `test` is `file:line::name` as far as it is known."""

    start: float
    end: float
    test: str


def parse_windows(content: bytes) -> list[Window]:
    """The windows of a JUnit file, by start. Raises ValueError for what is none, or has no times."""
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("not a JUnit file: it declares entities")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML: {error}") from error
    suites = [root] if root.tag == "testsuite" else root.findall(".//testsuite")
    windows = []
    for suite in suites:
        cases = suite.findall("testcase")
        begin = suite.get("timestamp")
        if not cases or not begin:
            continue
        at = _seconds(begin)
        for case in cases:
            end = at + float(case.get("time") or 0)
            windows.append(Window(start=at, end=end, test=_test_of(case, suite)))
            at = end
    if not windows:
        raise ValueError("no testsuite in it has a timestamp and tests")
    return sorted(windows, key=lambda window: window.start)


def _seconds(text: str) -> float:
    moment = datetime.datetime.fromisoformat(text)
    # Without a zone most tools mean this machine's own.
    return moment.timestamp()


def _test_of(case: ElementTree.Element, suite: ElementTree.Element) -> str:
    file = case.get("file") or suite.get("file") or ""
    owner, name = case.get("classname") or suite.get("name") or "", case.get("name") or "unnamed"
    if not file:
        return f"{owner}::{name}" if owner else name
    line = case.get("line") or ""
    return f"{file}:{line}::{name}" if line.isdigit() and line != "0" else f"{file}::{name}"


def test_at(windows: Sequence[Window], moment: float) -> str:
    """The test that ran at that time; empty when there was none, or more than one."""
    last = bisect_right(windows, moment + _TOLERANCE, key=lambda window: window.start)
    running = {w.test for w in windows[:last] if w.end + _TOLERANCE >= moment}
    return running.pop() if len(running) == 1 else ""


test_at.__test__ = False  # type: ignore[attr-defined]

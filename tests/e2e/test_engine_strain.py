"""Targets that cannot bear many requests at once: the run slows down instead of missing what it asked."""

import asyncio
import itertools
import re
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from engine_target import Asked, Said, baseline, raw_server, request, run_engine, web_target

from fastci.node.message import Origin, Response
from fastci.node.store import Baseline

XSS = """
meta-info: {type: xss, title: Reflected script, threat: 50, description: d}
generate: {payload: ['<STR_MARKER>', '"><STR_MARKER>', "'><STR_MARKER>", 'STR_MARKER<i>']}
detect: {response: [{body: [{html: [tag]}]}]}
"""
BEARABLE = 2
AT_ONCE = 8


def pages(origin: Origin, count: int) -> list[Baseline]:
    asked = [request("GET", f"/page{'abcdefghijklmnopqrst'[n]}?q=tea&z=1") for n in range(count)]
    return [baseline(n, origin, each, Response(status=200)) for n, each in enumerate(asked, 1)]


class Bearing:
    """Counts who is inside; `admits` is False for those that are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self.refused = 0

    def __enter__(self) -> bool:
        with self._lock:
            self.inside += 1
            admits = self.inside <= BEARABLE
            self.refused += not admits
        return admits

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


@pytest.mark.parametrize("status", [429, 503])
def test_target_that_refuses_more_than_it_can_bear_gets_less_and_nothing_is_missed(
    tmp_path: Path, status: int
):
    bearing = Bearing()
    answered: set[tuple[str, str, str]] = set()
    asked_for: set[tuple[str, str, str]] = set()

    def handler(asked: Asked) -> Said:
        query = asked.query
        key = (asked.path, query.get("q", ""), query.get("z", ""))
        with bearing as admits:
            asked_for.add(key)
            time.sleep(0.005)  # the work of a page, without which no two would ever meet
            if not admits:
                return Said(status=status, body="come again later")
            answered.add(key)
            return Said(body=f"<html><body>{query.get('q', '')}</body></html>")

    with web_target(handler) as target:
        outcome = run_engine(pages(target.origin, 16), [XSS], tmp_path, WORKERS=str(AT_ONCE))
    assert len(outcome.found) == 16
    assert not [check.error for check in outcome.run.checks if check.error]
    assert answered == asked_for
    assert [line for line in outcome.lines if "struggles" in line]
    assert bearing.refused < outcome.run.sent_requests / 3


def test_target_that_breaks_off_what_it_cannot_bear_gets_less_and_nothing_is_missed(tmp_path: Path):
    """Over raw sockets: a connection that is too many ends without an answer."""
    lines, found = asyncio.run(_against_a_target_that_breaks_off(tmp_path))
    assert found == 16
    assert [line for line in lines if "struggles" in line]


async def _against_a_target_that_breaks_off(tmp_path: Path) -> tuple[list[str], int]:
    inside = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal inside
        while head := await reader.readuntil(b"\r\n\r\n"):
            if inside >= BEARABLE:
                return
            inside += 1
            await asyncio.sleep(0.003)
            inside -= 1
            value = head.split(b"q=", 1)[1].split(b"&", 1)[0]
            body = b"<html><body>" + value.replace(b"%3C", b"<").replace(b"%3E", b">") + b"</body></html>"
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            writer.write(body)

    async with raw_server(talk) as origin:
        outcome = await asyncio.to_thread(
            run_engine, pages(origin, 16), [XSS], tmp_path, WORKERS=str(AT_ONCE)
        )
    assert not [check.error for check in outcome.run.checks if check.error]
    return outcome.lines, len(outcome.found)


def test_guard_that_answers_503_to_attacks_is_not_asked_again_for_ever(tmp_path: Path):
    def handler(asked: Asked) -> Said:
        return Said(status=503 if "<" in asked.query.get("q", "") else 200, body="<p>fine</p>")

    with web_target(handler) as target:
        outcome = run_engine(pages(target.origin, 12), [XSS], tmp_path, WORKERS="4")
        times = Counter((asked.path, asked.query["q"]) for asked in target.asked if "<" in asked.query["q"])
    assert outcome.run.state == "passed"
    assert sum(count > 1 for count in times.values()) <= 3 + 4


NOT_ANSWERED = """
meta-info: {type: info, title: Hangs, threat: 20, description: d}
generate: {payload: ["'a", "'b", "'c", "'d", "'e"], method: [postfix], into: GET_q}
detect: {response: [{body: never}]}
"""
SLEEP = """
meta-info: {type: sqli, title: Sleeps, threat: 80, description: d}
generate: {payload: ["SLEEP(DELAY_MARKER)"], into: GET_q, method: [postfix]}
detect: [{oracle: time}]
"""


def test_attacks_are_waited_for_less_where_several_had_no_answer_and_delays_still_prove(tmp_path: Path):
    moments: list[float] = []
    end = threading.Event()

    def handler(asked: Asked) -> Said:
        text = asked.query["q"]
        if text.startswith("tea'"):
            moments.append(time.monotonic())
            end.wait(60)
        elif seconds := re.search(r"SLEEP\((\d+)", text):
            time.sleep(int(seconds[1]))
        return Said(body="fine")

    with web_target(handler) as target:
        baselines = [baseline(1, target.origin, request("GET", "/page?q=tea"), Response(status=200))]
        outcome = run_engine(baselines, [NOT_ANSWERED, SLEEP], tmp_path, FAST_REQUEST_TIMEOUT="3")
        end.set()
    waits = [late - early for early, late in itertools.pairwise(moments)]
    assert [round(wait) for wait in waits] == [3, 3, 3, 2]
    assert outcome.found == [("sqli", "GET_q_value", "/page")]
    told = [row.reason for row in outcome.run.checks[0].coverage if row.point == "*"]
    assert told == ["5 test requests got no answer; after the first 3 the next ones were waited for 2 s each"]

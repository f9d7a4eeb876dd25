"""The oracles against real targets: a database, a sleeping handler, and targets that only seem so."""

import html
import random
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from engine_target import Asked, Said, baseline, record_exchanges, request, run_engine, web_target

from fastci.node.message import Response

SLEEP = """
meta-info: {type: sqli, title: Sleeps, threat: 80, description: d}
generate: {payload: ["SLEEP(DELAY_MARKER)"], into: GET_q, method: [postfix]}
detect: [{oracle: time}]
"""
BOOLEAN = """
meta-info: {type: sqli, title: Conditions, threat: 80, description: d}
generate: {into: [GET, ACTION_NAME], method: [postfix]}
detect:
  - oracle: boolean
    pairs:
      - ["' AND 'xSTR_MARKER'='xSTR_MARKER", "' AND 'xSTR_MARKER'='ySTR_MARKER"]
      - [" AND 17=17", " AND 17=18"]
"""


def asked_seconds(asked: Asked) -> float:
    """What SLEEP(n) in `q` asks for."""
    _, found, rest = asked.query.get("q", "").partition("SLEEP(")
    return float(rest.partition(")")[0]) if found else 0.0


def test_time_oracle_finds_the_target_that_sleeps_as_told(tmp_path: Path):
    def handler(asked: Asked) -> Said:
        if asked.path == "/flawed":
            time.sleep(asked_seconds(asked))
        return Said(body="fine")

    with web_target(handler) as target:
        requests = [request("GET", "/flawed?q=tea"), request("GET", "/repaired?q=tea")]
        outcome = run_engine(record_exchanges(target.origin, requests), [SLEEP], tmp_path)
        assert sum(a.path == "/repaired" for a in target.asked) == 3
    assert outcome.found == [("sqli", "GET_q_value", "/flawed")]
    evidence = outcome.run.findings[0].evidence
    assert evidence.payload == "SLEEP(5)"
    assert evidence.attack.elapsed >= 5
    assert evidence.control is not None
    assert evidence.control.elapsed < 1


def test_answer_that_comes_too_late_while_another_makes_the_target_sleep_is_asked_for_again(tmp_path: Path):
    """The target answers one at a time: six attacks wait behind the sleep for longer than they may."""
    one, sleeping = threading.Lock(), threading.Event()

    def handler(asked: Asked) -> Said:
        word = asked.query.get("word", "")
        if word.startswith("attack"):
            sleeping.wait(10)
        with one:
            if asked_seconds(asked) and not sleeping.is_set():
                sleeping.set()
                time.sleep(2.5)
        return Said(body=f"shown: {word}" if word.startswith("attack") else "fine")

    shown = """
meta-info: {type: xss, title: Shown, threat: 50, description: d}
generate: {payload: [attackSTR_MARKER], into: GET_word}
detect: [{response: [{body: "shown: attackSTR_MARKER"}]}]
"""
    with web_target(handler) as target:
        requests = [request("GET", "/sleeps?q=tea")]
        requests += [request("GET", f"/shows{name}?word=tea") for name in "abcdef"]
        record = record_exchanges(target.origin, requests)
        outcome = run_engine(record, [SLEEP, shown], tmp_path, WORKERS="7", FAST_REQUEST_TIMEOUT="1")
    assert [check.error for check in outcome.run.checks] == [""] * 7
    assert sorted(route for _, _, route in outcome.found) == [f"/shows{name}" for name in "abcdef"]


def test_time_oracle_is_silent_on_a_target_with_random_delays(tmp_path: Path):
    rng = random.Random(5)

    def handler(asked: Asked) -> Said:
        time.sleep(rng.uniform(0, 3) if "SLEEP" in asked.query["q"] else 0)
        return Said(body="fine")

    with web_target(handler) as target:
        asked = [request("GET", f"/r{n}x?q=tea") for n in range(8)]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(baselines, [SLEEP], tmp_path, WORKERS="8", FAST_SKIP_DUPLICATES="false")
        assert len(target.asked) > 16
    assert outcome.run.state == "passed"


class Shop:
    """Looks products up in SQLite. `repaired` binds its parameters. Pages carry a token that changes."""

    def __init__(self, *, repaired: bool) -> None:
        self.repaired = repaired
        self.random = random.Random(2)

    def __call__(self, asked: Asked) -> Said:
        rows = self.look_up(asked.query.get("name", "tea"), asked.query.get("id", "1"))
        listed = "".join(f"<li>{html.escape(row[0])}</li>" for row in rows) or "nothing found"
        echo = html.escape(f"{asked.query}")
        return Said(body=f"<p>{self.random.random()}</p><p>{echo}</p><ul>{listed}</ul>")

    def look_up(self, name: str, number: str) -> list[tuple[str]]:
        database = sqlite3.connect(":memory:")
        try:
            database.execute("CREATE TABLE product (id INTEGER, name TEXT)")
            database.executemany("INSERT INTO product VALUES (?, ?)", [(1, "tea"), (2, "milk")])
            if self.repaired:
                query = "SELECT name FROM product WHERE name = ? AND id = ?"
                return list(database.execute(query, (name, number)))
            query = f"SELECT name FROM product WHERE name = '{name}' AND id = {number}"
            return list(database.execute(query))
        except sqlite3.Error:
            return []
        finally:
            database.close()


@pytest.mark.parametrize("repaired", [False, True])
def test_boolean_oracle_finds_both_points_of_a_query_and_none_of_its_twin(tmp_path: Path, repaired: bool):
    with web_target(Shop(repaired=repaired)) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/product?name=tea&id=1&x=0")])
        outcome = run_engine(baselines, [BOOLEAN], tmp_path)
    expected = [("sqli", "GET_name_value", "/product"), ("sqli", "GET_id_value", "/product")]
    assert outcome.found == ([] if repaired else expected)
    if not repaired:
        evidence = outcome.run.findings[0].evidence
        assert evidence.matched.startswith("only true conditions give ")
        assert "'tea'" in evidence.matched
        assert evidence.notes[0].startswith("the control is the same condition made true: ' AND '")


def test_boolean_oracle_is_silent_on_a_search_that_minds_words(tmp_path: Path):
    """Other words than the known one empty the result; quotes and signs mean nothing."""

    def handler(asked: Asked) -> Said:
        words = set(asked.query["q"].replace("'", " ").replace("=", " ").lower().split()) - {"and", "17"}
        return Said(body="<li>tea</li>" if words <= {"tea"} else "nothing found")

    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/search?q=tea")])
        outcome = run_engine(baselines, [BOOLEAN], tmp_path)
    assert outcome.run.state == "passed"


def test_boolean_oracle_is_silent_on_a_page_of_chance(tmp_path: Path):
    rng = random.Random(8)

    def handler(asked: Asked) -> Said:
        return Said(body="".join(f"<p>{word}</p>" for word in rng.sample(["a", "b", "c", "d", "e"], 3)))

    with web_target(handler) as target:
        requests = [request("GET", f"/r{name}?q=tea&x=1") for name in "abcdefghijkl"]
        outcome = run_engine(record_exchanges(target.origin, requests), [BOOLEAN], tmp_path)
    assert outcome.run.state == "passed"

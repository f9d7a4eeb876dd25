"""A run that several processes share."""

import html
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

from engine_target import Asked, Said, record_exchanges, request, run_engine, store_baselines, web_target

XSS = """
meta-info: {type: xss, title: Reflected script, threat: 50, description: d}
generate: {payload: ['<STR_MARKER>', '"><STR_MARKER>']}
detect: {response: [{body: [{html: [tag]}]}]}
"""
ONCE = """
meta-info: {type: info, title: Once a run, threat: 50, description: d}
collect: [{uniq: [testrun]}]
generate: {payload: ['once-STR_MARKER'], into: GET_q}
detect: {response: [{body: 'never there'}]}
"""


def flawed(asked: Asked) -> Said:
    shown = asked.query.get("q", "") or asked.form.get("q", "")
    return Said(body=f"<p>{shown if asked.path != '/fine' else html.escape(shown)}</p>")


def exchanges():
    reading = [request("GET", f"/r{name}?q=tea") for name in "abcdefg"]
    return [
        *reading,
        request("GET", "/fine?q=tea"),
        request("POST", "/save", "q=tea"),
        request("DELETE", "/x?q=tea"),
    ]


def test_processes_together_send_and_find_what_one_does(tmp_path: Path):
    runs, requests = [], []
    for processes in ("1", "2", "3"):
        with web_target(flawed) as target:
            baselines = record_exchanges(target.origin, exchanges())
            record = store_baselines(tmp_path / processes, baselines)
            target.asked.clear()
            outcome = run_engine(baselines, [XSS, ONCE], tmp_path, record=record, PROCESSES=processes)
            runs.append(
                (outcome.run.state, outcome.found, [(c.baseline, c.state) for c in outcome.run.checks])
            )
            requests.append(sorted(f"{a.method} {a.path} {a.query} {a.form}" for a in target.asked))
            assert outcome.run.sent_requests == len(target.asked)
            order = [a.method for a in target.asked]
            assert order.index("POST") > max(i for i, a in enumerate(target.asked) if a.path == "/rg")
            assert order.index("DELETE") > max(i for i, m in enumerate(order) if m == "POST")
    assert runs[0] == runs[1] == runs[2]
    assert requests[0] == requests[1] == requests[2]
    assert len(runs[0][1]) == 9
    assert multiprocessing.active_children() == []


def test_stop_reaches_every_process_and_keeps_what_they_know(tmp_path: Path):
    def slow(asked: Asked) -> Said:
        time.sleep(0.05)
        return flawed(asked)

    with web_target(slow) as target:
        baselines = record_exchanges(target.origin, exchanges())
        record = store_baselines(tmp_path, baselines)
        outcome = run_engine(
            baselines, [XSS], tmp_path, record=record, PROCESSES="2", WORKERS="1",
            stop_when=lambda lines: any("as failed" in line for line in lines),
        )  # fmt: skip
    assert (outcome.run.state, outcome.run.complete) == ("interrupted", False)
    assert len(outcome.run.checks) == 10
    assert outcome.run.findings
    assert "interrupted" in {check.state for check in outcome.run.checks}
    assert multiprocessing.active_children() == []


def test_process_that_is_killed_makes_the_run_fail_and_says_so(tmp_path: Path):
    killed: list[int] = []

    def deadly(asked: Asked) -> Said:
        children = multiprocessing.active_children()
        if not killed and len(children) == 2:
            killed.append(children[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)
        return Said(body="fine")

    with web_target(deadly) as target:
        baselines = record_exchanges(target.origin, exchanges())
        record = store_baselines(tmp_path, baselines)
        outcome = run_engine(baselines, [XSS], tmp_path, record=record, PROCESSES="2")
    assert killed
    assert (outcome.run.state, outcome.run.complete) == ("failed", False)
    assert any("ended before its work was done" in message for message in outcome.run.messages)
    assert multiprocessing.active_children() == []


def test_processes_destroy_one_after_the_other(tmp_path: Path):
    lock, now, most = threading.Lock(), 0, 0

    def handler(asked: Asked) -> Said:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return Said(body="fine")

    with web_target(handler) as target:
        requests = [request("DELETE", f"/r{name}?q=tea") for name in "abcdef"]
        baselines = record_exchanges(target.origin, requests)
        record = store_baselines(tmp_path, baselines)
        outcome = run_engine(baselines, [XSS], tmp_path, record=record, PROCESSES="2")
    assert outcome.run.state == "passed"
    assert len(outcome.run.checks) == 6
    assert most == 1

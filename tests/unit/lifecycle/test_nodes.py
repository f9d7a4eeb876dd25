import pytest
from lifecycle_fakes import FakeRuntime, FakeWaiter, labels_of

from fastci.config import Mode
from fastci.errors import ExitStatus, FatalError, Interrupted
from fastci.lifecycle import nodes
from fastci.lifecycle.runtime import Ended, Launch


def started(runtime, **facts):
    return runtime.start(Launch(variables={}, labels=labels_of(**facts)))


def test_wait_ready_returns_the_url_once_the_node_answers():
    runtime = FakeRuntime(ready_after=7, url="http://127.0.0.1:81")
    assert nodes.wait_ready(runtime, started(runtime), FakeWaiter(), 60) == "http://127.0.0.1:81"


def test_wait_ready_of_a_node_that_ended_speaks_its_words_and_its_status():
    runtime = FakeRuntime(ready_after=1000)
    node = started(runtime)
    runtime.logs[node.id] = "banner\nerror: the record is empty\n  why: nobody came\n  to do: come\n"
    runtime.ends[node.id] = Ended(status=2)
    with pytest.raises(FatalError) as caught:
        nodes.wait_ready(runtime, node, FakeWaiter(), 60)
    error = caught.value
    assert (error.what, error.why, error.hint) == ("the record is empty", "nobody came", "come")
    assert error.status is ExitStatus.USAGE


def test_wait_ready_notices_an_end_at_once_not_at_the_time_limit():
    runtime, waiter = FakeRuntime(ready_after=1000), FakeWaiter()
    node = started(runtime)
    runtime.ends[node.id] = Ended(status=1)
    with pytest.raises(FatalError):
        nodes.wait_ready(runtime, node, waiter, 60)
    assert waiter.now() - 1000 < 1


def test_wait_ready_past_the_limit_shows_the_log():
    runtime, waiter = FakeRuntime(ready_after=10**9), FakeWaiter()
    node = started(runtime)
    runtime.logs[node.id] = "still loading\n"
    with pytest.raises(FatalError) as caught:
        nodes.wait_ready(runtime, node, waiter, 5)
    assert "5 s" in caught.value.what
    assert "still loading" in caught.value.why
    assert 5 <= waiter.now() - 1000 < 6


def test_wait_ready_when_interrupted_stops_waiting():
    runtime, waiter = FakeRuntime(ready_after=10**9), FakeWaiter()
    waiter.interrupt_at = 1002
    with pytest.raises(Interrupted):
        nodes.wait_ready(runtime, started(runtime), waiter, 60)


def test_wait_end_gives_each_line_once_and_the_last_one_too():
    runtime, waiter = FakeRuntime(), FakeWaiter()
    node = started(runtime, mode=Mode.TESTING)
    runtime.logs[node.id] = "one\ntw"
    lines = []

    def grow():
        if waiter.now() > 1003:
            runtime.logs[node.id] = "one\ntwo\nthree"
            runtime.ends[node.id] = Ended(status=1)

    waiter.on_pause = grow
    assert nodes.wait_end(runtime, node, waiter, lines.append) == Ended(status=1)
    assert lines == ["one", "two", "three"]


def test_end_asks_once_and_waits_for_it():
    runtime = FakeRuntime()
    node = started(runtime)
    assert nodes.end(runtime, node, FakeWaiter(), 20) == Ended(status=0)
    assert (runtime.asked, runtime.killed) == ([node.id], [])


def test_end_of_a_node_that_does_not_obey_is_a_kill_after_the_grace():
    runtime, waiter = FakeRuntime(), FakeWaiter()
    runtime.obeys = False
    node = started(runtime)
    ended = nodes.end(runtime, node, waiter, 20)
    assert "killed" in ended.reason
    # Asked once: a second signal would end a node that is busy keeping its record.
    assert (runtime.asked, runtime.killed) == ([node.id], [node.id])
    assert 20 <= waiter.now() - 1000 < 22


def test_end_once_interrupted_takes_the_shorter_grace():
    runtime, waiter = FakeRuntime(), FakeWaiter()
    runtime.obeys, waiter.limit = False, 2
    nodes.end(runtime, started(runtime), waiter, 20)
    assert waiter.now() - 1000 < 3


def test_end_of_an_ended_node_asks_nobody():
    runtime = FakeRuntime()
    node = started(runtime)
    runtime.ends[node.id] = Ended(status=1)
    assert nodes.end(runtime, node, FakeWaiter(), 20) == Ended(status=1)
    assert runtime.asked == []


def test_sweep_removes_leftovers_and_leaves_the_living():
    runtime = FakeRuntime()
    old = started(runtime, deadline=1)
    young = started(runtime, created=0, deadline=10**12)
    said = []
    nodes.sweep(runtime, said.append)
    assert said == [f"removed {old.name}, left by a job that crashed"]
    assert list(runtime.nodes) == [young.id]


def test_sweep_of_what_cannot_be_removed_says_so_and_lets_the_job_go_on():
    runtime = FakeRuntime()
    for _ in range(2):
        started(runtime, deadline=1)
    runtime.broken = {"remove"}
    said = []
    nodes.sweep(runtime, said.append)
    assert len(said) == 2
    assert all(line.startswith("left by a job that crashed: ") for line in said)


def test_explanation_without_words_of_the_node_shows_its_last_lines_and_its_status():
    error = nodes.explain_end("a\n\nb\n", Ended(status=137, reason="out of memory"), "the node ended")
    assert error.what == "the node ended (status 137)"
    assert error.why.startswith("out of memory; ")
    assert error.why.endswith("b")
    assert error.status is ExitStatus.TECHNICAL


def test_explanation_of_configuration_faults_keeps_each_of_them():
    log = "error: 2 settings are not usable\n  WORKERS=x is bad\n  INACTIVITY_TIMEOUT=y is bad\n"
    error = nodes.explain_end(log, Ended(status=2), "the node ended")
    assert "WORKERS=x is bad" in error.why
    assert "INACTIVITY_TIMEOUT=y is bad" in error.why


def test_explanation_never_calls_a_fault_a_pass_or_a_finding():
    for status in (0, 1):
        assert nodes.explain_end("", Ended(status=status), "x").status is ExitStatus.TECHNICAL
    assert nodes.explain_end("", Ended(status=4), "x").status is ExitStatus.INTERRUPTED

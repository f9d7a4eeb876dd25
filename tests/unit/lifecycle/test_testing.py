import json

import pytest
from lifecycle_fakes import make_stage

from fastci.errors import ExitStatus, FatalError, Interrupted, UsageError
from fastci.lifecycle.runtime import Ended, Place
from fastci.lifecycle.testing import SecurityTesting
from fastci.results import Run, to_document


def results(state="passed", run_id="tr_0001"):
    run = Run(
        id=run_id, name="night", state=state, record_id="rec_0001", record_name="r", policy="default",
        target="", start_time=1.0, end_time=2.0,
    )  # fmt: skip
    return json.dumps(to_document(run)).encode()


def ending(runtime, status, log=""):
    """A runtime whose nodes end at once like this."""

    def end(node):
        runtime.ends[node.id] = Ended(status=status)
        runtime.logs[node.id] = log

    runtime.on_start = end
    return runtime


@pytest.fixture
def stage(tmp_path):
    made = make_stage(tmp_path)
    (made.workspace.records / "rec_0001.sqlite").write_bytes(b"record")
    (made.workspace.records / "rec_0002.sqlite").write_bytes(b"record")
    return made


def walk(stage, record_id=""):
    testing = SecurityTesting(stage)
    return testing.collect(testing.test(record_id))


def test_testing_brings_the_chosen_record_and_names_record_and_run(stage):
    ending(stage.runtime, 0)
    stage.runtime.files[Place.RUNS] = {"tr_0001.json": results()}
    outcome = walk(stage, "rec_0001")
    (launch,) = stage.runtime.launches
    assert [file.source.name for file in launch.files] == ["rec_0001.sqlite"]
    assert launch.variables["TEST_RECORD_ID"] == "rec_0001"
    assert launch.variables["FAST_RUN_ID"] == "tr_0001"
    assert (outcome.status, outcome.run.name) == (ExitStatus.PASSED, "night")
    assert stage.runtime.nodes == {}


def test_testing_without_a_chosen_record_brings_all_and_lets_the_node_choose(stage):
    ending(stage.runtime, 0)
    stage.runtime.files[Place.RUNS] = {"tr_0001.json": results()}
    walk(stage)
    (launch,) = stage.runtime.launches
    assert [file.source.name for file in launch.files] == ["rec_0001.sqlite", "rec_0002.sqlite"]
    assert "TEST_RECORD_ID" not in launch.variables


def test_testing_without_any_record_starts_nothing(tmp_path):
    stage = make_stage(tmp_path)
    with pytest.raises(UsageError, match="there is no test record"):
        walk(stage)
    assert stage.runtime.launches == []


@pytest.mark.parametrize(("status", "state"), [(1, "failed"), (3, "failed"), (4, "interrupted")])
def test_collected_results_carry_the_status_of_the_node(stage, status, state):
    ending(stage.runtime, status)
    stage.runtime.files[Place.RUNS] = {"tr_0001.json": results(state)}
    outcome = walk(stage)
    assert (outcome.status, outcome.run.state) == (ExitStatus(status), state)


@pytest.mark.parametrize("status", [0, 1, 137])
def test_collecting_without_results_is_never_a_verdict(stage, status):
    ending(stage.runtime, status, "Traceback\nKeyError: 'x'\n")
    with pytest.raises(FatalError) as caught:
        walk(stage)
    assert caught.value.status is ExitStatus.TECHNICAL
    assert "KeyError" in caught.value.why
    assert stage.runtime.nodes == {}
    assert list(stage.workspace.runs.iterdir()) == []


def test_reports_of_a_foreign_node_lie_in_the_report_folder(stage):
    stage.runtime.ours = False
    ending(stage.runtime, 0)
    stage.runtime.files = {Place.REPORTS: {"night.1.txt": b"passed"}}
    outcome = walk(stage, "rec_42")
    assert [path.read_bytes() for path in outcome.reports] == [b"passed"]
    assert outcome.reports[0].parent == stage.workspace.reports


def test_second_run_of_a_workspace_gets_an_id_of_its_own(stage):
    (stage.workspace.runs / "tr_0001.json").write_bytes(results())
    ending(stage.runtime, 0)
    stage.runtime.files[Place.RUNS] = {"tr_0002.json": results(run_id="tr_0002")}
    assert walk(stage).run.id == "tr_0002"


def test_close_while_testing_ends_the_node_and_keeps_what_it_found(stage):
    stage.waiter.interrupt_at = 1002
    testing = SecurityTesting(stage)
    with pytest.raises(Interrupted):
        testing.test()
    assert stage.listener.steps[6].state == "interrupted"
    stage.waiter.held = True
    stage.runtime.files = {Place.RUNS: {"tr_0001.json": results("interrupted")}}
    testing.close()
    testing.close()
    assert stage.runtime.removed == ["n0"]
    assert (stage.workspace.runs / "tr_0001.json").is_file()


@pytest.mark.parametrize(
    ("status", "log", "outcome"),
    [(0, "", ExitStatus.PASSED), (1, "[info] TestRun#tr_1234 failed\n", ExitStatus.VULNERABLE)],
)
def test_foreign_node_is_judged_by_its_status_and_its_log(stage, status, log, outcome):
    stage.runtime.ours = False
    ending(stage.runtime, status, log)
    stage.runtime.files[Place.REPORTS] = {"night.1.json": b"{}"}
    found = walk(stage, "rec_42")
    assert (found.status, found.run) == (outcome, None)
    assert stage.runtime.launches[0].variables["TEST_RECORD_ID"] == "rec_42"
    assert stage.runtime.launches[0].files == ()


def test_foreign_node_that_fails_otherwise_is_a_technical_failure(stage):
    stage.runtime.ours = False
    ending(stage.runtime, 1, "[error] Can't create new instance - access denied\n")
    with pytest.raises(FatalError) as caught:
        walk(stage)
    assert caught.value.status is ExitStatus.TECHNICAL
    assert "access denied" in caught.value.why


def test_report_mode_brings_the_runs_and_says_what_the_node_said(stage):
    (stage.workspace.runs / "tr_0001.json").write_bytes(results())
    ending(stage.runtime, 0, "PASSED 3\n")
    testing = SecurityTesting(stage)
    ended, text = testing.report()
    assert (ended.status, text) == (0, "PASSED 3")
    assert [file.source.name for file in stage.runtime.launches[0].files] == ["tr_0001.json"]
    assert stage.runtime.launches[0].variables["CI_MODE"] == "report"
    assert stage.runtime.nodes == {}

import pytest
from lifecycle_fakes import labels_of, make_stage

from fastci.config import Mode
from fastci.lifecycle.runtime import Launch


def start(stage, **facts):
    return stage.runtime.start(Launch(variables={}, labels=labels_of(created=0, deadline=10**12, **facts)))


def test_step_that_fails_is_told_with_its_reason_and_its_time(tmp_path):
    stage = make_stage(tmp_path)

    def fail():
        with stage.step(3):
            stage.waiter.pause(1.5)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    step = stage.listener.steps[3]
    assert (step.state, step.seconds, step.note) == ("failed", 1.5, "ValueError")
    assert stage.steps == [step]


def test_clean_removes_the_nodes_of_this_job_and_no_others(tmp_path):
    stage = make_stage(tmp_path)
    mine = start(stage, job=stage.key)
    tended = start(stage, job=stage.key, mode=Mode.TESTING, owner="me")
    other = start(stage, job="another")
    assert stage.clean() == [mine.name, tended.name]
    assert list(stage.runtime.nodes) == [other.id]


def test_clean_of_one_build_leaves_the_others(tmp_path):
    stage = make_stage(tmp_path, BUILD_ID="b1")
    mine = start(stage, job=stage.key, build_id="b1")
    start(stage, job=stage.key, build_id="b2")
    assert stage.clean() == [mine.name]


def test_clean_takes_leftovers_of_anybody(tmp_path):
    stage = make_stage(tmp_path)
    old = stage.runtime.start(Launch(variables={}, labels=labels_of(job="another", deadline=1)))
    assert stage.clean() == [old.name]


def test_variables_of_this_side_do_not_reach_a_node(tmp_path):
    stage = make_stage(
        tmp_path, FAST_REPORTS="/here/reports", FAST_STORE="/here", FAST_WORKSPACE="/here", TEST_RUN_RPS="5",
        FAST_RUNTIME="process", CI_MODE="report", PATH="/bin",
    )  # fmt: skip
    assert stage.node_variables(Mode.TESTING, {}) == {
        "CI_MODE": "testing", "TEST_RUN_RPS": "5", "FAST_EXIT_CODES": "detailed",
    }  # fmt: skip


def test_variable_given_by_its_other_name_reaches_the_node(tmp_path):
    stage = make_stage(tmp_path, POLICY_ID="quick")
    assert stage.node_variables(Mode.TESTING, {})["TEST_RUN_POLICY_ID"] == "quick"


def test_log_of_a_node_is_kept_in_the_workspace(tmp_path):
    stage = make_stage(tmp_path)
    node = start(stage)
    stage.runtime.logs[node.id] = "banner\n"
    assert stage.keep_log(node) == "banner\n"
    assert (stage.workspace.logs / f"{node.name}.log").read_text() == "banner\n"


def test_clean_removes_what_lost_its_node_where_it_is_this_jobs_or_a_leftover(tmp_path):
    stage = make_stage(tmp_path)
    fresh = {"created": 0, "deadline": 10**12}
    stage.runtime.rest = {
        "mine": labels_of(job=stage.key, **fresh),
        "old": labels_of(job="another", deadline=1),
        "another's": labels_of(job="another", **fresh),
    }
    assert stage.clean() == ["mine", "old"]
    assert list(stage.runtime.rest) == ["another's"]

import pytest
from lifecycle_fakes import FakeRuntime, labels_of, make_stage

from fastci.config import Mode
from fastci.errors import ExitStatus, FatalError, Interrupted, UsageError
from fastci.lifecycle import probe
from fastci.lifecycle.recording import Recording
from fastci.lifecycle.runtime import Ended, Launch, Place


@pytest.fixture(autouse=True)
def no_authority(monkeypatch):
    monkeypatch.setattr(probe, "fetch_ca", lambda url: None)


def recorded(runtime, name="rec_0001.sqlite"):
    runtime.files[Place.RECORDS] = {name: b"a record"}


def test_recording_gives_the_node_its_mode_its_record_and_what_the_user_set(tmp_path):
    stage = make_stage(
        tmp_path, BUILD_ID="b7", INACTIVITY_TIMEOUT="30", WORKERS="3", TEST_RECORD_NAME="night"
    )
    Recording(stage).start_recording()
    (launch,) = stage.runtime.launches
    assert dict(launch.variables) == {
        "CI_MODE": "recording", "BUILD_ID": "b7", "INACTIVITY_TIMEOUT": "30", "TEST_RECORD_NAME": "night",
        "FAST_RECORD_ID": "rec_0001", "FAST_EXIT_CODES": "detailed",
    }  # fmt: skip
    assert (launch.labels.build_id, launch.labels.record_id) == ("b7", "rec_0001")


def test_recording_gives_our_own_node_the_secrets_that_are_its_own(tmp_path):
    proxy = "http://name:word@proxy:3128"
    stage = make_stage(tmp_path, FAST_RECORD_KEY="5a" * 32, FAST_UPSTREAM_PROXY=proxy)
    Recording(stage).start_recording()
    (launch,) = stage.runtime.launches
    assert launch.variables["FAST_RECORD_KEY"] == "5a" * 32
    assert launch.variables["FAST_UPSTREAM_PROXY"] == proxy
    assert "5a" * 32 not in str(launch.labels)


def test_recording_never_gives_the_token_of_the_cloud_to_our_own_node(tmp_path):
    stage = make_stage(tmp_path, WALLARM_API_TOKEN="secret")
    Recording(stage).start_recording()
    assert "secret" not in str(stage.runtime.launches)


def test_recording_by_a_foreign_image_gives_the_token_and_nothing_of_our_own(tmp_path):
    runtime = FakeRuntime()
    runtime.ours = False
    runtime.on_start = lambda node: runtime.logs.update(
        {node.id: "[info] TestRecord#rec_42 TestRecord Oct 01 starts to record\n"}
    )
    stage = make_stage(tmp_path, runtime, WALLARM_API_TOKEN="secret", FAST_MAX_BODY="100")
    recording = Recording(stage)
    recording.start_recording()
    (launch,) = runtime.launches
    assert dict(launch.variables) == {"CI_MODE": "recording", "WALLARM_API_TOKEN": "secret"}
    assert "secret" not in str(launch.labels)
    assert recording.record_id == "rec_42"


@pytest.mark.parametrize(
    ("target", "hosts"),
    [("http://app-test:3000", "app-test"), ("http://127.0.0.1:3000", "localhost,127.0.0.1,[::1]")],
)
def test_recording_with_a_target_records_only_that_host(tmp_path, target, hosts):
    stage = make_stage(tmp_path, TARGET_URI=target)
    Recording(stage).start_recording()
    assert stage.runtime.launches[0].variables["ALLOWED_HOSTS"] == hosts


def test_recording_with_allowed_hosts_keeps_to_them(tmp_path):
    stage = make_stage(tmp_path, TARGET_URI="http://app:3000", ALLOWED_HOSTS=".example.local")
    Recording(stage).start_recording()
    assert stage.runtime.launches[0].variables["ALLOWED_HOSTS"] == ".example.local"


def test_stopped_recording_keeps_the_record_and_leaves_no_node(tmp_path):
    stage = make_stage(tmp_path)
    recorded(stage.runtime)
    recording = Recording(stage)
    recording.start_recording()
    stage.runtime.logs["n0"] = "[info] TestRecord#rec_0001 x stopped, 12 baseline requests recorded\n"
    assert recording.stop_recording() == "rec_0001"
    assert stage.workspace.has_record("rec_0001")
    assert stage.runtime.nodes == {}
    assert "12 baseline requests" in stage.listener.steps[5].note


def test_stopped_recording_that_had_ended_before_is_an_error_that_keeps_the_record(tmp_path):
    stage = make_stage(tmp_path)
    recorded(stage.runtime)
    recording = Recording(stage)
    recording.start_recording()
    stage.runtime.ends["n0"] = Ended(status=137, reason="the kernel killed it: out of memory")
    with pytest.raises(FatalError) as caught:
        recording.stop_recording()
    assert "out of memory" in caught.value.why
    assert "rec_0001 holds" in caught.value.hint
    assert stage.workspace.has_record("rec_0001")
    assert stage.runtime.nodes == {}


def test_stopping_what_never_started_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no node of this job is recording"):
        Recording(make_stage(tmp_path)).stop_recording()


def test_close_while_the_tests_run_ends_the_node_and_keeps_the_record(tmp_path):
    stage = make_stage(tmp_path)
    recorded(stage.runtime)
    Recording(stage).start_recording(tended=False)
    recording = Recording(stage)
    assert recording.find_recorder()
    recording.close()
    recording.close()
    assert stage.runtime.asked == ["n0"]
    assert stage.runtime.removed == ["n0"]
    assert stage.workspace.has_record("rec_0001")
    assert any("rec_0001" in note for note in stage.listener.notes)


def test_close_before_any_test_ran_keeps_no_empty_record_and_gives_its_id_back(tmp_path):
    stage = make_stage(tmp_path)
    recorded(stage.runtime)
    recording = Recording(stage)
    recording.start_recording()
    recording.close()
    assert stage.runtime.removed == ["n0"]
    assert list(stage.workspace.records.iterdir()) == []


def test_close_over_a_broken_engine_tells_and_tries_to_remove(tmp_path):
    stage = make_stage(tmp_path)
    recording = Recording(stage)
    recording.start_recording()
    stage.runtime.broken = {"ended"}
    recording.close()
    assert stage.runtime.removed == ["n0"]
    assert any("engine does not answer" in note for note in stage.listener.notes)


def test_close_after_leaving_touches_neither_node_nor_reservation(tmp_path):
    stage = make_stage(tmp_path)
    recording = Recording(stage)
    recording.start_recording(tended=False)
    recording.leave_recording()
    recording.close()
    assert list(stage.runtime.nodes) == ["n0"]
    assert stage.workspace.reserve_record() == "rec_0002"
    assert stage.runtime.launches[0].labels.owner == ""


def test_interrupted_start_leaves_a_node_that_close_removes(tmp_path):
    stage = make_stage(tmp_path, FakeRuntime(ready_after=10**9))
    stage.waiter.interrupt_at = 1001
    recording = Recording(stage)
    with pytest.raises(Interrupted):
        recording.start_recording()
    assert stage.listener.steps[2].state == "interrupted"
    stage.waiter.held = True
    recording.close()
    assert stage.runtime.nodes == {}


def test_step_that_names_no_build_finds_the_recorder_of_its_job(tmp_path):
    stage = make_stage(tmp_path)
    stage.runtime.start(Launch(variables={}, labels=labels_of(job=stage.key, build_id="b7")))
    assert Recording(stage).find_recorder()


def test_found_recorder_is_the_forgotten_one_of_this_job_and_build(tmp_path):
    stage = make_stage(tmp_path, BUILD_ID="b7")
    key = stage.key
    for facts in (
        {"job": "another job"},
        {"job": key, "mode": Mode.TESTING},
        {"job": key, "owner": "somebody"},
        {"job": key, "build_id": "another build"},
        {"job": key, "build_id": "b7", "record_id": "rec_0009"},
    ):
        stage.runtime.start(Launch(variables={}, labels=labels_of(**facts)))
    recording = Recording(stage)
    assert recording.find_recorder()
    recording.stop_recording()
    assert recording.record_id == "rec_0009"
    assert stage.runtime.removed == ["n4"]


def test_second_record_of_a_job_replaces_the_first_and_keeps_its_record(tmp_path):
    stage = make_stage(tmp_path)
    first = Recording(stage)
    first.start_recording(tended=False)
    first.leave_recording()
    recorded(stage.runtime)
    second = Recording(stage)
    second.start_recording(tended=False)
    assert stage.runtime.removed == ["n0"]
    assert stage.workspace.has_record("rec_0001")
    assert second.record_id == "rec_0002"


def test_target_that_the_node_cannot_reach_is_explained_from_its_place(tmp_path):
    runtime = FakeRuntime()
    runtime.shares_network, runtime.reason = False, "connection refused: nothing listens there"
    stage = make_stage(tmp_path, runtime, TARGET_URI="http://localhost:3000")
    recording = Recording(stage)
    recording.check_target()
    assert stage.listener.steps[1].state == "skipped"
    with pytest.raises(FatalError) as caught:
        recording.start_recording()
    assert "http://localhost:3000" in caught.value.what
    assert "localhost is the node itself" in caught.value.why
    assert caught.value.status is ExitStatus.TECHNICAL


def test_target_that_is_down_stops_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "ask_target", lambda url: probe.Answer(fault="connection refused"))
    stage = make_stage(tmp_path, TARGET_URI="http://127.0.0.1:9")
    with pytest.raises(FatalError) as caught:
        Recording(stage).check_target()
    assert caught.value.status is ExitStatus.TECHNICAL
    assert stage.runtime.launches == []


def test_port_that_is_taken_is_named_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "is_free", lambda port: False)
    stage = make_stage(tmp_path, FAST_PORT="8123")
    with pytest.raises(UsageError) as caught:
        Recording(stage).start_recording()
    assert "8123" in caught.value.what
    assert stage.runtime.launches == []
    assert list(stage.workspace.records.iterdir()) == []

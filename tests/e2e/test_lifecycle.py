"""Recording, stopping and testing as separate commands, over both runtimes, with nothing left over."""

import json
import os
import signal
import subprocess

import pytest
from jobs import promised, sending, until


@pytest.fixture
def engine_of(either, request):
    return request.getfixturevalue("engine") if either.runtime == "docker" else None


def nothing_is_left(job, engine):
    assert job.nodes(engine) == []
    assert job.processes() == []


def send_tests(job, *urls):
    """Run tests as a later step of a CI would: with the settings that `fastci record` left."""
    script = f'. {job.workspace.script_file}; exec "$@"'
    subprocess.run(["sh", "-ec", script, "sh", *sending(*urls)], check=True, env=job.environ, cwd=job.folder)


def test_record_stop_and_test_in_processes_of_their_own(either, engine_of, target):
    done = either("record", "--target-uri", target.url)
    assert done.status == 0, done
    assert "export HTTP_PROXY=" in done.out
    assert len(either.nodes(engine_of)) >= 1
    send_tests(either, f"{target.url}/echo?q=1")
    done = either("stop")
    assert done.status == 0, done
    assert "record: rec_0001" in done.out
    nothing_is_left(either, engine_of)
    done = either("test")
    assert done.status == 1, done
    assert "1 vulnerability" in done.out
    nothing_is_left(either, engine_of)


def test_test_with_a_recorder_still_running_stops_it_first(either, engine_of, target):
    either("record")
    send_tests(either, f"{target.url}/safe?q=1")
    done = either("test")
    assert done.status == 0, done
    assert done.out.index("[5/7]") < done.out.index("[6/7]")
    nothing_is_left(either, engine_of)


def test_record_twice_replaces_the_first_and_keeps_its_record(either, engine_of, target):
    either("record")
    send_tests(either, f"{target.url}/safe?q=1")
    done = either("record")
    assert done.status == 0, done
    assert "was still recording" in done.err
    assert either.workspace.has_record("rec_0001")
    either("stop")
    assert either.workspace.has_record("rec_0002")
    nothing_is_left(either, engine_of)


def test_records_of_two_builds_in_one_workspace_stay_apart(either, engine_of, target):
    for build in ("b1", "b2"):
        assert either("record", "--build-id", build).status == 0
        send_tests(either, f"{target.url}/safe?q={build}")
    done = either("stop", "--build-id", "b1")
    assert "record: rec_0001" in done.out
    done = either("stop", "--build-id", "b2")
    assert "record: rec_0002" in done.out
    nothing_is_left(either, engine_of)


def test_stop_without_a_recorder_is_a_usage_error(either):
    done = either("stop")
    assert done.status == 2, done
    assert "no node of this job is recording" in done.err


def test_clean_removes_a_running_recorder(either, engine_of):
    either("record")
    done = either("clean")
    assert done.status == 0, done
    assert "removed fast-recording-" in done.out
    nothing_is_left(either, engine_of)


def test_recorder_without_tests_ends_by_itself_and_stop_says_why(either, engine_of):
    either("record", "--inactivity-timeout", "1")
    log = "ended by itself"
    until(lambda: ended(either, engine_of), "the end of the recorder")
    done = either("stop")
    assert done.status == 3, done
    assert log in done.err
    nothing_is_left(either, engine_of)


def ended(job, engine):
    if engine is None:
        return not [pid for pid in job.processes() if pid != os.getpid()]
    return not engine.api.containers(filters={"label": job.label})


def test_test_of_one_record_of_many_takes_that_one(either, target):
    for path in ("echo", "safe"):
        either("record")
        send_tests(either, f"{target.url}/{path}?q=1")
        either("stop")
    assert either("test", "--test-record-id", "rec_0001").status == 1
    assert either("test").status == 0


def test_test_of_a_record_that_is_not_there_names_the_known(either):
    done = either("test", "--test-record-id", "rec_0042")
    assert done.status == 2, done
    assert "rec_0042" in done.err


def test_test_interrupted_keeps_what_was_found(either, engine_of, target):
    either("record")
    send_tests(either, f"{target.url}/echo?q=1", f"{target.url}/safe?q=1")
    either("stop")
    target.open.clear()
    asked = len(target.requests)
    job = either.start("test")
    until(lambda: len(target.requests) > asked, "an attack")
    job.send(signal.SIGINT)
    done = job.wait()
    assert done.status == 4, done
    assert promised(either)["outcome"] == "interrupted"
    nothing_is_left(either, engine_of)


def test_report_mode_prints_the_last_run_again(either, engine_of, target):
    either("run", "--test-run-name", "night", "--", *sending(f"{target.url}/echo?q=1"))
    done = either("report")
    assert done.status == 1, done
    assert "/echo" in done.out
    nothing_is_left(either, engine_of)


def test_report_of_a_results_file_writes_other_formats(either, target):
    either("run", "--test-run-name", "night", "--", *sending(f"{target.url}/safe?q=1"))
    done = either("report", ".fast/runs/tr_0001.json", "--format", "markdown")
    assert done.status == 0, done
    assert list(either.workspace.reports.glob("night.*.md"))


def test_settings_for_later_steps_are_a_line_each(fastci):
    fastci("record")
    lines = fastci.workspace.environment_file.read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    assert settings["HTTP_PROXY"] == settings["http_proxy"]
    assert not any(" " in line or "'" in line for line in lines)
    fastci("stop")


def test_node_command_alone_has_simple_statuses(fastci):
    done = fastci("node", CI_MODE="testing", FAST_STORE=str(fastci.folder / "store"))
    assert done.status == 1, done
    done = fastci(
        "node", CI_MODE="testing", FAST_STORE=str(fastci.folder / "store"), FAST_EXIT_CODES="detailed"
    )
    assert done.status in (2, 3), done


def test_results_file_of_a_run_carries_its_steps(either, target):
    done = either("run", "--", *sending(f"{target.url}/safe?q=1"))
    assert done.status == 0, done
    document = json.loads((either.workspace.runs / "tr_0001.json").read_text())
    assert [step["state"] for step in document["run"]["steps"]] == ["skipped", *["done"] * 6]

"""A testing node that was killed: the next one goes on where it was, and finds what others find."""

import json
import os
import signal

import pytest
from jobs import promised, sending, until

PAGES = 12
WORKERS = 4
TEST_SET = 12
"""Requests of one baseline: with one point, about what one extension sends there."""


def results_of(job, run_id: str) -> tuple[set[tuple[str, str, str]], int]:
    """What a run found, and how many requests it counted."""
    document = json.loads((job.workspace.runs / f"{run_id}.json").read_text())
    found = {(v["type"], v["point"], v["url"]) for v in document["vulns"]}
    return found, document["sended_requests_count"]


def kill_the_node(job, request) -> None:
    """Kill -9: the container; or, as when a machine goes down, every process of the job."""
    if job.runtime == "docker":
        engine = request.getfixturevalue("engine")
        (container,) = engine.api.containers(filters={"label": job.label})
        engine.api.kill(container["Id"])
        return
    for pid in job.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_killed_run_goes_on_repeats_only_what_was_under_way_and_finds_the_same(
    either, target, request, processes: str
):
    if either.runtime == "docker" and processes == "2":
        pytest.skip("the number of processes is the node's business, and shown without containers")
    settings = {
        "FAST_SKIP_DUPLICATES": "false",
        "WORKERS": str(WORKERS // int(processes)),
        "PROCESSES": processes,
    }
    urls = [f"{target.url}/{('echo', 'safe')[n % 2]}?q=tea&z{n}=1" for n in range(PAGES)]
    done = either("run", "--target-uri", target.url, "--", *sending(*urls), **settings)
    assert done.status == 1, done
    wanted, whole = results_of(either, "tr_0001")
    begin = len(target.requests)

    killed = either.start("test", TEST_RUN_RPS="100", **settings)
    until(lambda: len(target.requests) > begin + whole // 2, "half of the test requests")
    target.open.clear()
    kill_the_node(either, request)
    killed.wait()
    target.open.set()
    until(lambda: not either.processes(), "the end of what was killed")
    half = len(target.requests) - begin
    if either.runtime == "docker":
        assert promised(either)["outcome"] == "technical"
        assert (
            "`fastci test --resume` goes on from there"
            in (either.workspace.latest / "summary.md").read_text()
        )

    done = either("test", "--resume", **settings)
    assert done.status == 1, done
    found, counted = results_of(either, "tr_0002")
    rest = len(target.requests) - begin - half
    assert found == wanted
    # In flight at each worker: a control and one extension at one point.
    assert half + rest <= whole + WORKERS * TEST_SET
    assert counted >= whole - WORKERS * TEST_SET
    assert not list(either.workspace.runs.glob("*.journal"))


def test_resume_with_other_settings_begins_anew_and_says_so(fastci, target, tmp_path):
    settings = {"FAST_SKIP_DUPLICATES": "false", "WORKERS": "2"}
    urls = [f"{target.url}/safe?q=tea&z{n}=1" for n in range(6)]
    assert fastci("run", "--target-uri", target.url, "--", *sending(*urls), **settings).status == 0
    begin = len(target.requests)
    killed = fastci.start("test", TEST_RUN_RPS="50", **settings)
    until(lambda: len(target.requests) > begin + 8, "test requests")
    for pid in fastci.processes():
        os.kill(pid, signal.SIGKILL)
    killed.wait()
    until(lambda: not fastci.processes(), "the end of what was killed")
    done = fastci("test", "--resume", "--verbose", TEST_RUN_URI=target.url, **settings)
    assert done.status == 0, done
    assert "cannot go on" in done.out + done.err

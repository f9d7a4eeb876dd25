"""`fastci run` cut short, in each step, twice, by force: nothing is left, what was recorded is kept."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import promised, sending, until

from fastci.lifecycle.sessions import members

RUNNER_PATIENCE = 7.5
"""Seconds after which a CI runner sends its second signal."""
ENDED = r"ended with status|\[{}/7\] [^.]+ +\d"
NUMBERS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}


@pytest.fixture
def engine_of(either, request):
    return request.getfixturevalue("engine") if either.runtime == "docker" else None


def nothing_is_left(job, engine):
    assert job.nodes(engine) == []
    until(lambda: job.processes() == [], f"the end of {job.processes()}", 5)


def says(job, pattern):
    until(
        lambda: re.search(pattern, job.text()) or job.process.poll() is not None, f"{pattern} in {job.text()}"
    )


def interrupted(job, number, *, last=False):
    """Its end; in its `last` step a job may have come to its verdict, which then stands."""
    since = time.monotonic()
    job.send(number)
    done = job.wait()
    assert time.monotonic() - since < RUNNER_PATIENCE, done
    if last and done.status == 0:
        assert "security tests: passed" in done.out, done
        return done
    assert done.status == 4, done
    assert f"error: interrupted by {signal.Signals(number).name}" in done.err
    return done


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("step", [1, 2, 3, 5, 6, 7])
def test_run_interrupted_in_a_step_leaves_nothing_and_keeps_the_record(
    either, engine_of, target, step, number
):
    if step == 1:
        target.open.clear()
    command = sending(f"{target.url}/safe?q=1")
    job = either.start("run", "--target-uri", target.url, "--", *command)
    if step == 1:
        until(lambda: target.requests, "the question whether the target is there")
    elif step == 6:
        says(job, r"\[6/7\] node testing \.\.\.")
        target.open.clear()
        asked = len(target.requests)
        until(lambda: len(target.requests) > asked, "an attack")
    else:
        says(job, rf"\[{step - 1}/7\] [a-z ,]+ \d")
    done = interrupted(job, NUMBERS[number], last=step == 7)
    if step in (1, 6):
        assert re.search(rf"\[{step}/7\] .* INTERRUPTED", done.out), done
        assert promised(either)["outcome"] == "interrupted"
    if step >= 5:
        assert either.workspace.has_record("rec_0001")
    else:
        # Interrupted so early that nothing can have been recorded, unless it was slow to be heard.
        heard_late = "[4/7]" in done.out
        assert heard_late or list(either.workspace.records.iterdir()) == []
    target.open.set()
    nothing_is_left(either, engine_of)


ENDING = """
import atexit, time
from fastci.cli import main
def dawdle():
    print("ending", flush=True)
    time.sleep(0.5)
atexit.register(dawdle)
main(["--version"])
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_command_that_has_its_outcome_ends_with_that_whatever_signal_comes(number):
    command = [sys.executable, "-c", ENDING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert "ending" in [process.stdout.readline(), process.stdout.readline()][-1]
        process.send_signal(NUMBERS[number])
        assert process.wait(30) == 0


STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
if sys.argv[1:]:
    subprocess.Popen([sys.executable, __file__])
pathlib.Path(f"up{len(sys.argv)}").touch()
while True: time.sleep(0.1)
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_run_interrupted_in_its_tests_ends_them_and_keeps_what_they_sent(either, engine_of, target, number):
    wait = "import time, pathlib\npathlib.Path('sent').touch()\ntime.sleep(60)"
    command = sending(f"{target.url}/safe?q=1", then=wait)
    job = either.start("run", "--target-uri", target.url, "--", *command)
    until(lambda: (either.folder / "sent").exists(), "the test's request")
    done = interrupted(job, NUMBERS[number])
    assert re.search(r"\[4/7\] .* INTERRUPTED", done.out), done
    assert "kept: " in done.out
    assert either.workspace.has_record("rec_0001")
    nothing_is_left(either, engine_of)


def test_run_interrupted_with_tests_that_do_not_obey_ends_them_with_their_children(either, engine_of, target):
    (either.folder / "stubborn.py").write_text(STUBBORN)
    command = [sys.executable, str(either.folder / "stubborn.py"), "parent"]
    job = either.start("run", "--target-uri", target.url, "--", *command)
    until(lambda: (either.folder / "up1").exists() and (either.folder / "up2").exists(), "parent and child")
    interrupted(job, signal.SIGINT)
    nothing_is_left(either, engine_of)


def test_run_interrupted_twice_hurries(either, engine_of, target):
    (either.folder / "stubborn.py").write_text(STUBBORN)
    command = [sys.executable, str(either.folder / "stubborn.py")]
    job = either.start("run", "--target-uri", target.url, "--", *command)
    until(lambda: (either.folder / "up1").exists(), "the tests")
    job.send(signal.SIGINT)
    time.sleep(0.7)
    since = time.monotonic()
    job.send(signal.SIGTERM)
    done = job.wait()
    assert done.status == 4, done
    assert time.monotonic() - since < 3
    nothing_is_left(either, engine_of)


def test_run_interrupted_as_a_terminal_does_it_ends_once(either, engine_of, target):
    command = sending(
        f"{target.url}/safe?q=1", then="import time, pathlib\npathlib.Path('sent').touch()\ntime.sleep(60)"
    )
    job = either.start("run", "--target-uri", target.url, "--", *command)
    until(lambda: (either.folder / "sent").exists(), "the test's request")
    # A terminal's Ctrl-C goes to the whole foreground group; ours is a group of its own.
    os.killpg(job.process.pid, signal.SIGINT)
    assert job.wait().status == 4
    nothing_is_left(either, engine_of)


def test_run_killed_takes_its_embedded_node_along(fastci, target):
    job = fastci.start(
        "run", "--target-uri", target.url, "--", sys.executable, "-c", "import time; time.sleep(60)"
    )
    job.says("[4/7] existing tests ...")
    (node,) = [pid for pid in fastci.processes() if str(fastci.workspace.nodes) in str(cwd(pid))]
    job.send(signal.SIGKILL)
    job.wait()
    until(lambda: not members(node), "the end of the node", 10)


def test_run_killed_leaves_a_folder_that_the_next_job_sweeps(fastci, target):
    job = fastci.start(
        "run", "--target-uri", target.url, "--", sys.executable, "-c", "import time; time.sleep(60)"
    )
    job.says("[4/7] existing tests ...")
    job.send(signal.SIGKILL)
    job.wait()
    assert fastci.nodes()
    for pid in fastci.processes():
        subprocess.run(["kill", "-9", str(pid)], check=False)
    done = fastci("run", "--target-uri", target.url, "--", *sending(f"{target.url}/safe?q=1"))
    assert done.status == 0, done
    assert "left by a job that crashed" in done.out
    assert fastci.nodes() == []


@pytest.mark.engine
def test_run_killed_leaves_a_container_that_any_later_job_sweeps(fastci_docker, engine, target):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    job = fastci_docker.start("run", "--target-uri", target.url, "--", *command)
    job.says("[4/7] existing tests ...")
    job.send(signal.SIGKILL)
    job.wait()
    # Another job may have swept it already: none of them has to.
    done = fastci_docker("clean", FAST_WORKSPACE="another")
    assert done.status == 0, done
    assert fastci_docker.nodes(engine) == []


def cwd(pid):
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return ""

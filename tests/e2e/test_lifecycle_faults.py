"""The engine fails or dawdles in the middle: a socket between fastci and the engine is held or cut."""

import io
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from jobs import ON_PODMAN, sending, until

from fastci.config import Mode, parse_settings
from fastci.lifecycle.container import ContainerRuntime
from fastci.lifecycle.interrupts import Signals
from fastci.lifecycle.labels import make_labels
from fastci.lifecycle.runtime import Launch

pytestmark = pytest.mark.engine


def start(job, between, *arguments):
    return job.start(*arguments, DOCKER_HOST=f"unix://{between.path}")


def waiting(command_url):
    return sending(
        command_url, then="import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
    )


def test_engine_gone_while_the_tests_run_is_said_and_the_next_job_sweeps(
    fastci_docker, engine, between, target
):
    words = ["run", "--stop-timeout", "1", "--target-uri", target.url, "--"]
    job = start(fastci_docker, between, *words, *waiting(f"{target.url}/safe?q=1"))
    job.says("\n200\n")
    between.cut()
    job.says("the recorder cannot be seen")
    (fastci_docker.folder / "go").touch()
    done = job.wait()
    assert done.status == 3, done
    assert "existing tests: ended with status 0" in done.out
    assert "error: " in done.err
    fastci_docker("clean")
    assert fastci_docker.nodes(engine) == []


def out_of_memory(limit):
    """What is said of it: Podman does not tell that it was the memory."""
    return (
        "perhaps it was out of memory (FAST_MEMORY)" if ON_PODMAN else f"out of memory (FAST_MEMORY={limit})"
    )


def test_node_killed_for_want_of_memory_is_explained_with_the_limit(fastci_docker, engine, target):
    done = fastci_docker("run", "--memory", "16m", "--target-uri", target.url, "--", "true")
    assert done.status == 3, done
    assert out_of_memory("16m") in done.err
    assert "[4/7]" not in done.out
    assert fastci_docker.nodes(engine) == []


def limit_memory(engine, container, size):
    """Give a running container less memory; Podman has that in its own API alone."""
    if not ON_PODMAN:
        engine.api.update_container(container, mem_limit=size)
        return
    place = f"{engine.api.base_url}/v4.0.0/libpod/containers/{container}/update"
    engine.api.post(place, json={"memory": {"limit": size}}).raise_for_status()


def test_recorder_killed_for_want_of_memory_in_the_middle_keeps_the_record(fastci_docker, engine, target):
    then = "import http.client, pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)\n"
    then += f"try: urllib.request.urlopen('{target.url}/big').read()\n"
    then += "except (OSError, http.client.HTTPException): print('cut')"
    words = ["run", "--memory", "256m", "--max-body", str(1 << 30), "--target-uri", target.url, "--"]
    job = fastci_docker.start(*words, *sending(f"{target.url}/safe?q=1", then=then))
    job.says("\n200\n")
    (container,) = engine.api.containers(filters={"label": fastci_docker.label})
    used = engine.api.stats(container["Id"], stream=False)["memory_stats"]["usage"]
    limit_memory(engine, container["Id"], used + (8 << 20))
    (fastci_docker.folder / "go").touch()
    done = job.wait()
    assert done.status == 3, done
    assert out_of_memory("256m") in done.err
    assert fastci_docker.workspace.has_record("rec_0001")
    assert fastci_docker.nodes(engine) == []


def give_up(lacking):
    """Where all tests must run, what lacks is a failure."""
    (pytest.fail if os.environ.get("FAST_REQUIRE_ENGINE") == "1" else pytest.skip)(f"NOT RUN: {lacking}")


@pytest.fixture
def clock(tmp_path):
    """A file that says how wrong the clock is, and the variables of a process that believes it."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not libraries:
        give_up("libfaketime is not installed")
    said = tmp_path / "clock"
    said.write_text("+0")
    return said, {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(said),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }


@pytest.mark.parametrize("jump", ["-3d", "+3d"])
def test_clock_set_back_or_forth_while_the_tests_run_changes_nothing(
    fastci_docker, engine, between, target, clock, jump
):
    said, variables = clock
    # The jobs of the tests beside this one live in our time: they would all look forgotten.
    between.narrow = fastci_docker.label
    variables["DOCKER_HOST"] = f"unix://{between.path}"
    # The tests have a clock of their own: their sleep is none that the library knows.
    tests = ["env", "-u", "LD_PRELOAD", *waiting(f"{target.url}/safe?q=1")]
    job = fastci_docker.start("run", "--target-uri", target.url, "--", *tests, **variables)
    job.says("\n200\n")
    said.write_text(jump)
    # For this one all nodes are of another time, too.
    other = fastci_docker.folder / "other"
    other.mkdir()
    swept = fastci_docker.start("clean", output=other, FAST_WORKSPACE="another", **variables).wait()
    assert swept.status == 0, swept
    (fastci_docker.folder / "go").touch()
    done = job.wait()
    assert done.status == 0, done
    assert "1 baseline request recorded" in done.out
    (path,) = fastci_docker.workspace.runs.glob("tr_*.json")
    assert all(0 <= step["seconds"] < 60 for step in json.loads(path.read_text())["run"]["steps"])
    assert fastci_docker.nodes(engine) == []


SMALL = ["unshare", "--mount", "sh", "-ec", 'mount -t tmpfs -o size="$1" none "$2"; shift 2; exec "$@"', "sh"]
"""Runs a command with a small disk of its own: size, folder, command."""


def on_small_disk(job, size, *words):
    if subprocess.run([*SMALL, "1m", job.folder, "true"], capture_output=True, check=False).returncode:
        give_up("no file system can be mounted here")
    folder = job.folder / ".fast"
    folder.mkdir()
    # The embedded node keeps its files in the workspace, so both sides meet the full disk.
    command = [*SMALL, size, folder, sys.executable, "-m", "fastci", "run", "--runtime", "process", *words]
    return subprocess.run(
        command, cwd=job.folder, env=job.environ, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize(
    ("size", "what"),
    [("40k", "the record rec_0001.sqlite cannot be written"), ("200k", "proxy settings cannot be written")],
)
def test_disk_that_is_full_ends_the_job_before_the_tests(fastci, target, size, what):
    done = on_small_disk(fastci, size, "--target-uri", target.url, "--", "true")
    assert done.returncode == 3, done
    assert what in done.stderr
    assert "[4/7]" not in done.stdout
    assert fastci.processes() == []


def test_disk_that_fills_up_while_the_tests_run_never_passes_the_job(fastci, target):
    ask = "import subprocess, sys, urllib.request as u\n"
    ask += "subprocess.run(['sh', '-c', 'head -c 9m /dev/zero >.fast/fill'], stderr=subprocess.DEVNULL)\n"
    ask += "for n in range(200):\n  try: u.urlopen(f'{sys.argv[1]}/safe?q={n}').read()\n"
    ask += "  except OSError: break\n"
    done = on_small_disk(
        fastci, "1500k", "--target-uri", target.url, "--", sys.executable, "-c", ask, target.url
    )
    assert done.returncode == 3, done
    assert "disk" in done.stderr or "space" in done.stderr
    assert "[6/7]" not in done.stdout
    assert fastci.processes() == []


@pytest.fixture(scope="session")
def slow_image(engine, base_image):
    """A node that never gets ready."""
    recipe = f'FROM {base_image}\nCMD ["sh", "-c", "echo I am slow; exec sleep 60"]\n'
    tag = "fast-action-test/slow:1"
    engine.images.build(fileobj=io.BytesIO(recipe.encode()), tag=tag, forcerm=True)
    return tag


def test_node_that_is_never_ready_is_given_up_and_removed(fastci_docker, engine, slow_image, lan):
    limits = ["--start-timeout", "1", "--stop-timeout", "1"]
    done = fastci_docker("record", "--image", slow_image, "--network", lan.name, *limits)
    assert done.status == 3, done
    assert "the node is not ready after 1 s" in done.err
    assert "I am slow" in done.err
    assert "FAST_START_TIMEOUT" in done.err
    assert fastci_docker.nodes(engine) == []


def remove_node(job, engine):
    (container,) = until(lambda: engine.api.containers(filters={"label": job.label}), "a node")
    engine.api.remove_container(container["Id"], v=True, force=True)


def test_node_that_somebody_removes_before_it_is_ready_is_told(fastci_docker, engine, slow_image, lan):
    job = fastci_docker.start("record", "--image", slow_image, "--network", lan.name)
    remove_node(fastci_docker, engine)
    done = job.wait()
    assert done.status == 3, done
    assert "the node ended before it was ready" in done.err
    assert "its container was removed by somebody else" in done.err
    assert fastci_docker.nodes(engine) == []


def test_recorder_that_somebody_removes_while_the_tests_run_is_told(fastci_docker, engine, target):
    job = fastci_docker.start("run", "--target-uri", target.url, "--", *waiting(f"{target.url}/safe?q=1"))
    job.says("\n200\n")
    remove_node(fastci_docker, engine)
    job.says("the recorder is gone")
    (fastci_docker.folder / "go").touch()
    done = job.wait()
    assert done.status == 3, done
    assert "its container was removed by somebody else" in done.err
    assert "nothing was recorded" in done.err
    assert fastci_docker.nodes(engine) == []


def test_name_of_a_container_that_is_taken_is_left_to_its_owner(
    fastci_docker, engine, node_image, base_image, monkeypatch, target
):
    numbers = [uuid.UUID(int=n << 96) for n in (0xABCDEF01, 0xABCDEF01, 0xABCDEF02)]
    monkeypatch.setattr(uuid, "uuid4", lambda: numbers.pop(0))
    settings = parse_settings({"FAST_BASE_IMAGE": base_image})
    labels = make_labels(job=fastci_docker.workspace.job_key(""), mode=Mode.REPORT, build_id="", lifetime=60)
    with Signals() as signals:
        runtime = ContainerRuntime.connect(settings, os.environ, signals, print)
        runtime.prepare()
        nodes = [runtime.start(Launch(variables={"CI_MODE": "report"}, labels=labels)) for _ in range(2)]
        assert [node.name for node in nodes] == ["fast-report-abcdef01", "fast-report-abcdef02"]
        for node in nodes:
            runtime.remove(node)
        runtime.close()
    assert fastci_docker.nodes(engine) == []


def test_engine_gone_while_testing_is_said(fastci_docker, engine, between, target):
    job = start(
        fastci_docker, between, "run", "--target-uri", target.url, "--", *sending(f"{target.url}/safe?q=1")
    )
    job.says("[6/7] node testing ...")
    target.open.clear()
    asked = len(target.requests)
    until(lambda: len(target.requests) > asked, "an attack")
    between.cut()
    done = job.wait()
    assert done.status == 3, done
    assert "the Docker Engine does not answer any more" in done.err
    assert fastci_docker.workspace.has_record("rec_0001")
    target.open.set()
    fastci_docker("clean")
    assert fastci_docker.nodes(engine) == []


@pytest.mark.parametrize(
    ("request_line", "step"),
    [
        (r"POST \S*/containers/create", 2),
        (r"POST \S*/containers/\w+/start", 2),
        (r"POST \S*/containers/\w+/kill", 5),
        (r"GET \S*/containers/\w+/archive\?\S*runs", 7),
        (r"DELETE \S*/containers/", 5),
    ],
)
def test_interrupted_while_the_engine_dawdles_leaves_nothing(
    fastci_docker, engine, between, target, request_line, step
):
    between.hold(request_line)
    command = sending(f"{target.url}/safe?q=1")
    job = start(fastci_docker, between, "run", "--target-uri", target.url, "--", *command)
    assert between.waiting.wait(100), job.text()
    job.send(signal.SIGINT)
    between.release()
    done = job.wait()
    assert done.status == 4, done
    assert f"[{step + 1}/7]" not in done.out or step == 5, done
    if step == 7:
        assert list(fastci_docker.workspace.reports.glob("*.json"))
    if step >= 5:
        assert fastci_docker.workspace.has_record("rec_0001")
    assert fastci_docker.nodes(engine) == []


def test_node_that_the_engine_cannot_end_gives_what_it_recorded(fastci_docker, engine, between, target):
    between.fail(r"POST \S*/containers/\w+/kill")
    command = sending(f"{target.url}/safe?q=1")
    done = start(fastci_docker, between, "run", "--target-uri", target.url, "--", *command).wait()
    assert done.status == 3, done
    assert "cannot be told to end" in done.err
    assert fastci_docker.workspace.has_record("rec_0001")
    listed = fastci_docker("records", "show", "rec_0001")
    assert f"{target.url}/safe?q=1" in listed.out, listed
    assert fastci_docker.nodes(engine) == []


def test_node_that_has_ended_in_between_may_be_told_to_end(fastci_docker, node_image, base_image):
    settings = parse_settings({"FAST_BASE_IMAGE": base_image})
    labels = make_labels(job=fastci_docker.workspace.job_key(""), mode=Mode.REPORT, build_id="", lifetime=60)
    with Signals() as signals:
        runtime = ContainerRuntime.connect(settings, os.environ, signals, print)
        runtime.prepare()
        node = runtime.start(Launch(variables={"CI_MODE": "report"}, labels=labels))
        ended = until(lambda: runtime.ended(node), "the end of a node that has nothing to report")
        runtime.ask_to_end(node)
        runtime.kill(node)
        assert runtime.ended(node) == ended
        runtime.remove(node)
        runtime.close()


def test_engine_that_nobody_answers_for_is_named(fastci_docker):
    done = fastci_docker("run", "--", "true", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.status == 3, done
    assert "no Docker Engine answers at unix:///nowhere/docker.sock" in done.err


def test_interrupted_while_the_image_is_built_ends_at_once(fastci_docker, engine, between):
    between.hold(r"POST \S*/build")
    job = start(fastci_docker, between, "record", "--base-image", "fast-action-test/never-built-on:1")
    assert between.waiting.wait(60), job.text()
    job.send(signal.SIGTERM)
    done = job.wait(10)
    assert done.status == 4, done

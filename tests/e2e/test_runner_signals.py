"""A job ended as GitHub's runner does it: SIGINT, SIGTERM, SIGKILL to what is left, then the post step."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from clients import ROOT, Client
from jobs import until

pytestmark = pytest.mark.engine

REPEATED = 0.7
"""Seconds: more than two deliveries of one wish are apart, less than the 7.5 and 2.5 that a runner waits."""


def tree(pid):
    """This process and all that descend from it."""
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += tree(int(child))
    return found


def step(job, *words, **environ):
    """The program of the action, as its scripts start it."""
    command = [sys.executable, str(ROOT / "entrypoint.py"), *words]
    log = job.folder / f"step{len(list(job.folder.glob('step*.log')))}.log"
    return Client(command, job.folder, log, job.environ | environ)


def test_job_that_is_killed_as_no_signal_ends_it_is_cleaned_up_by_its_post_step(
    fastci_docker, engine, node_image, between, target
):
    inputs = {"INPUT_RUN": "sh -c 'echo tests began; exec sleep 300'", "INPUT_TARGET-URI": target.url}
    main = step(fastci_docker, DOCKER_HOST=f"unix://{between.path}", **inputs)
    try:
        main.says("tests began")
        between.hold(r"POST \S*/containers/\w+/kill")
        main.send(signal.SIGINT)
        assert between.waiting.wait(60), main.text
        time.sleep(REPEATED)
        main.send(signal.SIGTERM)
        time.sleep(REPEATED)
        assert main.process.poll() is None, main.text
        for pid in tree(main.process.pid):
            os.kill(pid, signal.SIGKILL)
        assert main.wait() == -signal.SIGKILL
    finally:
        main.close()
    assert fastci_docker.nodes(engine)
    between.release()
    post = step(fastci_docker, "post", **inputs)
    assert post.wait() == 0, post.text
    assert "removed fast-recording-" in post.text
    until(lambda: fastci_docker.nodes(engine) == [], "the end of the node")
    assert fastci_docker.processes() == []

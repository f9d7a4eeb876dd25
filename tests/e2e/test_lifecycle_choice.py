"""Which runtime is taken when the engine does not answer: the socket is really tried."""

import os

import pytest

from fastci.config import parse_settings
from fastci.errors import FatalError
from fastci.lifecycle.choice import choose_runtime
from fastci.lifecycle.interrupts import Signals
from fastci.lifecycle.workspace import Workspace


@pytest.fixture
def choose(tmp_path):
    def choose(*, engine=f"unix://{tmp_path}/docker.sock", **environ):
        said = []
        settings = parse_settings(environ)
        with Signals() as signals:
            runtime = choose_runtime(
                settings, {"DOCKER_HOST": engine}, Workspace(tmp_path), signals, said.append
            )
        return runtime, said

    return choose


def test_auto_without_an_engine_takes_the_process_and_says_why(choose):
    runtime, (line,) = choose()
    assert runtime.name == "process"
    assert "because no Docker Engine answers at unix://" in line
    assert "no such file or directory" in line


@pytest.mark.parametrize(
    "environ", [{"FAST_RUNTIME": "docker"}, {"FAST_IMAGE": "wallarm/fast"}, {"FAST_NETWORK": "x"}]
)
def test_what_needs_an_engine_without_one_is_an_error(choose, environ):
    with pytest.raises(FatalError, match="no Docker Engine answers"):
        choose(**environ)


@pytest.mark.engine
def test_auto_without_a_base_for_our_image_takes_the_process_and_says_why(choose):
    base = "fast-action-test/no-such-base:1"
    runtime, said = choose(engine=os.environ.get("DOCKER_HOST", ""), FAST_BASE_IMAGE=base)
    assert runtime.name == "process"
    assert f"because the node's image cannot be built on {base}" in said[-1]

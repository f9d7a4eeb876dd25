import pytest
from lifecycle_fakes import FakeWaiter

from fastci.config import parse_settings
from fastci.errors import ConfigurationError
from fastci.lifecycle.choice import choose_runtime
from fastci.lifecycle.workspace import Workspace

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def choose(tmp_path):
    def choose(**environ):
        said = []
        workspace = Workspace(tmp_path)
        runtime = choose_runtime(parse_settings(environ), NOWHERE, workspace, FakeWaiter(), said.append)
        return runtime, said

    return choose


def test_process_is_taken_when_told(choose):
    runtime, (line,) = choose(FAST_RUNTIME="process")
    assert runtime.name == "process"
    assert "as told" in line


def test_process_with_an_image_is_a_contradiction(choose):
    with pytest.raises(ConfigurationError, match="not usable") as caught:
        choose(FAST_RUNTIME="process", FAST_IMAGE="wallarm/fast")
    assert "FAST_IMAGE" in caught.value.faults[0]

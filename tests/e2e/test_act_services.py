"""Jobs on the runner itself whose target is a container of `services:`, found at `localhost:PORT`.

act has services for jobs in containers only (its issue 2711) and no `job.services` at all. So what GitHub's
runner does before the first step of a job on its own machine is done here, by the same commands; act runs the
steps, on this machine too.
"""

import functools
import re
import subprocess
import uuid

import pytest
import yaml
from act_client import fast, job
from clients import free_port, need, node_names, still_there
from jobs import until

from fastci.generator import generate, read_options
from fastci.lifecycle.probe import connect

pytestmark = [pytest.mark.timeout(500), pytest.mark.engine]


class Services:
    """The services of a workflow: on a network of their own, by their names, with their ports published."""

    def __init__(self) -> None:
        self.workflow = ""
        self._network = f"github_network_{uuid.uuid4().hex}"
        self._containers: list[str] = []
        self._docker("network", "create", "--label", "fast-action-test=1", self._network)

    def start(self, workflow: str) -> None:
        """Start what a workflow names; `workflow` is then that, with what `job.services` says put in."""
        self.workflow = workflow
        for name, service in yaml.safe_load(workflow)["jobs"]["fast"]["services"].items():
            published = [word for port in service["ports"] for word in ("--publish", port)]
            named = ["--label", "fast-action-test=1", "--network", self._network, "--network-alias", name]
            self._containers.append(self._docker("create", *named, *published, service["image"]))
            self._docker("start", self._containers[-1])
            # For ::1 the engine may choose another port, which not every machine has.
            ports = self._docker("port", self._containers[-1])
            for inside, outside in re.findall(r"(\d+)/tcp -> 0\.0\.0\.0:(\d+)", ports):
                said = f"${{{{ job.services.{name}.ports[{inside}] }}}}"
                self.workflow = self.workflow.replace(said, outside)
                until(functools.partial(is_up, int(outside)), f"{name} at localhost:{outside}")

    def states(self) -> set[str]:
        return {self._docker("inspect", "--format", "{{.State.Status}}", each) for each in self._containers}

    def close(self) -> None:
        for each in self._containers:
            self._docker("rm", "--force", "--volumes", each)
        self._docker("network", "rm", self._network)

    @staticmethod
    def _docker(*words: str) -> str:
        command = [need("docker"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def is_up(port: int) -> bool:
    return connect("localhost", port) == ""


@pytest.fixture
def services():
    made = Services()
    yield made
    made.close()


def test_generated_workflow_finds_the_flaw_of_a_service_behind_a_fixed_port(act, services, ci_image):
    port = free_port()
    values = {
        "tests": "curl --silent --fail http://localhost:8000/echo?q=1",
        "target-uri": "http://localhost:8000",
        "target-image": ci_image,
        "target-port": 8000,
    }
    workflow = generate("github", read_options(values)).replace("localhost:8000", f"localhost:{port}")
    assert '"8000:8000"' in workflow
    services.start(workflow.replace('"8000:8000"', f'"{port}:8000"'))
    client = act.start(services.workflow, FAST_RUNTIME="docker")
    assert client.wait() == 1, client.text
    assert f"http://localhost:{port} answers with status 200" in client.text
    assert "in the network of this machine" in client.text
    assert "1 baseline request recorded" in client.text
    assert "security tests: failed, 1 vulnerability" in client.text
    assert {".html", ".json", ".xml"} <= {path.suffix for path in (act.artifacts / "fast-reports").iterdir()}
    assert still_there(node_names(client.text)) == []
    assert services.states() == {"running"}


def test_steps_find_the_flaw_of_a_service_behind_a_port_that_the_engine_chose(act, services, ci_image):
    port = "${{ job.services.app.ports[8000] }}"
    ask = f"curl --silent --fail --noproxy '' --proxy \"$PROXY\" http://localhost:{port}/echo?q=1"
    workflow = job(
        fast(mode="recording", **{"target-uri": f"http://localhost:{port}"}),
        {"env": {"PROXY": "${{ steps.fast.outputs.proxy-url }}"}, "run": ask},
        {**fast(mode="testing"), "id": "tested"},
        {"if": "always()", "run": "echo found ${{ steps.tested.outputs.vulnerabilities }}"},
        services={"app": {"image": ci_image, "ports": ["8000"]}},
    )
    services.start(workflow)
    client = act.start(services.workflow, FAST_RUNTIME="docker")
    assert client.wait() == 1, client.text
    assert re.search(r"http://localhost:\d+ answers with status 200", client.text), client.text
    assert re.search(r"\| found 1$", client.text, re.M), client.text
    assert still_there(node_names(client.text)) == []
    assert services.states() == {"running"}

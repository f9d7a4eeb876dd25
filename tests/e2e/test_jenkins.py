"""The shared library and generated Jenkinsfiles on the Groovy of Jenkins' line, with a real shell."""

import os
import signal
from pathlib import Path

import pytest
from clients import ROOT, Client, example, make_repository, need, node_names, still_there, tool
from jobs import until

HARNESS = Path(__file__).with_name("harness.groovy")
pytestmark = pytest.mark.timeout(500)


class Jenkins:
    """Runs Jenkinsfiles in workspaces below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clients: list[Client] = []

    def start(self, jenkinsfile: str, *, shop: bool = False, **environ: str) -> Client:
        self.workspace = make_repository(
            self.folder / f"workspace{len(self._clients)}", {"Jenkinsfile": jenkinsfile}, shop=shop
        )
        # What fastTool would install is there already.
        installed = self.workspace / ".fast" / "venv" / "bin" / "fastci"
        installed.parent.mkdir(parents=True)
        installed.symlink_to(tool("fastci"))
        java = Path(need("java")).resolve()
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "JAVA_HOME": str(java.parents[1]),
            "BUILD_TAG": f"jenkins-{self.folder.name}-{len(self._clients)}",
            "BUILD_ID": "7",
            "FAST_RUNTIME": "process",
            "FAST_DEADLINE": "600",
            "INACTIVITY_TIMEOUT": "120",
            **{name: os.environ[name] for name in ("DOCKER_HOST", "FAST_BASE_IMAGE") if name in os.environ},
            **environ,
        }
        command = [
            "groovy",
            str(HARNESS),
            str(ROOT),
            str(self.workspace / "Jenkinsfile"),
            str(self.workspace),
        ]
        log = self.folder / f"jenkins{len(self._clients)}.log"
        self._clients.append(Client(command, self.workspace, log, given))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def jenkins(tmp_path):
    controller = Jenkins(tmp_path)
    yield controller
    controller.close()


def pipeline(body: str) -> str:
    return f"@Library('fast-action@v1') _\nnode {{\n{body}\n}}\n"


def test_key_that_is_not_known_ends_the_build_before_anything_starts(jenkins):
    client = jenkins.start(pipeline("fastPipeline(targetUrl: 'http://x') { sh 'echo ran' }"))
    assert client.wait() != 0
    assert "unknown keys: targetUrl" in client.text
    assert "targetUri" in client.text
    assert "echo ran" not in client.text
    assert "Finished: FAILURE" in client.text


def test_recording_whose_body_fails_stops_the_recorder(jenkins, target):
    client = jenkins.start(
        pipeline(f"fastRecording(targetUri: '{target.url}') {{ sh 'curl -sf {target.url}/a; exit 5' }}")
    )
    assert client.wait() != 0
    assert "script returned exit code 5" in client.text
    assert "FAST: stop recording" in client.text
    assert list((jenkins.workspace / ".fast" / "records").glob("rec_*.sqlite"))
    assert still_there(node_names(client.text)) == []


def test_recording_that_is_aborted_stops_the_recorder(jenkins, target):
    client = jenkins.start(
        pipeline(f"fastRecording(targetUri: '{target.url}') {{ sh 'echo tests began; sleep 300' }}")
    )
    client.says("\ntests began")
    names = node_names(client.text)
    assert names
    client.send(signal.SIGTERM)
    assert client.wait() != 0
    assert "Finished: ABORTED" in client.text
    until(lambda: not still_there(names), f"the end of {names}", 30)


def test_credentials_reach_the_steps_and_never_the_log(jenkins, target):
    client = jenkins.start(
        pipeline(
            f"fastRecording(targetUri: '{target.url}', credentialsId: 'fast token') "
            "{ sh 'echo it is $WALLARM_API_TOKEN; test \"$WALLARM_API_TOKEN\" = sesame-42' }"
        ),
        CREDENTIAL_fast_token="sesame-42",
    )
    assert client.wait() == 0, client.text
    assert "it is ****" in client.text
    assert "sesame-42" not in client.text


@pytest.mark.parametrize(("keys", "result"), [("", "FAILURE"), ("failBuild: false", "UNSTABLE")])
def test_vulnerability_fails_the_build_or_makes_it_unstable(jenkins, target, keys, result):
    body = f"sh 'curl -sf \"{target.url}/echo?q=1\"'"
    given = ", ".join(filter(None, [f"targetUri: '{target.url}', testRunPolicyId: 'quick'", keys]))
    client = jenkins.start(pipeline(f"fastPipeline({given}) {{ {body} }}"))
    client.wait()
    assert f"Finished: {result}" in client.text, client.text
    assert "security tests: failed" in client.text
    assert "Archived" in client.text
    assert still_there(node_names(client.text)) == []


@pytest.mark.parametrize("name", ["Jenkinsfile", "Jenkinsfile.scripted"])
def test_example_finds_planted_flaws_and_stops_its_target(jenkins, name):
    client = jenkins.start(example(f"examples/jenkins/{name}"), shop=True)
    assert client.wait() != 0
    assert "security tests: failed" in client.text, client.text
    assert "Finished: FAILURE" in client.text
    pid = (jenkins.workspace / "shop.pid").read_text().strip()
    until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the shop", 30)
    assert still_there(node_names(client.text)) == []

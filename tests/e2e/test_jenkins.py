"""The shared library and generated Jenkinsfiles on the Groovy of Jenkins' line, with a real shell."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from clients import ROOT, Client, Lifetime, example, make_repository, need, node_names, still_there, tool
from jobs import until

from fastci.generator import generate, read_options
from fastci.generator.templates import quote_groovy

RELEASE = re.search(r"fast-action @ [^'\s]+", (ROOT / "vars/fastTool.groovy").read_text())[0]
HARNESS = Path(__file__).with_name("harness.groovy")
pytestmark = pytest.mark.timeout(500)


class Jenkins:
    """Runs Jenkinsfiles in workspaces below a folder."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.lifetime = Lifetime()
        self._environ = environ
        self._clients: list[Client] = []

    def start(self, jenkinsfile: str, *, shop: bool = False, **environ: str) -> Client:
        self.workspace = make_repository(
            self.folder / f"workspace{len(self._clients)}", {"Jenkinsfile": jenkinsfile}, shop=shop
        )
        # What fastTool would install is there already.
        installed = self.workspace / ".fast" / "venv" / "bin" / "fastci"
        installed.parent.mkdir(parents=True)
        installed.symlink_to(tool("fastci"))
        (installed.parents[1] / "installed").write_text(f"{RELEASE}\n")
        java = Path(need("java")).resolve()
        given = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "JAVA_HOME": str(java.parents[1]),
            "BUILD_TAG": f"jenkins-{self.folder.name}-{len(self._clients)}",
            "BUILD_ID": "7",
            "FAST_RUNTIME": "process",
            "FAST_DEADLINE": str(self.lifetime.seconds),
            "INACTIVITY_TIMEOUT": "120",
            **{name: os.environ[name] for name in ("DOCKER_HOST", "FAST_BASE_IMAGE") if name in os.environ},
            **self._environ,
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
    # Nothing here is proven by callbacks, so no run waits for late ones.
    controller = Jenkins(tmp_path, FAST_OOB_WAIT="0")
    yield controller
    controller.close()
    controller.lifetime.ends()


def pipeline(body: str) -> str:
    return f"@Library('fast-action@v1') _\nnode {{\n{body}\n}}\n"


def test_key_that_is_not_known_ends_the_build_before_anything_starts(jenkins):
    client = jenkins.start(pipeline("fastPipeline(targetUrl: 'http://x') { sh 'echo ran' }"))
    assert client.wait() != 0
    assert "unknown keys: targetUrl (did you mean targetUri?)" in client.text
    assert "targetUri" in client.text
    assert "echo ran" not in client.text
    assert "Finished: FAILURE" in client.text


def test_installation_that_fails_is_tried_once_and_ends_the_build(jenkins):
    python = jenkins.folder / "bin" / "python3"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho ensurepip is not available\nexit 1\n")
    python.chmod(0o755)
    path = f"{python.parent}:{os.environ['PATH']}"
    client = jenkins.start(pipeline("fastPipeline(tool: 'another release') { sh 'echo ran' }"), PATH=path)
    assert client.wait() != 0
    assert client.text.count("\nensurepip is not available") == 1
    assert "echo ran" not in client.text


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


@pytest.mark.parametrize(
    ("keys", "plugins", "result"),
    [("", "junit,warnings-ng", "FAILURE"), ("failBuild: false", "", "UNSTABLE")],
)
def test_vulnerability_fails_the_build_or_makes_it_unstable(jenkins, target, keys, plugins, result):
    body = f"sh 'curl -sf \"{target.url}/echo?q=1\"'"
    host, port = target.url.removeprefix("http://").split(":")
    # The fields of the plugin for wallarm/fast, as a Jenkinsfile for it has them.
    former = f"appHost: '{host}', appPort: '{port}', policyId: 'quick', withoutSudo: true, exclude: 'png'"
    given = ", ".join(filter(None, [former, keys]))
    client = jenkins.start(pipeline(f"fastPipeline({given}) {{ {body} }}"), HARNESS_PLUGINS=plugins)
    client.wait()
    assert f"Finished: {result}" in client.text, client.text
    assert "withoutSudo is a field of the plugin for wallarm/fast and not needed" in client.text
    assert ("Recorded test results: 1 failed" in client.text) is bool(plugins)
    assert ("[FAST] found 1 issues" in client.text) is bool(plugins)
    assert ("without the plugin JUnit" in client.text) is not bool(plugins)
    assert "security tests: failed" in client.text
    assert "Archived" in client.text
    assert still_there(node_names(client.text)) == []


def test_two_executors_of_one_machine_do_not_meet(jenkins, target):
    body = f"sh 'curl -sf {target.url}/safe?q=1'; echo 'tests began'; sh 'sleep 1'"
    script = pipeline(f"fastPipeline(targetUri: '{target.url}', testRunPolicyId: 'quick') {{ {body} }}")
    clients = [jenkins.start(script) for _ in range(2)]
    assert [client.wait() for client in clients] == [0, 0], clients[0].text + clients[1].text
    names = [node_names(client.text) for client in clients]
    assert names[0].isdisjoint(names[1])
    assert len(set(re.findall(r"at (http://\S+)", clients[0].text + clients[1].text))) == 2
    assert still_there(names[0] | names[1]) == []


@pytest.mark.engine
def test_agent_that_is_a_container_records_and_tests(jenkins, target, engine, base_image):
    """Shell steps run in the container, as with `agent { docker }`; node and tests are then inside too."""
    places = {str(path) for path in (jenkins.folder, ROOT, sys.prefix, sys.base_prefix)}
    agent = engine.containers.run(
        base_image, ["sleep", "300"], detach=True, init=True, network_mode="host",
        volumes={place: {"bind": place, "mode": "rw"} for place in places},
    )  # fmt: skip
    try:
        asking = f"python3 -c 'import urllib.request as r; r.urlopen(\"{target.url}/echo?q=1\")'"
        given = f"targetUri: '{target.url}', testRunPolicyId: 'quick'"
        client = jenkins.start(
            pipeline(f"fastPipeline({given}) {{ sh {quote_groovy(asking)} }}"),
            HARNESS_AGENT=agent.id,
        )  # fmt: skip
        client.wait()
        assert "Finished: FAILURE" in client.text, client.text
        assert "security tests: failed" in client.text
    finally:
        agent.remove(force=True)


@pytest.mark.parametrize("case", ["jenkins-shards", "jenkins-scripted-jobs"])
def test_generated_pipeline_with_agents_of_their_own_hands_record_and_results_over(jenkins, target, case):
    style = "scripted" if "scripted" in case else "declarative"
    values = {
        "tests": f"for page in echo safe sql; do curl -sf '{target.url}/'$page'?q=1'; done",
        "target-uri": target.url, "style": style, "flow": "jobs", "shards": 1 if "jobs" in case else 2,
    }  # fmt: skip
    client = jenkins.start(generate("jenkins", read_options(values)))
    assert client.wait() != 0
    assert "Finished: FAILURE" in client.text, client.text
    found = json.loads((jenkins.workspace / ".fast/latest/results.json").read_text())
    assert sorted(flaw["type"] for flaw in found["vulns"]) == ["sqli", "xss"]
    assert found["baseline_count"] == 3
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

"""The component and generated pipelines in real GitLab jobs, run by gitlab-ci-local."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from clients import (
    ROOT,
    Client,
    Lifetime,
    copy_product,
    example,
    make_repository,
    node_names,
    npm_install,
    product_files,
    still_there,
    tool,
)
from jobs import until

pytestmark = pytest.mark.timeout(500)

VERSION = "4.72.0"


@pytest.fixture(scope="session")
def gitlab_ci_local():
    return npm_install(f"gitlab-ci-local@{VERSION}") / ".bin" / "gitlab-ci-local"


class GitLab:
    """Runs pipelines below a folder, all with these variables; the component is in a repository there."""

    def __init__(self, folder: Path, program: Path, **variables: str) -> None:
        self.folder = folder
        self.lifetime = Lifetime()
        self._variables = variables
        self._program = program
        self._clients: list[Client] = []
        server = folder / "server" / "org"
        server.mkdir(parents=True)
        names = ("templates/fast.yml", "templates/fast-service.yml")
        source = make_repository(folder / "component", {name: (ROOT / name).read_text() for name in names})
        subprocess.run(["git", "tag", "v1"], cwd=source, check=True, timeout=60)
        clone = ["git", "clone", "--quiet", "--bare", str(source), str(server / "fast-action.git")]
        subprocess.run(clone, check=True, timeout=60)

    def start(
        self, pipeline: str, *arguments: str, shop: bool = False, product: bool = False, **variables: str
    ) -> Client:
        files = {".gitlab-ci.yml": pipeline}
        if product:
            files |= product_files(copy_product(self.folder / "product"), "product/")
        self.repository = make_repository(self.folder / f"repository{len(self._clients)}", files, shop=shop)
        origin = "ssh://git@gitlab.com:22/team/shop.git"
        subprocess.run(
            ["git", "remote", "add", "origin", origin], cwd=self.repository, check=True, timeout=60
        )
        environ = {
            **os.environ,
            # `fastci` of this checkout is found on the PATH, so the jobs install none.
            "PATH": f"{Path(tool('fastci')).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.folder}/server/.insteadOf",
            "GIT_CONFIG_VALUE_0": "ssh://git@gitlab.com:22/",
        }
        command = [str(self._program), "--no-color", *arguments]
        usual = {"FAST_DEADLINE": str(self.lifetime.seconds), "INACTIVITY_TIMEOUT": "120", **self._variables}
        for name, value in {**usual, **variables}.items():
            command += ["--variable", f"{name}={value}"]
        log = self.folder / f"gitlab{len(self._clients)}.log"
        self._clients.append(Client(command, self.repository, log, environ))
        return self._clients[-1]

    def reports(self) -> set[str]:
        return {path.suffix for path in (self.repository / ".fast" / "reports").iterdir()}

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def gitlab(tmp_path, gitlab_ci_local):
    # Nothing here is proven by callbacks, so no run waits for late ones.
    client = GitLab(tmp_path, gitlab_ci_local, FAST_OOB_WAIT="0")
    yield client
    client.close()
    client.lifetime.ends()


def component(name: str = "fast", **inputs: object) -> str:
    """A pipeline that is a component with these inputs."""
    include = {"component": f"$CI_SERVER_FQDN/org/fast-action/{name}@v1", "inputs": inputs}
    return yaml.safe_dump({"include": [include]}, sort_keys=False)


SHELL = "--force-shell-executor"


def test_component_with_failing_tests_fails_without_testing(gitlab, target):
    client = gitlab.start(
        component(tests="false", **{"target-uri": target.url}), SHELL, FAST_RUNTIME="process"
    )
    assert client.wait() != 0
    assert "existing tests: ended with status 1" in client.text
    assert "node testing" not in client.text
    assert still_there(node_names(client.text)) == []


def test_component_with_shards_finds_what_one_job_finds_in_one_verdict(gitlab, target):
    asking = f"for page in echo safe sql; do curl -sf '{target.url}/'$page'?q=1'; done"
    pipeline = component(
        tests=asking,
        flow="jobs",
        shards=2,
        **{"target-uri": target.url, "job-prefix": "safe", "rules-if": '$CI_COMMIT_BRANCH == "main"'},
    )
    # The client says false, so that scripts may tell it from the real one.
    client = gitlab.start(pipeline, SHELL, FAST_RUNTIME="process", GITLAB_CI="true")
    assert client.wait() == 1, client.text
    for name, ended in (("safe-record", "PASS"), ("safe-shard: [1/2]", "PASS"), ("safe-verdict", "FAIL")):
        assert re.search(rf"{ended} +{re.escape(name)}", client.text), client.text
    found = json.loads((gitlab.repository / ".fast/latest/results.json").read_text())
    assert sorted(flaw["type"] for flaw in found["vulns"]) == ["sqli", "xss"]
    assert found["baseline_count"] == 3
    # Here they share a folder: the one that comes later counts on from the other.
    assert sorted(int(merged.removeprefix("tr_")) % 2 for merged in found["run"]["merged"]) == [0, 1]


def test_component_keeps_dollars_and_quotes_of_the_test_command(gitlab, target):
    tests = "x='a b'\necho \"x is $x and $CI_NOT_SET.\" | sed 's/$/!/'\nfalse"
    client = gitlab.start(component(tests=tests, **{"target-uri": target.url}), SHELL, FAST_RUNTIME="process")
    client.wait()
    assert "x is a b and .!" in client.text


def test_component_cancelled_while_the_tests_run_leaves_nothing(gitlab, target):
    tests = "echo tests began; exec sleep 300"
    client = gitlab.start(component(tests=tests, **{"target-uri": target.url}), SHELL, FAST_RUNTIME="process")
    client.says("> tests began")
    names = node_names(client.text)
    assert names
    # As GitLab's runner does it for a shell job: the process group is told first.
    client.send_group(signal.SIGTERM)
    client.wait(60)
    until(lambda: not still_there(names), f"the end of {names}", 30)


IN_CONTAINERS = ("--pull-policy", "if-not-present")
ASKING = (
    "python3 -c \"import urllib.request as r; print(r.urlopen('http://app:8000/echo?q=1').status, '$HOME')\""
)


@pytest.mark.engine
def test_service_component_records_as_a_service_and_tests_in_the_image_of_the_node(
    gitlab, ci_image, node_image
):
    pipeline = component(
        "fast-service",
        tests=ASKING,
        **{"target-image": ci_image, "node-image": node_image, "job-image": ci_image,
           "test-run-policy-id": "quick", "job-prefix": "safe", "rules-if": '$WANTED == "yes"'},
    )  # fmt: skip
    helpers = ("--helper-image", ci_image, "--wait-image", f"{ci_image}-wait")
    client = gitlab.start(pipeline, *IN_CONTAINERS, *helpers, WANTED="yes")
    assert client.wait() == 1, client.text
    assert "security tests: failed" in client.text
    assert re.search(r"PASS +safe-record", client.text), client.text
    assert re.search(r"FAIL +safe-test", client.text), client.text
    latest = {path.name for path in (gitlab.repository / ".fast" / "latest").iterdir()}
    assert {"junit.xml", "gl-dast-report.json", "gl-code-quality-report.json"} <= latest
    found = json.loads((gitlab.repository / ".fast/latest/results.json").read_text())
    assert [flaw["type"] for flaw in found["vulns"]] == ["xss"]


@pytest.mark.engine
def test_component_in_containers_tests_a_service_without_an_engine(gitlab, ci_image):
    pipeline = component(
        tests="python3 -c \"import urllib.request as r; print(r.urlopen('http://app:8000/echo?q=1').status)\"",
        services=[{"name": ci_image, "alias": "app", "command": ["python3", "/target.py"]}],
        package="./product",
        **{"job-image": ci_image, "target-uri": "http://app:8000", "test-run-policy-id": "quick"},
    )
    arguments = [
        "--pull-policy",
        "if-not-present",
        "--helper-image",
        ci_image,
        "--wait-image",
        f"{ci_image}-wait",
    ]
    client = gitlab.start(pipeline, *arguments, product=True)
    assert client.wait() == 1, client.text
    assert "runtime: process" in client.text
    assert "security tests: failed" in client.text
    assert {".html", ".json", ".xml"} <= gitlab.reports()


@pytest.mark.parametrize("runtime", ["process", pytest.param("docker", marks=pytest.mark.engine)])
def test_example_with_the_component_finds_planted_flaws(gitlab, runtime):
    base = os.environ.get("FAST_BASE_IMAGE", "local/python-base:ci")
    client = gitlab.start(
        example(".gitlab-ci.example.yml"), SHELL, shop=True, FAST_RUNTIME=runtime, FAST_BASE_IMAGE=base
    )
    assert client.wait() == 1, client.text
    assert "security tests: failed" in client.text
    assert {".html", ".json", ".xml"} <= gitlab.reports()
    assert still_there(node_names(client.text)) == []


@pytest.mark.parametrize("name", ["fast.yml", "fast-jobs.yml"])
def test_generated_example_finds_planted_flaws(gitlab, name):
    client = gitlab.start(example(f"examples/gitlab/{name}"), SHELL, shop=True, FAST_RUNTIME="process")
    assert client.wait() == 1, client.text
    assert "security tests: failed" in client.text
    assert {".html", ".json", ".xml"} <= gitlab.reports()
    assert still_there(node_names(client.text)) == []

"""The action in real workflows, run by nektos/act with this machine as its runner."""

import os
import re
import shutil
import signal

import pytest
from act_client import fast, job
from clients import example, need, node_names, still_there
from jobs import until

from fastci.generator import generate, read_options

pytestmark = pytest.mark.timeout(500)

RUNTIMES = ["process", pytest.param("docker", marks=pytest.mark.engine)]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_tests_that_fail_end_the_job_before_testing_and_nothing_stays(act, target, runtime):
    client = act.start(
        job(
            {"run": "true"},
            fast(run="false", **{"target-uri": target.url}),
            {"if": "always()", "run": "echo after the action"},
        ),
        FAST_RUNTIME=runtime,
    )
    assert client.wait() == 1
    assert "existing tests: ended with status 1" in client.text
    assert "after the action" in client.text
    assert "Success - Post org/fast-action@v1" in client.text
    assert node_names(client.text)
    assert still_there(node_names(client.text)) == []


def test_action_of_the_workflows_own_repository_runs(act, target):
    step = {**fast(run=f"curl -sf --output page.html {target.url}/safe?q=1"), "uses": "./"}
    client = act.start(job({"uses": "actions/checkout@v5"}, step), inside=True, FAST_RUNTIME="process")
    assert client.wait() == 0, client.text
    assert "security tests: passed" in client.text
    assert "Success - Post ./" in client.text


@pytest.mark.parametrize(
    ("mode", "runtime"), [("run", "process"), pytest.param("recording", "docker", marks=pytest.mark.engine)]
)
def test_cancel_while_the_tests_run_leaves_nothing(act, target, mode, runtime):
    """In the step of ours, and in one of the job's own while a recorder runs beside it."""
    tests = "sh -c 'echo tests began; exec sleep 300'"
    steps = [fast(run=tests, **{"target-uri": target.url})]
    if mode == "recording":
        steps = [fast(mode=mode, **{"target-uri": target.url}), {"run": tests}]
    client = act.start(job(*steps), FAST_RUNTIME=runtime)
    client.says("| tests began", 240)
    names = node_names(client.text)
    assert names
    client.send(signal.SIGINT)
    assert client.wait() == 1
    assert "Post org/fast-action@v1" in client.text
    assert still_there(names) == []


def test_recorder_sets_the_environment_only_where_asked_and_goes_with_a_job_that_forgets_it(act, target):
    recording = {"mode": "recording", "target-uri": target.url}
    outputs = "${{ steps.fast.outputs.proxy-url }} ${{ steps.fast.outputs.ca-file }}"
    client = act.start(
        job(
            fast(**recording),
            {"run": f'echo "told: [{outputs}] [$FAST_PROXY$FAST_CA_FILE]"'},
            {**fast(**recording, **{"export-env": "true", "build-id": "second"}), "id": "second"},
            {"run": 'echo "set: [$HTTP_PROXY $FAST_CA_FILE]"; exit 1'},
        ),
        FAST_RUNTIME="process",
    )
    assert client.wait() == 1
    assert re.search(r"told: \[http://127\.0\.0\.1:\d+ /\S+/\.fast/ca\.pem\] \[\]", client.text), client.text
    assert re.search(r"set: \[http://127\.0\.0\.1:\d+ /\S+/\.fast/ca\.pem\]", client.text), client.text
    assert "export HTTP_PROXY=" not in client.text
    assert len(node_names(client.text)) == 2
    assert still_there(node_names(client.text)) == []


@pytest.mark.engine
def test_cancel_while_the_target_is_tested_leaves_nothing(act, engine, target, tmp_path):
    def testers():
        found = engine.containers.list(all=True, ignore_removed=True)
        return [
            node.name for node in found if f"TEST_RUN_NAME={tmp_path.name}" in node.attrs["Config"]["Env"]
        ]

    tests = f"curl --silent --output page.html {target.url}/safe?q=1"
    inputs = {"target-uri": target.url, "test-run-name": tmp_path.name}
    client = act.start(job(fast(run=tests, **inputs)), FAST_RUNTIME="docker")
    client.says("[6/7] node testing ...", 240)
    target.open.clear()
    asked = len(target.requests)
    until(lambda: len(target.requests) > asked, "an attack")
    assert len(testers()) == 1
    client.send(signal.SIGINT)
    assert client.wait() == 1
    assert "Success - Post org/fast-action@v1" in client.text
    until(lambda: testers() == [], "the end of the testing node", 10)
    assert still_there(node_names(client.text)) == []


@pytest.mark.engine
def test_cells_of_a_matrix_with_several_steps_each_do_not_meet_on_one_machine(act, target, tmp_path):
    here = {"target-uri": target.url}
    both = " && ".join(f"[ -e {tmp_path}/up{number} ]" for number in (1, 2))
    meet = f"touch {tmp_path}/up$N; until {both}; do sleep 0.05; done"
    get = "curl --silent --output page.html"
    ids = [f"${{{{ steps.{step}.outputs.test-record }}}}" for step in ("second", "third")]
    steps = [
        {"id": "first", "uses": "org/fast-action@v1", "with": {"mode": "recording", **here}},
        {
            "env": {"N": "${{ matrix.n }}", "PROXY": "${{ steps.first.outputs.proxy-url }}"},
            "run": f"{meet}; {get} --noproxy '' --proxy \"$PROXY\" {target.url}/safe?q=$N",
        },
        {"id": "second", "uses": "org/fast-action@v1", "with": {"mode": "testing"}},
        {
            "id": "third", "uses": "org/fast-action@v1",
            "with": {"run": f"{get} {target.url}/safe?q=3", **here},
        },
        {"run": f"echo records: {' '.join(ids)}"},
    ]  # fmt: skip
    client = act.start(job(*steps, strategy={"matrix": {"n": [1, 2]}}), FAST_RUNTIME="docker")
    assert client.wait() == 0, client.text
    assert client.text.count("records: rec_0001 rec_0002") >= 2
    assert len(re.findall(r"\[5/7\] .*, 1 baseline request recorded", client.text)) == 4
    assert len(node_names(client.text)) == 8
    assert still_there(node_names(client.text)) == []


def test_input_that_is_not_allowed_is_named_and_nothing_starts(act, target):
    client = act.start(job(fast(run="true", **{"test-run-rps": "5000", "target-uri": target.url})))
    assert client.wait() == 1
    assert "TEST_RUN_RPS='5000' is not allowed" in client.text
    assert not node_names(client.text)


def test_input_with_shell_syntax_reaches_no_shell(act, target, tmp_path):
    mark = tmp_path / "mark"
    hostile = f"x; touch {mark} $(touch {mark}) `touch {mark}` && touch {mark}"
    client = act.start(
        job(fast(run=f"echo {hostile}", **{"test-run-desc": hostile, "target-uri": target.url})),
        FAST_RUNTIME="process",
    )
    client.wait()
    assert "existing tests: ended with status" in client.text
    assert not mark.exists()


@pytest.mark.engine
def test_foreign_image_through_the_action_finds_and_reports(act, target, cloud, standin_image):
    tests = f"curl --silent --output page.html --fail {target.url}/sql?q=1"
    client = act.start(
        job(
            fast(
                run=tests,
                image=standin_image,
                **{
                    "target-uri": target.url,
                    "wallarm-api-token": "sesame-42",
                    "wallarm-api-host": cloud.host,
                },
            ),
            {"if": "always()", "run": "echo verdict=${{ steps.fast.outputs.verdict }}"},
        ),
    )
    assert client.wait() == 1
    assert "verdict=failed" in client.text
    assert cloud.tokens == {"sesame-42"}
    assert "sesame-42" not in client.text
    assert still_there(node_names(client.text)) == []


@pytest.fixture(scope="session")
def job_image(engine, base_image, tmp_path_factory):
    """What a `container:` job runs in: Python, and the Node that the runner brings along elsewhere."""
    folder = tmp_path_factory.mktemp("job")
    shutil.copy(os.path.realpath(need("node")), folder / "node")
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    lines = [f"FROM {base_image}", "COPY node /usr/local/bin/", f"ENV SSL_CERT_FILE={bundle}"]
    tag = "fast-action-test/job:1"
    for name in (tag, f"{tag}-pages"):
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        engine.images.build(path=str(folder), tag=name, forcerm=True)
        lines = [f"FROM {tag}", 'CMD ["python3", "-m", "http.server", "7000", "--directory", "/usr/share"]']
    return tag


@pytest.mark.engine
def test_job_in_a_container_tests_a_service_by_its_name(act, job_image, node_image):
    ask = "python3 -c \"import urllib.request as r; print(r.urlopen('http://app:7000/?q=1').status)\""
    steps = [
        fast(run=ask, **{"target-uri": "http://app:7000", "test-run-policy-id": "quick"}),
        {"if": "always()", "run": "echo verdict=${{ steps.fast.outputs.verdict }}"},
    ]
    services = {"app": {"image": f"{job_image}-pages"}}
    workflow = job(*steps, container={"image": job_image}, services=services)
    client = act.start(workflow, image=job_image, FAST_RUNTIME="docker")
    assert client.wait() == 0, client.text
    assert "in the network of the container this job runs in" in client.text
    assert "1 baseline request recorded" in client.text
    assert "verdict=passed" in client.text
    assert still_there(node_names(client.text)) == []


@pytest.mark.engine
def test_node_as_a_service_records_and_its_image_tests(act, ci_image, node_image):
    """Nothing of ours is in the image of the tests."""
    asking = "python3 -c \"import urllib.request as r; r.urlopen('http://app:8000/echo?q=1')\""
    values = {"node": "service", "tests": asking, "target-image": ci_image, "target-port": 8000,
              "job-image": ci_image, "image": node_image, "test-run-policy-id": "quick"}  # fmt: skip
    client = act.start(generate("github", read_options(values)), image=ci_image, bind=True)
    assert client.wait() == 1, client.text
    assert "runtime: process" in client.text
    assert "security tests: failed, 1 vulnerability" in client.text
    assert {".html", ".json", ".xml"} <= {path.suffix for path in (act.artifacts / "fast-reports").iterdir()}


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("fast.yml", "process"),
        pytest.param("fast.yml", "docker", marks=pytest.mark.engine),
        pytest.param("fast-steps.yml", "docker", marks=pytest.mark.engine),
        ("fast-jobs.yml", "process"),
    ],
)
def test_example_workflow_finds_planted_flaws_and_keeps_the_reports(act, name, runtime):
    client = act.start(example(f"examples/github/{name}"), shop=True, FAST_RUNTIME=runtime)
    assert client.wait() == 1, client.text
    assert "security tests: failed" in client.text
    reports = {path.suffix for path in (act.artifacts / "fast-reports").iterdir()}
    assert {".html", ".json", ".xml"} <= reports
    assert still_there(node_names(client.text)) == []

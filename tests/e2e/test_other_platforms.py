"""CircleCI, Azure Pipelines, Bitbucket and Bamboo: the scripts of their definitions, really run in order."""

import json
import os
from pathlib import Path

import pytest
from ci_scripts import READERS, in_containers, read_jobs, run_jobs
from clients import example, make_repository, node_names, still_there, tool
from jobs import until

from fastci.generator import generate, load_options, read_options

pytestmark = pytest.mark.timeout(300)
ASKING = "python3 -c \"import urllib.request as r; r.urlopen('http://127.0.0.1:8000/echo?q=1')\""
POLICY = Path(__file__).with_name("xss-only.yml")


@pytest.fixture
def environ(tmp_path):
    """What an agent gives to every job. `fastci` is there already, so none is installed."""
    return {
        "PATH": f"{Path(tool('fastci')).parent}:{os.environ['PATH']}", "HOME": str(tmp_path),
        "FAST_RUNTIME": "process", "FAST_OOB_WAIT": "0", "FAST_DEADLINE": "600", "INACTIVITY_TIMEOUT": "120",
        "TEST_RUN_POLICY_ID": str(POLICY),
    }  # fmt: skip


@pytest.mark.parametrize("platform", READERS)
def test_jobs_hand_record_and_results_over_and_the_verdict_fails(platform, tmp_path, target, environ):
    """The test command leaves its folder and sets a variable, which must be nobody else's business."""
    asking = f"for page in echo safe; do curl -sf '{target.url}/'$page'?q=1'; done"
    values = {
        "tests": f"cd sub\n{asking}\nexport FAST_STOP_TIMEOUT=nonsense", "prepare": "mkdir sub",
        "start": "echo up >started", "stop": f"cat started >>'{tmp_path}/stopped'", "shards": 2,
        "target-uri": target.url,
    }  # fmt: skip
    repository = make_repository(tmp_path / "repository", {"README": "x"})
    jobs = read_jobs(platform, generate(platform, read_options(values)))
    ended = run_jobs(jobs, repository, tmp_path, environ)
    said = "\n".join(f"--- {job.name}: {job.failed}\n{job.log}" for job in ended)
    assert [job.failed for job in ended] == [False, False, False, True], said
    assert "failed, 1 vulnerability (1 medium) in 2 baselines" in ended[-1].log, said
    assert (tmp_path / "stopped").read_text() == "up\n" * 3
    kept = (tmp_path / "shelf").rglob("* merged.*.json")
    (results,) = (path for path in kept if ".gl-" not in path.name)
    run = json.loads(results.read_text())["run"]
    assert [finding["type"] for finding in run["findings"]] == ["xss"]
    assert len(run["merged"]) == 2
    assert still_there(node_names(said)) == []


@pytest.mark.parametrize("platform", ["circleci"])
def test_example_shop_is_started_tested_and_stopped_by_the_scripts(platform, tmp_path, environ):
    path = tmp_path / "example.yml"
    path.write_text(example("templates/example.yml"))
    jobs = read_jobs(platform, generate(platform, load_options(path)))
    repository = make_repository(tmp_path / "repository", {}, shop=True)
    (ended,) = run_jobs(jobs, repository, tmp_path, environ)
    assert ended.failed
    assert "security tests: failed" in ended.log, ended.log
    assert {".html", ".sarif", ".txt"} <= {path.suffix for path in (tmp_path / "shelf/artifacts").iterdir()}
    pid = (tmp_path / "job0" / "shop.pid").read_text().strip()
    until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the shop", 30)
    assert still_there(node_names(ended.log)) == []


@pytest.mark.engine
@pytest.mark.parametrize("platform", ["circleci", "bitbucket"])
def test_node_as_a_service_needs_no_engine_and_nothing_in_the_image_of_the_tests(
    platform, tmp_path, ci_image, node_image
):
    """In the containers that the platform would start, all on one localhost; none has the engine's socket."""
    values = {
        "node": "service", "target-image": ci_image, "job-image": ci_image, "image": node_image,
        "tests": ASKING, "test-run-policy-id": "fast.yml", "allowed-hosts": "127.0.0.1",
    }  # fmt: skip
    repository = make_repository(tmp_path / "repository", {"fast.yml": POLICY.read_text()})
    jobs = read_jobs(platform, generate(platform, read_options(values)))
    ended = run_jobs(jobs, repository, tmp_path, dict(os.environ), in_containers)
    said = "\n".join(f"--- {job.name}: {job.failed}\n{job.log}" for job in ended)
    assert [job.failed for job in ended] == [False, True], said
    assert "security tests: failed, 1 vulnerability" in ended[1].log, said
    kept = (tmp_path / "shelf").rglob("TestRun*.json")
    (results,) = (path for path in kept if ".gl-" not in path.name)
    assert json.loads(results.read_text())["vulns"][0]["type"] == "xss"

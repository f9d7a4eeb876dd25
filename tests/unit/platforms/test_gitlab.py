"""GitLab CI: detection, context, sections, the dotenv file."""

import re
from pathlib import Path

import pytest

from fastci.platforms import detect_platform
from fastci.platforms.gitlab import GitLab

JOB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "shop/front",
    "CI_COMMIT_SHA": "beef",
    "CI_COMMIT_REF_NAME": "topic",
    "CI_PIPELINE_ID": "900",
    "CI_JOB_ID": "42",
    "CI_JOB_URL": "https://gitlab.example.org/shop/front/-/jobs/42",
    "CI_CONFIG_PATH": ".gitlab-ci.yml",
}


def test_platform_in_a_gitlab_job_is_gitlab():
    assert detect_platform(JOB, print).name == "gitlab"
    assert detect_platform({"CI": "true"}, print).name != "gitlab"


def test_context_of_a_job_names_pipeline_and_job():
    context = GitLab(JOB, print).context()
    assert (context.repository, context.sha, context.branch) == ("shop/front", "beef", "topic")
    assert (context.build_id, context.job, context.url) == ("900", "42", JOB["CI_JOB_URL"])
    assert context.job_file == ".gitlab-ci.yml"


def test_context_of_a_merge_request_names_its_source_branch():
    environ = {**JOB, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "theirs"}
    assert GitLab(environ, print).context().branch == "theirs"


def test_context_with_a_definition_of_another_project_has_no_job_file():
    assert GitLab({**JOB, "CI_CONFIG_PATH": "ci.yml@shop/ci"}, print).context().job_file == ""


def test_group_that_fails_inside_begins_and_ends_one_section():
    lines: list[str] = []
    with pytest.raises(ValueError, match="x"), GitLab(JOB, lines.append).group("Node: recording!"):
        raise ValueError("x")
    start = re.fullmatch(r"\x1b\[0Ksection_start:(\d+):([a-z_]+)\r\x1b\[0KNode: recording!", lines[0])
    end = re.fullmatch(r"\x1b\[0Ksection_end:(\d+):([a-z_]+)\r\x1b\[0K", lines[1])
    assert start
    assert end
    assert start[2] == end[2] == "fast_node_recording"
    assert int(start[1]) <= int(end[1])


def test_annotation_with_a_place_begins_with_it():
    lines: list[str] = []
    GitLab(JOB, lines.append).annotate("error", "is open", title="sqli", file="tests/a.py", line=7)
    assert re.sub(r"\x1b\[[0-9;]*m", "", lines[0]) == "tests/a.py:7: error: sqli: is open"


def test_outputs_become_a_dotenv_of_one_line_each(tmp_path: Path):
    GitLab({**JOB, "CI_PROJECT_DIR": str(tmp_path)}, print).outputs(
        {"test-record": "rec_0001", "verdict": "failed\nFASTCI_X=1"}
    )
    text = (tmp_path / ".fast" / "outputs.env").read_text()
    assert text == "FASTCI_TEST_RECORD=rec_0001\nFASTCI_VERDICT=failed FASTCI_X=1\n"


def test_outputs_go_to_the_workspace_that_is_set(tmp_path: Path):
    environ = {**JOB, "CI_PROJECT_DIR": str(tmp_path), "FAST_WORKSPACE": "out"}
    GitLab(environ, print).outputs({"verdict": "passed"})
    assert (tmp_path / "out" / "outputs.env").is_file()


def test_context_of_a_parallel_job_names_its_shard():
    environ = {"GITLAB_CI": "true", "CI_NODE_INDEX": "3", "CI_NODE_TOTAL": "5"}
    assert detect_platform(environ, print).context().shard == "3/5"

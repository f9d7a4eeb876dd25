"""GitHub Actions: detection, context, workflow commands, files of the runner."""

import json
from pathlib import Path

import pytest

from fastci.platforms import detect_platform
from fastci.platforms.github import GitHub, read_inputs

RUN = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.example.org",
    "GITHUB_REPOSITORY": "shop/front",
    "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_JOB": "fast",
    "RUNNER_NAME": "runner 1",
    "GITHUB_SHA": "feed",
    "GITHUB_REF_NAME": "12/merge",
    "GITHUB_HEAD_REF": "topic",
    "GITHUB_WORKFLOW_REF": "shop/front/.github/workflows/fast.yml@refs/pull/12/merge",
}


def github(environ: dict[str, str]) -> tuple[GitHub, list[str]]:
    lines: list[str] = []
    return GitHub(environ, lines.append), lines


def test_platform_in_a_workflow_is_github():
    assert detect_platform(RUN, print).name == "github"
    assert detect_platform({"GITHUB_ACTIONS": "false"}, print).name != "github"


def test_context_of_a_pull_request_names_its_head_and_the_run(tmp_path: Path):
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"sha": "beef"}}}))
    context = github({**RUN, "GITHUB_EVENT_PATH": str(event)})[0].context()
    assert (context.repository, context.sha, context.branch) == ("shop/front", "beef", "topic")
    assert context.build_id == "77"
    assert context.url == "https://github.example.org/shop/front/actions/runs/77/attempts/2"
    assert context.job_file == ".github/workflows/fast.yml"


@pytest.mark.parametrize("event", ["{}", "not json", '{"pull_request": null}', None])
def test_context_of_a_push_takes_the_commit_from_the_environment(tmp_path: Path, event: str | None):
    file = tmp_path / "event.json"
    if event is not None:
        file.write_text(event)
    context = github({**RUN, "GITHUB_EVENT_PATH": str(file), "GITHUB_HEAD_REF": ""})[0].context()
    assert (context.sha, context.branch) == ("feed", "12/merge")


def test_context_of_two_matrix_cells_has_one_build_and_two_jobs():
    first = github(RUN)[0].context()
    second = github({**RUN, "RUNNER_NAME": "runner 2"})[0].context()
    assert first.build_id == second.build_id
    assert first.job != second.job


def test_context_outside_of_a_run_is_empty():
    context = github({"GITHUB_ACTIONS": "true"})[0].context()
    assert (context.url, context.job, context.build_id, context.job_file) == ("", "", "", "")


def test_annotation_with_a_place_escapes_what_would_end_the_command():
    platform, lines = github(RUN)
    platform.annotate("error", "100% wrong\n::stop", title="a,b:c", file="tests/a.py", line=7)
    assert lines == ["::error title=a%2Cb%3Ac,file=tests/a.py,line=7::100%25 wrong%0A::stop"]


def test_annotation_without_a_place_has_no_empty_properties():
    platform, lines = github(RUN)
    platform.annotate("notice", "fine")
    assert lines == ["::notice::fine"]


def test_mask_of_several_lines_masks_each():
    platform, lines = github(RUN)
    platform.mask("one\n\ntwo")
    assert lines == ["::add-mask::one", "::add-mask::two"]


def test_group_that_fails_inside_is_closed():
    platform, lines = github(RUN)
    with pytest.raises(ValueError, match="x"), platform.group("node recording"):
        raise ValueError("x")
    assert lines == ["::group::node recording", "::endgroup::"]


def test_outputs_of_several_lines_cannot_set_another_output(tmp_path: Path):
    file = tmp_path / "output"
    file.write_text("")
    platform, _ = github({**RUN, "GITHUB_OUTPUT": str(file)})
    platform.outputs({"verdict": "failed\nproxy-url=http://evil", "report-dir": "r"})
    assert parse_runner_file(file.read_text()) == {
        "verdict": "failed\nproxy-url=http://evil",
        "report-dir": "r",
    }


def test_export_sets_variables_for_later_steps(tmp_path: Path):
    file = tmp_path / "env"
    platform, _ = github({**RUN, "GITHUB_ENV": str(file)})
    platform.export({"HTTP_PROXY": "http://127.0.0.1:1"})
    assert parse_runner_file(file.read_text()) == {"HTTP_PROXY": "http://127.0.0.1:1"}


def parse_runner_file(text: str) -> dict[str, str]:
    """As the runner reads GITHUB_OUTPUT and GITHUB_ENV: `name<<DELIMITER`, lines, `DELIMITER`."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        name, _, end = line.partition("<<")
        value = []
        for inner in lines:
            if inner == end:
                break
            value.append(inner)
        found[name] = "\n".join(value)
    return found


def test_summary_is_added_to_what_is_there(tmp_path: Path):
    file = tmp_path / "summary"
    file.write_text("before\n")
    platform, _ = github({**RUN, "GITHUB_STEP_SUMMARY": str(file)})
    platform.summary("## FAST\n\n")
    assert file.read_text() == "before\n## FAST\n"


def test_summary_above_the_limit_is_cut_and_says_so(tmp_path: Path):
    file = tmp_path / "summary"
    platform, _ = github({**RUN, "GITHUB_STEP_SUMMARY": str(file)})
    platform.summary("ä" * 1_000_000)
    assert len(file.read_bytes()) < 1 << 20
    assert file.read_text().endswith("too long for a summary\n")


def test_outputs_without_a_runner_file_are_dropped():
    platform, lines = github(RUN)
    platform.outputs({"verdict": "passed"})
    platform.summary("text")
    assert lines == []


def test_inputs_that_are_given_keep_their_dashes_and_lose_blanks():
    environ = {"INPUT_TEST-RUN-RPS": " 5 ", "INPUT_RUN": "npm test\n", "INPUT_IMAGE": "", "PATH": "/bin"}
    assert read_inputs(environ) == {"test-run-rps": "5", "run": "npm test"}

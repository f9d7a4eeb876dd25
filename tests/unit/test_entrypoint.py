"""The action's program: inputs, modes, and what it says of wrong ones."""

import os

import pytest

import entrypoint


@pytest.fixture
def start(monkeypatch, capsys, tmp_path):
    """Starts the program with these inputs; its exit status and what it printed."""

    def act(*arguments, **inputs):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        # Undone at the end of the test, what the program sets itself included.
        monkeypatch.setattr(os, "environ", os.environ.copy())
        for name, value in inputs.items():
            os.environ[f"INPUT_{name.upper().replace('_', '-')}"] = value
        with pytest.raises(SystemExit) as caught:
            entrypoint.start(list(arguments))
        return caught.value.code, capsys.readouterr().out

    return act


def test_inputs_that_cannot_be_followed_are_told_all_at_once(start):
    status, shown = start(mode="tset", export_env="maybe")
    assert status == 2
    assert shown.startswith("::error title=FAST::2 settings are not usable")
    assert "mode='tset' is not allowed: one of recording, report, run, stop, testing" in shown
    assert "export-env='maybe'" in shown


@pytest.mark.parametrize(
    ("run", "what"),
    [("", "run is empty"), ("  ", "run is empty"), ("echo 'x", "run cannot be split into words")],
)
def test_mode_run_without_a_command_says_so(start, run, what):
    status, shown = start(run=run)
    assert status == 2
    assert what in shown


def test_value_that_is_not_allowed_is_an_annotation_of_its_own_variable(start):
    status, shown = start(run="true", test_run_rps="5000")
    assert status == 2
    assert "TEST_RUN_RPS='5000' is not allowed" in shown


def test_cleanup_after_wrong_inputs_repeats_nothing_and_passes(start):
    assert start("post", test_run_rps="5000") == (0, "")


def test_cleanup_that_cannot_be_done_is_a_warning(start):
    os.environ["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    try:
        status, shown = start("post", runtime="docker")
    finally:
        del os.environ["DOCKER_HOST"]
    assert status == 0
    assert shown.startswith("::warning title=FAST::no Docker Engine answers at unix:///nowhere/docker.sock")


def test_chosen_command_is_split_into_words_and_follows_a_double_dash():
    assert entrypoint.chosen({"run": "sh -c 'a && b' --x"}) == ["run", "--", "sh", "-c", "a && b", "--x"]
    assert entrypoint.chosen({"mode": "recording", "export-env": "TRUE"}) == ["record", "--quiet", "--export"]
    assert entrypoint.chosen({"mode": "testing", "run": "ignored"}) == ["test"]

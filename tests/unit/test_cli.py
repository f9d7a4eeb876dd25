import json

import click
import pytest

from fastci import cli
from fastci.cli.job import with_shard
from fastci.cli.options import NODE_ONLY, overlaid, settings_of
from fastci.cli.steps import with_tests
from fastci.config import VARIABLES, Mode, Side
from fastci.errors import ConfigurationError, ExitStatus, Interrupted, TechnicalError, UsageError
from fastci.results import Run, to_document


def options(command):
    return {parameter.name: parameter for parameter in cli.cli.get_command(None, command).params}


@pytest.fixture
def ending(monkeypatch):
    """A command that ends as told; returns the exit status that the user sees."""

    def end(result, *arguments, **environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

        def act(**given):
            overlaid(given)
            if isinstance(result, Exception):
                raise result
            return result

        command = click.Command("act", callback=settings_of(Mode.TESTING)(act))
        command.params = list(reversed(act.__click_params__))
        group = click.Group("cli", commands={"act": command, "node": command})
        monkeypatch.setattr(cli, "cli", group)
        with pytest.raises(SystemExit) as caught:
            cli.main(list(arguments))
        return caught.value.code

    return end


def test_every_variable_of_a_mode_is_an_option_of_its_command():
    for command, mode in (("record", Mode.RECORDING), ("test", Mode.TESTING), ("report", Mode.REPORT)):
        wanted = {v.name for v in VARIABLES.values() if mode in v.modes and not v.secret} - {*NODE_ONLY}
        assert wanted <= set(options(command))
        assert wanted <= set(options("run"))


def test_no_secret_is_ever_an_option():
    secrets = {v.name for v in VARIABLES.values() if v.secret}
    assert secrets
    for command in cli.COMMANDS:
        assert not secrets & set(options(command))


def test_options_have_the_names_of_the_contract():
    assert "--test-run-rps" in options("test")["TEST_RUN_RPS"].opts
    assert set(options("run")["TEST_RUN_POLICY_ID"].opts) == {"--test-run-policy-id", "--policy"}
    for name, option in (
        ("FAST_IMAGE", "--image"),
        ("FAST_RUNTIME", "--runtime"),
        ("TARGET_URI", "--target-uri"),
    ):
        assert option in options("run")[name].opts


def test_node_takes_what_a_node_reads_and_nothing_of_the_ci_side():
    names = set(options("node"))
    assert "CI_MODE" in names
    assert not {v.name for v in VARIABLES.values() if v.side is Side.CI} & names


@pytest.mark.parametrize(
    ("result", "detailed", "simple"),
    [
        (ExitStatus.PASSED, 0, 0),
        (ExitStatus.VULNERABLE, 1, 1),
        (UsageError("x"), 2, 1),
        (TechnicalError("x"), 3, 1),
        (Interrupted("x"), 4, 1),
        (KeyError("a bug"), 3, 1),
    ],
)
def test_exit_status_is_detailed_for_jobs_and_simple_for_the_node(ending, result, detailed, simple):
    assert ending(result, "act") == detailed
    assert ending(result, "node") == simple


def test_exit_codes_chosen_by_variable_or_option_win(ending):
    assert ending(TechnicalError("x"), "act", FAST_EXIT_CODES="simple") == 1
    assert ending(TechnicalError("x"), "node", FAST_EXIT_CODES="detailed") == 3
    assert ending(TechnicalError("x"), "node", "--exit-codes", "detailed", FAST_EXIT_CODES="simple") == 3


def test_errors_are_told_on_stderr_in_lines(ending, capsys):
    ending(TechnicalError("it broke", why="rust", hint="oil it"), "act")
    shown = capsys.readouterr()
    assert shown.err == "error: it broke\n  why: rust\n  to do: oil it\n"
    assert shown.out == ""


def test_bug_is_shown_with_its_trace_and_is_not_taken_for_a_finding(ending, capsys):
    assert ending(KeyError("a bug"), "act") == 3
    assert "KeyError: 'a bug'" in capsys.readouterr().err


def test_unknown_option_is_a_usage_error_that_suggests(ending, capsys):
    assert ending(ExitStatus.PASSED, "act", "--test-run-rsp", "5") == 2
    assert "--test-run-rps" in capsys.readouterr().err


def test_option_lies_over_the_environment(monkeypatch):
    monkeypatch.setenv("WORKERS", "1")
    seen = {}

    @click.command()
    @settings_of(Mode.TESTING)
    def act(**given):
        seen.update(overlaid(given))

    act.main(["--workers", "7", "--test-run-stop-on-first-fail"], standalone_mode=False, obj={})
    assert seen["WORKERS"] == "7"
    assert seen["TEST_RUN_STOP_ON_FIRST_FAIL"] == "true"


def test_switch_as_an_option_can_say_no(monkeypatch):
    seen = {}

    @click.command()
    @settings_of(Mode.TESTING)
    def act(**given):
        seen.update(given)

    act.main(["--skip-duplicates=false"], standalone_mode=False, obj={})
    assert seen["FAST_SKIP_DUPLICATES"] == "false"


@pytest.mark.parametrize(
    ("security", "tests", "outcome"),
    [
        (ExitStatus.PASSED, 0, ExitStatus.PASSED),
        (ExitStatus.PASSED, 1, ExitStatus.TECHNICAL),
        (ExitStatus.VULNERABLE, 1, ExitStatus.VULNERABLE),
        (ExitStatus.USAGE, 1, ExitStatus.USAGE),
    ],
)
def test_outcome_of_failed_tests_is_never_a_pass(security, tests, outcome):
    assert with_tests(security, tests) is outcome


def test_report_of_a_results_file_writes_the_formats_asked_for(tmp_path, monkeypatch, capsys):
    run = Run(
        id="tr_0001", name="night", state="passed", record_id="rec_0001", record_name="", policy="default",
        target="", start_time=7, end_time=8,
    )  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(to_document(run)))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(["report", "results.json", "--format", "txt", "--format", "junit"])
    assert caught.value.code == 0
    names = sorted(path.name for path in (tmp_path / ".fast/reports").iterdir())
    assert names == ["night.7.junit.xml", "night.7.txt"]


@pytest.mark.parametrize("content", ["{}", "no json"])
def test_report_of_what_is_no_results_file_is_a_usage_error(tmp_path, monkeypatch, capsys, content):
    (tmp_path / "results.json").write_text(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(["report", "results.json"])
    assert caught.value.code == 2
    assert "results.json" in capsys.readouterr().err


def test_shard_of_auto_is_what_the_ci_counts_and_refused_where_it_does_not():
    gitlab = {"GITLAB_CI": "true", "CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "3"}
    assert with_shard({**gitlab, "FAST_SHARD": " Auto "})["FAST_SHARD"] == "2/3"
    assert with_shard({**gitlab, "FAST_SHARD": "1/9"})["FAST_SHARD"] == "1/9"
    assert "FAST_SHARD" not in with_shard(gitlab)
    with pytest.raises(ConfigurationError) as caught:
        with_shard({"FAST_SHARD": "auto"})
    assert "local does not count its parallel jobs" in caught.value.faults[0]

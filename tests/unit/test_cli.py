import datetime
import json
import re

import click
import made_runs
import pytest

from fastci import cli
from fastci.cli.job import resolved
from fastci.cli.options import NODE_ONLY, overlaid, settings_of
from fastci.cli.steps import with_tests
from fastci.config import VARIABLES, Mode, Side
from fastci.errors import ConfigurationError, ExitStatus, Interrupted, TechnicalError, UsageError
from fastci.results import to_document


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
    run = made_runs.run(name="night", start_time=7.0)
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
    assert resolved({**gitlab, "FAST_SHARD": " Auto "})["FAST_SHARD"] == "2/3"
    assert resolved({**gitlab, "FAST_SHARD": "1/9"})["FAST_SHARD"] == "1/9"
    assert "FAST_SHARD" not in resolved(gitlab)
    with pytest.raises(ConfigurationError) as caught:
        resolved({"FAST_SHARD": "auto"})
    assert "local does not count its parallel jobs" in caught.value.faults[0]


def written(path, run):
    path.write_text(json.dumps(to_document(run)))
    return str(path)


def test_report_merge_joins_shards_in_one_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = made_runs.run(made_runs.finding(), checks=[made_runs.check(1, "tested")])
    second = made_runs.run(made_runs.finding(), id="tr_0002", checks=[made_runs.check(2, "tested")])
    paths = [written(tmp_path / "1.json", first), written(tmp_path / "2.json", second)]
    assert status_of("report", "--merge", *paths) == 1
    assert "failed, 1 vulnerability (1 high) in 2 baselines, 10 requests" in capsys.readouterr().out
    assert status_of("report", "--merge", "--fail-on", "never", "--min-baselines", "3", *paths) == 3
    latest = json.loads((tmp_path / ".fast/latest/results.json").read_text())
    assert (latest["verdict_rule"], latest["run"]["merged"]) == ("MIN_BASELINES", ["tr_0001", "tr_0002"])


def status_of(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    return caught.value.code


def test_report_of_two_files_without_merge_is_refused(tmp_path, capsys):
    assert status_of("report", "a.json", "b.json") == 2
    assert "--merge" in capsys.readouterr().err


def test_report_fixed_names_hold_the_last_run_in_every_format(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status_of("report", written(tmp_path / "1.json", made_runs.run(name="first")))
    status_of("report", written(tmp_path / "2.json", made_runs.run(name="second")))
    names = sorted(path.name for path in (tmp_path / ".fast/latest").iterdir())
    assert names == [
        "curl.sh", "fast.sarif", "gl-code-quality-report.json", "gl-dast-report.json", "junit.xml",
        "report.html", "report.txt", "repro.py", "results.json", "summary.md",
    ]  # fmt: skip
    assert json.loads((tmp_path / ".fast/latest/results.json").read_text())["name"] == "second"
    assert len(list((tmp_path / ".fast/reports").iterdir())) == 20


def test_findings_accept_list_and_forget_decide_the_next_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one = made_runs.finding()
    path = written(tmp_path / "r.json", made_runs.run(one))
    assert status_of("report", path) == 1
    why = ("--reason", "behind the VPN", "--owner", "team")
    assert status_of("findings", "accept", one.fingerprint[:8], *why, "--from", path) == 0
    assert status_of("report", path) == 0
    capsys.readouterr()
    assert status_of("findings", "list", "--from", path) == 0
    assert re.search(rf"{one.fingerprint[:12]} +accepted +HIGH", capsys.readouterr().out)
    assert status_of("findings", "forget", one.fingerprint) == 0
    assert status_of("report", path) == 1


def test_expired_entry_counts_again_and_one_that_was_mended_is_reported_absent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, mended = made_runs.finding(), made_runs.finding(point="GET_r_value")
    path = written(tmp_path / "r.json", made_runs.run(one))
    today = datetime.datetime.now(datetime.UTC).date()

    def judged(days):
        last = (today + datetime.timedelta(days=days)).isoformat()
        known = [
            {"fingerprint": one.fingerprint, "reason": "VPN only", "owner": "shop", "expires": last},
            {"fingerprint": mended.fingerprint, "reason": "waits", "owner": "shop", "where": "sqli GET /a"},
        ]
        (tmp_path / "known.yml").write_text(json.dumps({"findings": known}))
        status = status_of("report", path, "--known-findings", "known.yml")
        latest = tmp_path / ".fast" / "latest"
        texts = {name: (latest / name).read_text() for name in ("report.txt", "summary.md", "report.html")}
        assert all("absent" in text and "sqli GET /a" in text for text in texts.values())
        return status, texts["report.txt"], texts["report.html"]

    # The day may change between the two clocks: a day on either side is far enough from midnight.
    status, txt, page = judged(1)
    assert status == 0
    assert "accepted: HIGH t: GET /a, GET_q_value: VPN only (shop, until" in txt
    status, txt, page = judged(-1)
    assert status == 1
    assert "was accepted: VPN only" in txt
    assert "acceptance expired" in page


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("v1", "--reason", " ", "--owner", "o"), "a reason and an owner"),
        (("v1", "--reason", "r", "--owner", "o", "--expires", "2020-01-01"), "has passed already"),
        (("v1", "--reason", "r", "--owner", "o", "--expires", "soon"), "is no day"),
        (("0123456789", "--reason", "r", "--owner", "o"), "there is no finding"),
        (("v1", "--reason", "r"), "--owner"),
    ],
)
def test_findings_accept_of_bad_input_writes_nothing(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "r.json", made_runs.run(made_runs.finding()))
    assert status_of("findings", "accept", *arguments, "--from", path) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / ".fast").exists()


def test_findings_diff_names_new_unchanged_and_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    q, r, z = (made_runs.finding(point=f"GET_{name}_value") for name in "qrz")
    old = written(tmp_path / "old.json", made_runs.run(q, r))
    new = written(tmp_path / "new.json", made_runs.run(q, z))
    assert status_of("findings", "diff", old, new) == 0
    lines = capsys.readouterr().out
    assert re.findall(r"(new|unchanged|untested) .*?GET_(.)_value", lines) == [
        ("new", "z"), ("unchanged", "q"), ("untested", "r"),
    ]  # fmt: skip


def test_fail_new_only_without_a_comparison_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "r.json", made_runs.run(made_runs.finding()))
    assert status_of("report", path, "--fail-new-only") == 2
    assert "FAST_COMPARE_WITH" in capsys.readouterr().err
    assert status_of("report", path, "--fail-new-only", "--compare-with", path) == 0


def test_build_id_of_auto_is_the_workflow_and_nothing_without_a_ci():
    jenkins = {"BUILD_TAG": "jenkins-shop-front%2Fmain-12", "BUILD_ID": "auto"}
    assert resolved(jenkins)["BUILD_ID"] == "jenkins-shop-front-2Fmain-12"
    assert resolved({"BUILD_ID": "auto"})["BUILD_ID"] == ""
    assert resolved({**jenkins, "BUILD_ID": "12"})["BUILD_ID"] == "12"


def test_credentials_of_the_workspace_are_masked_and_never_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    auths = tmp_path / ".fast" / "auths"
    auths.mkdir(parents=True)
    (auths / "team.yml").write_text("modify:\n  - HEADER_X-Tenant_value: acme-77-live\n")
    run = made_runs.run(messages=["the target said acme-77-live"])
    status_of("report", written(tmp_path / "r.json", run))
    out = capsys.readouterr().out
    assert "::add-mask::acme-77-live" in out
    assert out.count("acme-77-live") == 1

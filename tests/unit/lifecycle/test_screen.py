import io
from pathlib import Path

import pytest
from rich.console import Console

from fastci.lifecycle.screen import Screen, counted
from fastci.platforms.github import GitHub
from fastci.platforms.gitlab import GitLab
from fastci.results import BaselineCheck, Evidence, Exchange, Finding, Place, Run, Step


def screen(**facts):
    out = io.StringIO()
    return Screen(Console(file=out, width=200), **facts), out


def finding(kind, threat, route="/items/{}"):
    exchange = Exchange(request=b"GET / HTTP/1.1\r\n\r\n", response=b"", status=200, elapsed=0.1)
    return Finding(
        id="v1", type=kind, threat=threat, code="c", title=f"{kind} it is", description="",
        point="GET_q_value", route=route, confidence="confirmed",
        evidence=Evidence(payload="p", matched="m", attack=exchange),
        places=[Place(baseline="bl_1", method="GET", url="http://app/items/1")],
    )  # fmt: skip


def run(*findings):
    check = BaselineCheck(baseline="bl_1", method="GET", url="/", route="/", state="failed", requests=9)
    return Run(
        id="tr_0001", name="n", state="failed", record_id="rec_0001", record_name="", policy="default",
        target="", start_time=0, end_time=1, checks=[check], findings=list(findings),
    )  # fmt: skip


def test_reports_are_told_by_the_one_to_read_and_what_lies_beside_it():
    shown, out = screen()
    reports = [Path("/w/a run.1.txt"), Path("/w/a run.1.html"), Path("/w/a run.1.junit.xml")]
    shown.reports(reports)
    assert out.getvalue() == "report: /w/a run.1.html\n        beside it txt, junit.xml\n"


def test_step_is_one_line_with_number_time_and_note():
    shown, out = screen()
    shown.finish(2, Step(name="node recording", state="done", seconds=1.234, note="at [red]http://x[/red]"))
    assert out.getvalue().split() == [
        "[2/7]",
        "node",
        "recording",
        "1.23",
        "s",
        "ok:",
        "at",
        "[red]http://x[/red]",
    ]
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("platform", "opening", "closing"),
    [
        (GitHub, "::group::[4/7] existing tests ...", "::endgroup::"),
        (GitLab, "section_start:", "section_end:"),
    ],
)
def test_step_that_says_much_is_a_group_that_its_last_line_stands_below(platform, opening, closing):
    out = io.StringIO()
    fold = platform({}, lambda line: print(line, file=out)).group
    shown = Screen(Console(file=out, width=200), group=fold)
    for number, title in ((3, "proxy settings prepared"), (4, "existing tests")):
        shown.begin(number, title)
        shown.line("inside")
        shown.finish(number, Step(name=title, state="failed", seconds=1))
    lines = out.getvalue().split("\n")
    assert [line for line in lines[:2] if opening in line or closing in line] == []
    assert opening in lines[2]
    assert "[4/7] existing tests ..." in lines[2]
    assert lines[3] == "inside"
    assert closing in lines[4]
    assert "[4/7] existing tests" in lines[5]
    assert "FAILED" in lines[5]


def test_secrets_are_never_shown():
    shown, out = screen(secrets=["tok-123", ""])
    shown.note("the token is tok-123")
    assert "tok-123" not in out.getvalue()
    assert "***" in out.getvalue()


def test_findings_are_listed_the_worst_first():
    shown, out = screen()
    shown.findings(run(finding("xss", 50), finding("sqli", 90)))
    text = out.getvalue()
    assert text.index("sqli") < text.index("xss")
    assert "GET /items/{}" in text
    assert "HIGH" in text


def test_findings_of_a_log_that_nobody_would_read_are_the_worst_hundred():
    shown, out = screen()
    shown.findings(run(*(finding("xss", 1 + number % 100, route=f"/r{number}") for number in range(1_200))))
    lines = out.getvalue().splitlines()
    assert len(lines) == 102
    assert lines[1].split()[2:4] == ["GET", "/r1099"]
    assert lines[-1] == "1,100 more are in the reports"


def test_findings_of_a_clean_run_show_no_table():
    shown, out = screen()
    shown.findings(run())
    assert out.getvalue() == ""


def test_counted_says_how_many_of_which_kind():
    assert counted(run(finding("sqli", 90), finding("xss", 50), finding("xss", 40))) == (
        "3 vulnerabilities (1 high, 2 medium) in 1 baseline, 9 requests"
    )
    assert counted(run()) == "no vulnerabilities in 1 baseline, 9 requests"
    assert counted(run(finding("xss", 10))).startswith("1 vulnerability (1 low) in")


def test_progress_shows_lines_only_where_asked():
    quiet, nothing = screen()
    quiet.begin(5, "x")
    quiet.progress("checking bl_1")
    assert nothing.getvalue() == ""
    loud, out = screen(verbose=True)
    loud.progress("checking bl_1")
    assert "checking bl_1" in out.getvalue()


def test_words_of_a_target_are_no_commands_to_the_runner():
    shown, out = screen()
    shown.progress("  ::add-mask::the")
    shown.line("a ##[stop-commands]x\n::error::y")
    shown.findings(run(finding("xss", 50, route="/::set-output name=verdict::passed")))
    lines = out.getvalue().splitlines()
    assert not [line for line in lines if line.lstrip().startswith("::") or "##[" in line]
    assert "::set-output" not in out.getvalue()


def test_names_of_tests_stay_as_they_can_be_copied():
    shown, out = screen()
    shown.line("tests/a.py::test_b")
    assert "tests/a.py::test_b" in out.getvalue()

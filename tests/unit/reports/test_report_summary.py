from dataclasses import replace

import pytest

from fastci.reports.summary import ordered
from fastci.reports.view import View
from fastci.results import PointCoverage, Run
from fastci.verdict.coverage import coverage_of


def test_summary_of_findings_is_a_failure_whatever_the_state(sample: Run):
    summary = View(replace(sample, state="interrupted", complete=False)).summary
    assert (summary.tone, summary.headline) == ("failed", "5 vulnerabilities found")
    assert summary.detail.startswith("The run was cut short: what it found holds")
    assert summary.severities == {"high": 3, "medium": 1, "low": 1}


def test_summary_of_clean_complete_run_passes(sample: Run):
    checks = [replace(check, state="passed", error="") for check in sample.checks]
    summary = View(replace(sample, state="passed", findings=[], checks=checks)).summary
    assert (summary.tone, summary.headline, summary.detail) == ("passed", "No vulnerability found", "")


@pytest.mark.parametrize("state", ["tech_failed", "interrupted", "waiting", "running"])
def test_summary_of_untested_baseline_is_no_pass(sample: Run, state: str):
    checks = [replace(check, state="passed") for check in sample.checks[:-1]] + [
        replace(sample.checks[-1], state=state)
    ]  # type: ignore[arg-type]
    summary = View(replace(sample, state="passed", findings=[], checks=checks)).summary
    assert summary.tone == "unsure"
    assert summary.detail.startswith("1 baseline ")


def test_summary_of_interrupted_run_without_findings_is_no_pass(sample: Run):
    checks = [replace(check, state="passed") for check in sample.checks]
    summary = View(replace(sample, state="interrupted", findings=[], checks=checks)).summary
    assert (summary.tone, summary.detail) == ("unsure", "The run ended as interrupted.")


def test_summary_of_nothing_is_no_pass(sample: Run):
    summary = View(replace(sample, state="passed", findings=[], checks=[])).summary
    assert (summary.tone, summary.headline) == ("unsure", "Nothing was tested")


def test_coverage_of_two_baselines_of_one_route_takes_the_better(sample: Run):
    base = replace(sample.checks[0], method="GET", route="/r")

    def row(state: str, requests: int, reason: str = "") -> PointCoverage:
        return PointCoverage(point="GET_a_value", type="xss", state=state, requests=requests, reason=reason)  # type: ignore[arg-type]

    checks = [
        replace(base, coverage=[row("skipped", 0, "duplicate")]),
        replace(base, coverage=[row("tested", 4)]),
        replace(base, coverage=[row("failed", 1, "gone")]),
    ]
    (route,) = coverage_of(replace(sample, findings=[], checks=checks))
    assert route.cells == {("GET_a_value", "xss"): row("tested", 5)}
    assert View(replace(sample, findings=[], checks=checks)).summary.covered == 1.0


def test_coverage_of_a_duplicate_is_a_note_on_its_baseline_and_no_cell(sample: Run):
    whole = PointCoverage(point="*", type="*", state="skipped", reason="duplicate of bl_0003")
    twin = replace(sample.checks[2], baseline="bl_0011", coverage=[whole])
    routes = {route.route: route for route in coverage_of(replace(sample, checks=[*sample.checks, twin]))}
    assert ("*", "*") not in routes["/search"].cells
    assert routes["/search"].notes == {"bl_0011": "duplicate of bl_0003"}


def test_coverage_of_a_route_that_was_left_out_keeps_its_one_cell(sample: Run):
    whole = PointCoverage(point="*", type="*", state="skipped", reason="its extension is excluded")
    (route,) = coverage_of(replace(sample, findings=[], checks=[replace(sample.checks[0], coverage=[whole])]))
    assert route.cells == {("*", "*"): whole}


def test_coverage_of_finding_without_a_row_has_its_cell(sample: Run):
    routes = {(route.method, route.route): route for route in coverage_of(sample)}
    login = routes["POST", "/login"]
    assert login.findings == {("POST_FORM_URLENCODED_next_value", "redir"): "v4"}
    assert login.cells["POST_FORM_URLENCODED_next_value", "redir"].state == "tested"


def test_covered_leaves_out_what_was_never_possible(sample: Run):
    summary = View(sample).summary
    assert summary.points == {"tested": 83, "failed": 1, "skipped": 31, "impossible": 1}
    assert summary.covered == pytest.approx(83 / 115)


def test_ordered_worst_first_and_independent_of_input_order(sample: Run):
    names = [finding.id for finding in ordered(sample.findings)]
    assert names == ["v5", "v1", "v3", "v2", "v4"]
    assert names == [finding.id for finding in ordered(reversed(sample.findings))]

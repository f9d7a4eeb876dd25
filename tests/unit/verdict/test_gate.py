"""The rules of the gate, one by one and against each other."""

from dataclasses import replace

import pytest
from made_runs import check, finding, run

from fastci.config import VARIABLES, Settings
from fastci.errors import ExitStatus
from fastci.results import Confidence
from fastci.verdict.gate import decide, with_verdict


def test_gate_of_clean_run_passes_with_every_rule_told():
    verdict = decide(run(), Settings())
    assert (verdict.status, verdict.rule) == (ExitStatus.PASSED, "")
    assert [rule.name for rule in verdict.rules] == [
        "FAST_FAIL_ON", "FAST_FAIL_INCOMPLETE", "FAST_FAIL_ON_ERRORS", "MIN_BASELINES", "FAST_MIN_COVERAGE",
    ]  # fmt: skip
    assert all(rule.holds for rule in verdict.rules)
    assert all(rule.name in VARIABLES and rule.value for rule in verdict.rules)


@pytest.mark.parametrize("severity", ["low", "medium", "high"])
def test_gate_as_it_is_fails_any_confirmed_finding_as_fast_does(severity: str):
    verdict = decide(run(finding(severity)), Settings())
    assert (verdict.status, verdict.rule) == (ExitStatus.VULNERABLE, "FAST_FAIL_ON")
    assert verdict.reason == "1 confirmed finding of any severity; FAST_FAIL_ON=low allows none"


@pytest.mark.parametrize(
    ("severity", "limit", "fails"),
    [
        ("low", "low", True), ("low", "medium", False), ("medium", "medium", True), ("medium", "high", False),
        ("high", "high", True), ("high", "never", False),
    ],
)  # fmt: skip
def test_gate_severity_threshold(severity: str, limit: str, fails: bool):
    verdict = decide(run(finding(severity)), Settings(fast_fail_on=limit))
    assert verdict.status is (ExitStatus.VULNERABLE if fails else ExitStatus.PASSED)


@pytest.mark.parametrize(
    ("confidence", "limit", "fails"),
    [
        ("firm", "confirmed", False), ("firm", "firm", True), ("tentative", "firm", False),
        ("tentative", "tentative", True), ("confirmed", "tentative", True),
    ],
)  # fmt: skip
def test_gate_confidence_threshold(confidence: Confidence, limit: str, fails: bool):
    verdict = decide(run(finding(confidence=confidence)), Settings(fast_fail_confidence=limit))
    assert verdict.status is (ExitStatus.VULNERABLE if fails else ExitStatus.PASSED)


def test_gate_new_only_lets_the_unchanged_pass_and_says_so():
    settings = Settings(fast_fail_new_only=True, fast_compare_with="old.json")
    old = decide(run(finding(status="unchanged")), settings)
    assert (old.status, old.reason) == (
        ExitStatus.PASSED,
        "no finding counts (1 known from the earlier run), and every rule holds",
    )
    new = decide(run(finding(status="unchanged"), finding(status="new", point="GET_r_value")), settings)
    assert new.reason == (
        "1 new confirmed finding of any severity (1 known from the earlier run besides); "
        "FAST_FAIL_ON=low and FAST_FAIL_NEW_ONLY=true allow none"
    )


def test_gate_accepted_findings_do_not_count():
    verdict = decide(run(accepted=[finding()]), Settings())
    assert (verdict.status, verdict.reason) == (
        ExitStatus.PASSED,
        "no finding counts (1 accepted), and every rule holds",
    )


def test_gate_technical_failure_decides_unless_it_is_allowed():
    failing = run(checks=[check(1), check(2, state="tech_failed", error="Connection failed: x")])
    verdict = decide(failing, Settings())
    assert (verdict.status, verdict.rule) == (ExitStatus.TECHNICAL, "FAST_FAIL_ON_ERRORS")
    assert decide(failing, Settings(fast_fail_on_errors=False)).status is ExitStatus.PASSED


def test_gate_fault_of_the_run_itself_is_a_technical_failure_and_a_remark_is_none():
    fault = run(messages=["Internal exception: a worker died; its results are missing"])
    assert decide(fault, Settings()).status is ExitStatus.TECHNICAL
    assert decide(run(messages=["the session was renewed 3 times"]), Settings()).status is ExitStatus.PASSED


def test_gate_nothing_tested_is_no_pass_even_where_errors_are_allowed():
    idle = run(checks=[check(1, requests=0), check(2, state="tech_failed")])
    verdict = decide(idle, Settings(fast_fail_on_errors=False))
    assert (verdict.status, verdict.rule) == (ExitStatus.TECHNICAL, "MIN_BASELINES")
    assert verdict.reason == (
        "2 baselines, none tested to its end; MIN_BASELINES=1 wants at least 1 that was tested"
    )


@pytest.mark.parametrize(("shard", "passes"), [("", False), ("1/3", False), ("3/3", True)])
def test_gate_shard_without_a_test_set_passes_unless_it_is_the_first(shard: str, passes: bool):
    verdict = decide(run(checks=[check(1, requests=0)], shard=shard), Settings())
    assert (verdict.outcome == "passed") is passes


def test_gate_shard_is_not_held_to_limits_of_the_whole():
    limits = Settings(min_baselines=5, fast_min_coverage=50)
    part = run(checks=[check(1, "skipped")], shard="2/3")
    assert decide(part, limits).outcome == "passed"
    assert decide(replace(part, shard=""), limits).rule == "MIN_BASELINES"
    assert decide(run(checks=[], shard="3/3"), Settings()).outcome == "passed"


@pytest.mark.parametrize(("least", "fails"), [(1, False), (2, False), (3, True)])
def test_gate_min_baselines(least: int, fails: bool):
    verdict = decide(run(checks=[check(1), check(2)]), Settings(min_baselines=least))
    assert (verdict.rule == "MIN_BASELINES") is fails
    assert verdict.status is (ExitStatus.TECHNICAL if fails else ExitStatus.PASSED)


@pytest.mark.parametrize(("least", "fails"), [(0, False), (50, False), (51, True)])
def test_gate_min_coverage_counts_what_could_have_been_tested(least: int, fails: bool):
    half = run(checks=[check(1, "tested", "skipped", "impossible")])
    verdict = decide(half, Settings(fast_min_coverage=least))
    assert (verdict.rule == "FAST_MIN_COVERAGE") is fails


def test_gate_proof_decides_before_all_else_and_interruption_before_too_little():
    poor = run(finding(), state="interrupted", checks=[])
    assert decide(poor, Settings()).rule == "FAST_FAIL_ON"
    assert decide(replace(poor, findings=[]), Settings()).status is ExitStatus.INTERRUPTED


def test_gate_cut_run_may_pass_and_says_that_it_was_cut():
    verdict = decide(run(complete=False), Settings())
    assert verdict.reason == "nothing was found, and every rule holds; the run was cut short"


@pytest.mark.parametrize(
    ("wanted", "state", "complete", "status"),
    [
        ("interrupted", "interrupted", False, ExitStatus.INTERRUPTED),
        ("interrupted", "passed", False, ExitStatus.PASSED),
        ("cut", "passed", False, ExitStatus.TECHNICAL),
        ("cut", "interrupted", False, ExitStatus.INTERRUPTED),
        ("cut", "passed", True, ExitStatus.PASSED),
        ("never", "interrupted", False, ExitStatus.PASSED),
        ("never", "passed", False, ExitStatus.PASSED),
    ],
)
def test_gate_run_that_did_not_come_to_its_end(wanted: str, state: str, complete: bool, status: ExitStatus):
    verdict = decide(run(state=state, complete=complete), Settings(fast_fail_incomplete=wanted))
    assert verdict.status is status


FINDINGS = [finding("low"), finding("high", "firm", point="b"), finding("high", "tentative", point="c")]
BROKEN = {
    "2 confirmed or firm findings of any severity (1 less severe or less certain besides); "
    "FAST_FAIL_ON=low and FAST_FAIL_CONFIDENCE=firm allow none": (
        run(*FINDINGS), Settings(fast_fail_confidence="firm"),
    ),
    "2 findings of MEDIUM or HIGH severity (1 less severe or less certain besides); "
    "FAST_FAIL_ON=medium and FAST_FAIL_CONFIDENCE=tentative allow none": (
        run(*FINDINGS), Settings(fast_fail_on="medium", fast_fail_confidence="tentative"),
    ),
    "1 confirmed finding of HIGH severity (1 accepted besides); FAST_FAIL_ON=high allows none": (
        run(finding(), accepted=[finding("low")]), Settings(fast_fail_on="high"),
    ),
    "the run was interrupted; FAST_FAIL_INCOMPLETE=interrupted allows no interrupted run": (
        run(state="interrupted"), Settings(),
    ),
    "the run was cut short by its budget; FAST_FAIL_INCOMPLETE=cut allows no run that was cut short": (
        run(complete=False), Settings(fast_fail_incomplete="cut"),
    ),
    "1 of 2 baselines failed technically; FAST_FAIL_ON_ERRORS=true allows no technical failure": (
        run(checks=[check(1), check(2, state="tech_failed")]), Settings(),
    ),
    "Internal exception: a worker died; FAST_FAIL_ON_ERRORS=true allows no technical failure": (
        run(messages=["Internal exception: a worker died"]), Settings(),
    ),
    "1 baseline; MIN_BASELINES=3 wants at least 3": (run(), Settings(min_baselines=3)),
    "66.6 % of the possible pairs of point and type tested; FAST_MIN_COVERAGE=67 wants at least 67 %": (
        run(checks=[check(1, "tested", "tested", "skipped")]), Settings(fast_min_coverage=67),
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", BROKEN)
def test_gate_sentence_of_a_broken_rule_names_the_variable_the_value_and_what_is_allowed(sentence: str):
    verdict = decide(*BROKEN[sentence])
    assert verdict.reason == sentence
    assert verdict.rule in VARIABLES


def test_gate_finding_let_pass_by_never_is_told():
    verdict = decide(run(finding()), Settings(fast_fail_on="never"))
    assert verdict.reason == "1 finding, which FAST_FAIL_ON=never lets pass, and every rule holds"


def test_with_verdict_state_follows_but_an_interruption_stays():
    settings = Settings(fast_fail_on="never")
    weak = run(finding(), state="failed")
    assert with_verdict(weak, decide(weak, settings)).state == "passed"
    stopped = run(finding(), state="interrupted")
    assert with_verdict(stopped, decide(stopped, Settings())).state == "interrupted"

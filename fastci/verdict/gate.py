"""The gate: which rule lets a run pass or fail. A pure function of the run and of the settings."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fastci.config import Settings
from fastci.results import Finding, Outcome, Rule, Run, RunState, Verdict
from fastci.verdict.coverage import coverage_of, share_of, states_of

_SEVERITIES = ("low", "medium", "high")
_CONFIDENCES = ("tentative", "firm", "confirmed")
_FAULTS = ("Auth failed", "Connection failed", "Internal exception", "Invalid policies", "Recording error")
"""Kinds of errors that FAST knows; a message of the run that begins so tells of a technical failure."""


def with_verdict(run: Run, verdict: Verdict) -> Run:
    """The run with its verdict and the state that follows from it."""
    state: RunState = "passed" if verdict.outcome == "passed" else "failed"
    return replace(run, verdict=verdict, state="interrupted" if run.state == "interrupted" else state)


def decide(run: Run, settings: Settings) -> Verdict:
    """The verdict: what is proven comes first, then an interruption, then that too little was tested.

    Accepted findings do not count, nor do those that are too weak for the rules. Silence is not a pass.
    """
    judged = list(_rules(run, settings))
    rules = [rule for _, rule in judged]
    for outcome, rule in judged:
        if not rule.holds:
            return Verdict(outcome=outcome, rule=rule.name, reason=_sentence(rule, settings), rules=rules)
    return Verdict(outcome="passed", rule="", reason=_praise(run, settings), rules=rules)


def counting(findings: Sequence[Finding], settings: Settings) -> list[Finding]:
    """Those of the findings that fail the job under these settings."""
    grave = _grave(findings, settings)
    return [one for one in grave if one.status != "unchanged"] if settings.fast_fail_new_only else grave


def _grave(findings: Sequence[Finding], settings: Settings) -> list[Finding]:
    """Those that are severe and sure enough, whether they are new or not."""
    if settings.fast_fail_on == "never":
        return []
    severities = _SEVERITIES[_SEVERITIES.index(settings.fast_fail_on) :]
    confidences = _CONFIDENCES[_CONFIDENCES.index(settings.fast_fail_confidence) :]
    return [one for one in findings if one.severity in severities and one.confidence in confidences]


def _rules(run: Run, settings: Settings) -> Iterator[tuple[Outcome, Rule]]:
    """Every rule in the order in which they decide, with the outcome of breaking it."""
    yield "vulnerable", _findings_rule(run, settings)
    yield "interrupted" if run.state == "interrupted" else "technical", _end_rule(run, settings)
    yield "technical", _errors_rule(run, settings)
    yield "technical", _baselines_rule(run, settings)
    yield "technical", _coverage_rule(run, settings)


def _findings_rule(run: Run, settings: Settings) -> Rule:
    bad = len(counting(run.findings, settings))
    if settings.fast_fail_on == "never":
        found, limit = _counted(len(run.findings), "finding"), "any number"
    else:
        found = _kind(bad, settings)
        others = _others(run, settings)
        found, limit = f"{found} ({others} besides)" if others else found, "none"
    return Rule(name="FAST_FAIL_ON", value=settings.fast_fail_on, limit=limit, found=found, holds=not bad)


def _kind(number: int, settings: Settings) -> str:
    """`2 new confirmed findings of HIGH severity`."""
    new = "new " if settings.fast_fail_new_only else ""
    sure = {"confirmed": "confirmed ", "firm": "confirmed or firm ", "tentative": ""}
    grave = {"low": "any", "medium": "MEDIUM or HIGH", "high": "HIGH"}
    kind = f"{new}{sure[settings.fast_fail_confidence]}finding"
    return f"{_counted(number, kind)} of {grave[settings.fast_fail_on]} severity"


def _others(run: Run, settings: Settings) -> str:
    """Which findings do not count, and why; empty without any."""
    grave = len(_grave(run.findings, settings))
    numbers = {
        "less severe or less certain": len(run.findings) - grave,
        "known from the earlier run": grave - len(counting(run.findings, settings)),
        "accepted": len(run.accepted),
    }
    return ", ".join(f"{number:,} {word}" for word, number in numbers.items() if number)


def _end_rule(run: Run, settings: Settings) -> Rule:
    interrupted = run.state == "interrupted"
    allowed = {"interrupted": "no interrupted run", "cut": "no run that was cut short", "never": "any run"}
    wanted = settings.fast_fail_incomplete
    if interrupted:
        found = "the run was interrupted"
    else:
        found = "the run came to its end" if run.complete else "the run was cut short by its budget"
    broken = {"interrupted": interrupted, "cut": interrupted or not run.complete, "never": False}
    return Rule(
        name="FAST_FAIL_INCOMPLETE",
        value=wanted,
        limit=allowed[wanted],
        found=found,
        holds=not broken[wanted],
    )


def _errors_rule(run: Run, settings: Settings) -> Rule:
    failed = run.count("tech_failed")
    faults = [message for message in run.messages if message.startswith(_FAULTS)]
    if failed:
        found = f"{failed:,} of {_counted(len(run.checks), 'baseline')} failed technically"
    else:
        found = next(iter(faults), "no technical failure")
    strict = settings.fast_fail_on_errors
    return Rule(
        name="FAST_FAIL_ON_ERRORS", value="true" if strict else "false",
        limit="no technical failure" if strict else "any number",
        found=found, holds=not strict or not (failed or faults),
    )  # fmt: skip


def _baselines_rule(run: Run, settings: Settings) -> Rule:
    """Enough baselines, and not a record of which nothing could be tested: that is no pass."""
    # A shard holds a part: how much there is in all is for the verdict over all shards.
    least = 0 if run.shard else settings.min_baselines
    number = len(run.checks)
    tested = any(check.requests and check.state in ("passed", "failed") for check in run.checks)
    # A later shard may have nothing to do; the first one is dealt the first test set.
    idle = not tested and number > 0 and settings.min_baselines and run.shard.partition("/")[0] in ("", "1")
    if idle and number >= least:
        found, limit = f"{_counted(number, 'baseline')}, none tested to its end", "at least 1 that was tested"
    else:
        found, limit = _counted(number, "baseline"), f"at least {least:,}"
    holds = number >= least and not idle
    return Rule(
        name="MIN_BASELINES", value=str(settings.min_baselines), limit=limit, found=found, holds=holds
    )


def _coverage_rule(run: Run, settings: Settings) -> Rule:
    # Cut, not rounded: 49.96 % are no 50.
    share = math.floor(1000 * share_of(states_of(coverage_of(run)))) / 10
    least = 0 if run.shard else settings.fast_min_coverage
    return Rule(
        name="FAST_MIN_COVERAGE", value=str(settings.fast_min_coverage), limit=f"at least {least} %",
        found=f"{share:g} % of the possible pairs of point and type tested", holds=share >= least,
    )  # fmt: skip


def _sentence(rule: Rule, settings: Settings) -> str:
    """What was found, what sets the rule, what it allows: `2 baselines; MIN_BASELINES=3 wants at least 3`."""
    variables = {rule.name: rule.value}
    if rule.name == "FAST_FAIL_ON":
        if settings.fast_fail_confidence != "confirmed":
            variables["FAST_FAIL_CONFIDENCE"] = settings.fast_fail_confidence
        if settings.fast_fail_new_only:
            variables["FAST_FAIL_NEW_ONLY"] = "true"
    given = " and ".join(f"{name}={value}" for name, value in variables.items())
    verb = "want" if rule.limit.startswith("at least") else "allow"
    return f"{rule.found}; {given} {verb}{'s' * (len(variables) == 1)} {rule.limit}"


def _praise(run: Run, settings: Settings) -> str:
    others = _others(run, settings)
    found = f"no finding counts ({others})" if others else "nothing was found"
    if settings.fast_fail_on == "never" and run.findings:
        found = f"{_counted(len(run.findings), 'finding')}, which FAST_FAIL_ON=never lets pass"
    cut = "" if run.complete else "; the run was cut short"
    return f"{found}, and every rule holds{cut}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"

"""The gate: which rule lets a run pass or fail. A pure function of the run and of the settings."""

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
    rules = list(_rules(run, settings))
    told = [rule for _, rule in rules]
    for outcome, rule in rules:
        if not rule.holds:
            reason = f"{rule.found}; allowed is {rule.limit}"
            return Verdict(outcome=outcome, rule=rule.name, reason=reason, rules=told)
    return Verdict(outcome="passed", rule="", reason=_praise(run), rules=told)


def counting(findings: Sequence[Finding], settings: Settings) -> list[Finding]:
    """Those of the findings that fail the job under these settings."""
    if settings.fast_fail_on == "never":
        return []
    severities = _SEVERITIES[_SEVERITIES.index(settings.fast_fail_on) :]
    confidences = _CONFIDENCES[_CONFIDENCES.index(settings.fast_fail_confidence) :]
    return [
        finding
        for finding in findings
        if finding.severity in severities
        and finding.confidence in confidences
        and not (settings.fast_fail_new_only and finding.status == "unchanged")
    ]


def _rules(run: Run, settings: Settings) -> Iterator[tuple[Outcome, Rule]]:
    """Every rule in the order in which they decide, with the outcome of breaking it."""
    yield "vulnerable", _findings_rule(run, settings)
    whole = run.state != "interrupted"
    yield (
        "interrupted",
        Rule(
            name="completion",
            limit="a run that is not interrupted",
            found="not interrupted" if whole else "the run was interrupted",
            holds=whole,
        ),
    )
    # A shard holds a part: how much there is in all is for the verdict over all shards.
    least = 0 if run.shard else settings.min_baselines
    yield (
        "technical",
        Rule(
            name="MIN_BASELINES",
            limit=f"{least} or more",
            found=_counted(len(run.checks), "baseline"),
            holds=len(run.checks) >= least,
        ),
    )
    yield "technical", _errors_rule(run, settings)
    share = share_of(states_of(coverage_of(run)))
    enough = 0 if run.shard else settings.fast_min_coverage
    yield (
        "technical",
        Rule(
            name="FAST_MIN_COVERAGE",
            limit=f"{enough} % or more",
            found=f"{100 * share:.0f} % of the possible pairs of point and type tested",
            holds=100 * share >= enough,
        ),
    )


def _findings_rule(run: Run, settings: Settings) -> Rule:
    bad = counting(run.findings, settings)
    lesser = len(run.findings) - len(bad)
    parts = [f"{_counted(len(bad), 'finding')} that count{'s' * (len(bad) == 1)}" if bad else "none counts"]
    parts += [f"{lesser} below the rule"] if lesser else []
    parts += [f"{len(run.accepted)} accepted"] if run.accepted else []
    if settings.fast_fail_on == "never":
        limit = "nothing: it is set to never"
    else:
        new = "new, " if settings.fast_fail_new_only else ""
        sure = settings.fast_fail_confidence + (
            "" if settings.fast_fail_confidence == "confirmed" else " or more"
        )
        level = settings.fast_fail_on.upper() + ("" if settings.fast_fail_on == "high" else " or more")
        limit = f"none that is {new}{level} and {sure}"
    return Rule(name="FAST_FAIL_ON", limit=limit, found=", ".join(parts), holds=not bad)


def _errors_rule(run: Run, settings: Settings) -> Rule:
    """Technical failures may be allowed; that nothing at all was tested may not."""
    failed = run.count("tech_failed")
    faults = [message for message in run.messages if message.startswith(_FAULTS)]
    tested = any(check.requests and check.state in ("passed", "failed") for check in run.checks)
    found = (
        f"{_counted(failed, 'baseline')} failed technically"
        if failed
        else next(iter(faults), "no technical failure")
    )
    # A later shard may have nothing to do; the first one is dealt the first test set.
    if not tested and run.checks and settings.min_baselines and run.shard.partition("/")[0] in ("", "1"):
        return Rule(
            name="FAST_FAIL_ON_ERRORS",
            limit="at least one baseline tested to its end",
            found=f"nothing was tested: {found}",
            holds=False,
        )
    if not settings.fast_fail_on_errors:
        return Rule(name="FAST_FAIL_ON_ERRORS", limit="nothing: it is off", found=found, holds=True)
    return Rule(name="FAST_FAIL_ON_ERRORS", limit="none", found=found, holds=not (failed or faults))


def _praise(run: Run) -> str:
    parts = [f"{_counted(len(run.findings), 'finding')} below the rules" if run.findings else "nothing found"]
    parts += [f"{len(run.accepted)} accepted"] if run.accepted else []
    cut = "" if run.complete else "; the run was cut short"
    return f"{', '.join(parts)}: every rule holds{cut}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else noun + 's'}"

"""The brief report, as FAST prints it: state, counters, a table of the checks, then each vulnerability."""

from collections.abc import Iterator

from fastci.reports.plain import clock, count, duration, one_line, prose, visible
from fastci.reports.summary import (
    CONFIDENCES,
    WORDS,
    acceptance_in_words,
    seen_in_words,
    type_name,
)
from fastci.reports.view import Shown, View
from fastci.results import BaselineCheck, Finding, Run

_RULE = "=" * 78
_ORDER = {"FAILED": 0, "STOPPED": 1, "PASSED": 2}


def render(view: View) -> str:
    return "\n".join([*_head(view), *_checks(view), *_vulnerabilities(view), *_others(view), ""])


def _head(view: View) -> Iterator[str]:
    run, summary = view.run, view.summary
    yield f"{one_line(run.name)}: {summary.headline}"
    if summary.detail:
        yield summary.detail
    if summary.decision:
        yield one_line(summary.decision, 1_000)
    yield _RULE
    severities = ", ".join(f"{number} {severity.upper()}" for severity, number in summary.severities.items())
    points = ", ".join(f"{number:,} {state}" for state, number in summary.points.items())
    facts = {
        "State": run.state,
        "Test run": run.id,
        "Description": one_line(run.description),
        "Test record": f"{run.record_id} {one_line(run.record_name)}",
        "Policy": one_line(run.policy),
        "Target": one_line(run.target),
        "Domains": one_line(", ".join(run.domains)),
        "Build": one_line(run.build_id),
        "Started": clock(run.start_time),
        "Took": duration(run.end_time - run.start_time),
        "Baselines": f"{len(run.checks):,}: {run.count('passed')} passed, {run.count('failed')} failed, "
        f"{len(run.checks) - run.count('passed') - run.count('failed')} stopped",
        "Requests": f"{run.sent_requests:,} sent, {run.average_rps:,} a second{_per_point(run)}",
        "Points": f"{points} (point x type)",
        "Threats": severities,
        "Accepted": f"{len(run.accepted):,} of the known findings" if run.accepted else "",
        "Since": _since(run, summary.changes),
        "Merged": one_line(", ".join(run.merged)),
        "Shard": run.shard,
        "Seed": f"{run.seed}, node {one_line(run.node_version) or 'unknown'}",
    }
    yield from (f"{name + ':':<13} {value}" for name, value in facts.items() if value)
    for seen in seen_in_words(run):
        host = f", {one_line(seen.host)}" if seen.host else ""
        yield f"{'Not recorded:':<13} {seen.number:,} x {one_line(seen.what)}{host}"
    yield from (f"{'Note:':<13} {one_line(message)}" for message in run.messages)
    yield ""


def _per_point(run: Run) -> str:
    average, most = run.requests_per_point
    return f"; a point {average:,} on average, {most:,} at most" if most else ""


def _since(run: Run, changes: dict[str, int]) -> str:
    if not changes:
        return ""
    numbers = ", ".join(f"{number:,} {state}" for state, number in changes.items())
    return f"{one_line(run.compared_with)}: {numbers}"


def _checks(view: View) -> Iterator[str]:
    run = view.run
    if not run.checks:
        yield "No baseline was tested."
        yield ""
        return
    yield f"{'CHECK':<8} {'BASELINE':<10} {'FOUND':>5} {'SENT':>7} {'TOOK':>12}  REQUEST"
    yield "-" * 78
    for check in sorted(run.checks, key=lambda check: _ORDER[WORDS[check.state]]):
        yield _row(check)
    yield ""
    for reason, checks in view.failures.items():
        yield f"stopped, {count(len(checks), 'baseline')}: {one_line(reason)}"
    if view.failures:
        yield ""


def _row(check: BaselineCheck) -> str:
    found = str(len(check.findings)) if check.findings else "-"
    return (
        f"{WORDS[check.state]:<8} {one_line(check.baseline, 20):<10} {found:>5} {check.requests:>7,} "
        f"{duration(check.elapsed):>12}  {one_line(check.method, 20)} {one_line(check.url, 200)}"
    )


def _vulnerabilities(view: View) -> Iterator[str]:
    for number, shown in enumerate(view.findings, 1):
        finding = shown.finding
        yield _RULE
        new = ", new" if finding.status == "new" else ""
        yield f"{number}. {finding.severity.upper()} ({finding.threat}{new}) {one_line(finding.title)}"
        yield ""
        yield from (f"   {name + ':':<12} {value}" for name, value in _facts(shown) if value)
        yield ""


def _others(view: View) -> Iterator[str]:
    """What does not count: accepted, gone since the earlier run, known but not found."""
    run = view.run
    for finding in (shown.finding for shown in view.accepted):
        entry = finding.acceptance
        words = one_line(acceptance_in_words(entry)) if entry else ""
        yield f"accepted: {finding.severity.upper()} {one_line(finding.title)}: {_place(finding)}: {words}"
    for past in run.past:
        state = "fixed" if past.state == "fixed" else "not tested this time"
        where = f"{one_line(past.method, 20)} {one_line(past.route)}, {one_line(past.point)}"
        yield f"{state}: {one_line(past.title)}: {where}"
    for entry in run.absent:
        yield f"known, but absent: {entry.fingerprint} {one_line(entry.where or entry.reason)}"
    if run.accepted or run.past or run.absent:
        yield ""


def _place(finding: Finding) -> str:
    return f"{one_line(finding.place.method, 20)} {one_line(finding.route)}, {one_line(finding.point)}"


def _facts(shown: Shown) -> Iterator[tuple[str, str]]:
    finding = shown.finding
    evidence = finding.evidence
    yield "type", f"{finding.type}, {type_name(finding.type)}"
    yield "where", f"{one_line(finding.place.method, 20)} {one_line(shown.url, 500)}"
    yield "point", one_line(finding.point)
    yield "payload", one_line(evidence.payload, 500)
    yield "seen", one_line(evidence.matched, 500)
    yield "confidence", f"{finding.confidence}: {CONFIDENCES[finding.confidence]}"
    yield "weakness", ", ".join(f"CWE-{number}" for number in finding.cwe)
    for test in shown.tests[:10]:
        yield "reached by", one_line(test)
    if len(finding.places) > 1:
        yield "places", f"{count(len(finding.places), 'baseline')} reach it"
    yield "id", f"{one_line(finding.id)}, fingerprint {shown.fingerprint}"
    if finding.acceptance:
        yield "expired", f"was accepted: {one_line(acceptance_in_words(finding.acceptance))}"
    yield "repair", prose(finding.remediation)
    yield "reproduce", visible(shown.curl)

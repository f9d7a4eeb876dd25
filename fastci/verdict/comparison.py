"""This run against an earlier one: what is new, what is unchanged, what is gone."""

from collections.abc import Iterable
from dataclasses import replace

from fastci.results import Finding, PastFinding, Run
from fastci.verdict.coverage import WHOLE


def compare_runs(run: Run, earlier: Run) -> Run:
    """The run with the status of each finding, and what the earlier one had besides.

    Findings are the same when their fingerprints are. One that is missing now is fixed only if this run
    tested the type at its point; else nothing is known of it.
    """
    before = {finding.fingerprint: finding for finding in (*earlier.findings, *earlier.accepted)}
    now = {finding.fingerprint for finding in (*run.findings, *run.accepted)}
    tested = _tested(run)
    return replace(
        run,
        findings=[_with_status(finding, before) for finding in run.findings],
        accepted=[_with_status(finding, before) for finding in run.accepted],
        past=[
            _past(finding, fixed=_place(finding) in tested)
            for fingerprint, finding in before.items()
            if fingerprint not in now
        ],
        compared_with=earlier.name or earlier.id,
    )


def _with_status(finding: Finding, before: Iterable[str]) -> Finding:
    return replace(finding, status="unchanged" if finding.fingerprint in before else "new")


_Place = tuple[str, str, str, str]


def _place(finding: Finding) -> _Place:
    return (finding.place.method, finding.route, finding.point or WHOLE, finding.type)


def _tested(run: Run) -> set[_Place]:
    return {
        (check.method, check.route, row.point, row.type)
        for check in run.checks
        if check.state in ("passed", "failed")
        for row in check.coverage
        if row.state == "tested"
    }


def _past(finding: Finding, *, fixed: bool) -> PastFinding:
    return PastFinding(
        fingerprint=finding.fingerprint,
        state="fixed" if fixed else "untested",
        type=finding.type,
        threat=finding.threat,
        title=finding.title,
        method=finding.place.method,
        route=finding.route,
        point=finding.point,
    )

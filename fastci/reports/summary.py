"""What every report says in the same words: the verdict, the counts, the order of the findings."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fastci.coverage import POINT_STATES, WHOLE, coverage_of, share_of, states_of
from fastci.reports.plain import count
from fastci.results import BaselineCheck, CheckState, Confidence, Finding, PointState, Run, Severity

Tone = Literal["failed", "passed", "unsure"]

SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")

TYPES = {
    "*": "All types",
    "anomaly": "Anomaly",
    "auth": "Authentication bypass",
    "cors": "Cross-origin sharing",
    "crlf": "Header injection",
    "csrf": "Cross-site request forgery",
    "idor": "Foreign object reference",
    "info": "Information exposure",
    "ldapi": "LDAP injection",
    "nosqli": "NoSQL injection",
    "ptrav": "Path traversal",
    "rce": "Command execution",
    "redir": "Open redirect",
    "sqli": "SQL injection",
    "ssrf": "Server-side request forgery",
    "ssti": "Template injection",
    "xpathi": "XPath injection",
    "xss": "Cross-site scripting",
    "xxe": "XML external entity",
}
"""Short names of FAST's vulnerability types; a type without one is called by its code."""

CONFIDENCES: dict[Confidence, str] = {
    "confirmed": "shown twice with fresh markers, absent from the control",
    "firm": "shown once, absent from the control",
    "tentative": "an indication, worth a look",
}

WORDS: dict[CheckState, str] = {
    "passed": "PASSED",
    "failed": "FAILED",
    "tech_failed": "STOPPED",
    "interrupted": "STOPPED",
    "waiting": "STOPPED",
    "running": "STOPPED",
}
"""FAST's three words for how the check of a baseline ended."""


def type_name(code: str) -> str:
    return TYPES.get(code, code)


def point_name(point: str) -> str:
    """The point as it is shown."""
    return "whole request" if point == WHOLE else point


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The verdict of a run. `detail` says what the headline leaves open, empty where nothing is.

    `points` counts the cells of the coverage matrix by their state.
    """

    tone: Tone
    headline: str
    detail: str
    severities: dict[Severity, int]
    types: dict[str, int]
    points: dict[PointState, int]

    @property
    def covered(self) -> float:
        """Share of the pairs of point and type that were tested, of those that could have been; 0..1."""
        return share_of(self.points)


def summarize(run: Run) -> Summary:
    severities = Counter(finding.severity for finding in run.findings)
    types = Counter(finding.type for finding in run.findings)
    points = states_of(coverage_of(run))
    tone, headline = _verdict(run)
    return Summary(
        tone=tone,
        headline=headline,
        detail=_reservation(run),
        severities={severity: severities[severity] for severity in SEVERITIES},
        types=dict(sorted(types.items(), key=lambda item: (-item[1], item[0]))),
        points={state: points[state] for state in POINT_STATES},
    )


def _verdict(run: Run) -> tuple[Tone, str]:
    if run.findings:
        return "failed", count(len(run.findings), "vulnerability", "vulnerabilities") + " found"
    if not run.checks:
        return "unsure", "Nothing was tested"
    if run.state == "passed" and not _untested(run):
        return "passed", "No vulnerability found"
    return "unsure", "Nothing found in what could be tested"


def _untested(run: Run) -> int:
    return sum(check.state not in ("passed", "failed") for check in run.checks)


def _reservation(run: Run) -> str:
    sentences = []
    if not run.checks:
        sentences.append("The run holds no baseline.")
    failed = run.count("tech_failed")
    stopped = _untested(run) - failed
    if not run.complete:
        sentences.append("The run was cut short: what it found holds, its silence does not.")
    if failed:
        sentences.append(f"{_baselines(failed)} could not be tested for technical reasons.")
    if stopped:
        sentences.append(f"{_baselines(stopped)} did not get to an end.")
    if not run.findings and run.checks and run.state != "passed" and not sentences:
        sentences.append(f"The run ended as {run.state}.")
    return " ".join(sentences)


def _baselines(number: int) -> str:
    return count(number, "baseline")


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; the same order for the same findings, whatever order they were found in."""
    return sorted(findings, key=lambda f: (-f.threat, f.type, f.route, f.point, f.place.method, f.id))


def reached_by(finding: Finding) -> list[str]:
    """The functional tests that reach the flaw, each once, the one of the evidence first."""
    return list(dict.fromkeys(place.test for place in finding.places if place.test))


def failures(checks: Iterable[BaselineCheck]) -> dict[str, list[BaselineCheck]]:
    """Checks that ended for a technical reason, by that reason, the commonest first."""
    groups: dict[str, list[BaselineCheck]] = {}
    for check in checks:
        if check.state == "tech_failed" or check.error:
            groups.setdefault(check.error or "no reason was recorded", []).append(check)
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))

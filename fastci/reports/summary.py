"""What every report says in the same words: the verdict, the counts, the order of the findings."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fastci.reports.plain import count
from fastci.results import (
    Acceptance,
    BaselineCheck,
    CheckState,
    Confidence,
    Finding,
    PointState,
    Run,
    Severity,
)
from fastci.verdict.coverage import POINT_STATES, WHOLE, RouteCoverage, share_of, states_of

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
    return "whole request" if point in ("", WHOLE) else point


_SEEN = {
    "websocket": "connection switched to WebSocket",
    "upgrade": "connection switched to another protocol",
    "http2": "connection of HTTP/2 alone, as gRPC is, passed through untouched",
    "untouched": "connection passed through untouched, as FAST_TUNNEL_HOSTS asks",
    "tunnel": "connection passed through untouched: neither HTTP/1.1 nor TLS that can be looked into",
    "filtered": "exchange with a host that ALLOWED_HOSTS leaves out",
    "upstream-failed": "exchange to which the target gave no answer",
    "client-left": "exchange that the client left before its end",
    "tls-rejected": "connection of a client that did not trust the certificate",
    "tls-to-proxy": "connection that spoke TLS to the proxy itself",
    "bad-request": "request that was no HTTP",
    "unauthorized": "request without the credentials of the proxy",
    "address-refused": "request to an address that the proxy refuses",
}
_POSSIBLE = frozenset(_SEEN) - {"websocket", "upgrade", "http2", "untouched", "tunnel"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What passed the recorder without being recorded. `possible`: recorded, it could have been tested."""

    number: int
    what: str
    host: str
    possible: bool


def seen_in_words(run: Run) -> list[Seen]:
    """What the recorder counted (`kind host` in `Run.seen`); an unknown kind is told as it is."""
    rows = []
    for name, number in sorted(run.seen.items()):
        kind, _, host = name.partition(" ")
        what, host = (_SEEN[kind], host) if kind in _SEEN else (name, "")
        rows.append(Seen(number=number, what=what, host=host, possible=kind in _POSSIBLE))
    return rows


def acceptance_in_words(entry: Acceptance) -> str:
    """`behind the VPN (team-shop, until 2026-12-31)`."""
    until = f"until {entry.expires}" if entry.expires else "for good"
    return f"{entry.reason} ({entry.owner}, {until})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The verdict of a run. `detail` says what the headline leaves open, empty where nothing is.

    `decision` is the sentence of the gate, with the rule that decided; empty for a run that was not judged.
    `changes` counts against the earlier run, empty without one. `points` counts the cells of the coverage
    matrix by their state.
    """

    tone: Tone
    headline: str
    detail: str
    decision: str
    changes: dict[str, int]
    severities: dict[Severity, int]
    types: dict[str, int]
    points: dict[PointState, int]

    @property
    def covered(self) -> float:
        """Share of the pairs of point and type that were tested, of those that could have been; 0..1."""
        return share_of(self.points)


def summarize(run: Run, routes: Iterable[RouteCoverage]) -> Summary:
    """The verdict of a run; `routes` is its coverage."""
    severities = Counter(finding.severity for finding in run.findings)
    types = Counter(finding.type for finding in run.findings)
    points = states_of(routes)
    tone, headline = _verdict(run)
    return Summary(
        tone=tone,
        headline=headline,
        detail=_reservation(run),
        decision=_decision(run),
        changes=_changes(run),
        severities={severity: severities[severity] for severity in SEVERITIES},
        types=dict(sorted(types.items(), key=lambda item: (-item[1], item[0]))),
        points={state: points[state] for state in POINT_STATES},
    )


def _verdict(run: Run) -> tuple[Tone, str]:
    if run.findings:
        tone: Tone = "unsure" if run.verdict and run.verdict.outcome != "vulnerable" else "failed"
        return tone, count(len(run.findings), "vulnerability", "vulnerabilities") + " found"
    if not run.checks:
        return "unsure", "Nothing was tested"
    if run.state == "passed" and not _untested(run):
        return "passed", "No vulnerability found"
    return "unsure", "Nothing found in what could be tested"


def _decision(run: Run) -> str:
    if run.verdict is None:
        return ""
    return f"The job {'fails' if run.verdict.rule else 'passes'}: {run.verdict.reason}."


def _changes(run: Run) -> dict[str, int]:
    if not run.compared_with:
        return {}
    states = Counter[str](finding.status for finding in run.findings)
    states.update(past.state for past in run.past)
    return {state: states[state] for state in ("new", "unchanged", "fixed", "untested")}


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

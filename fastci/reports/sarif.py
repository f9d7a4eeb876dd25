"""SARIF 2.1.0 for GitHub code scanning: one run, a rule a vulnerability type, a result a finding.

Rules of GitHub (docs: SARIF support for code scanning) that shape it: a location must be a file of the
repository, so a finding stands at the functional test that reaches it; alerts are matched between runs by
`primaryLocationLineHash`, so the finding's own fingerprint is put there; `security-severity` decides the
level shown; at most 25,000 results, 20 tags a rule, 1,000 locations a result, of which fewer are shown, and
10 MB compressed: the more results, the less is told of each message.
"""

import json
import time
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from fastci.reports.exchange import Message, origin_of
from fastci.reports.plain import count, one_line, shorten, text_of, visible
from fastci.reports.source import Source, sources_of
from fastci.reports.summary import (
    CONFIDENCES,
    acceptance_in_words,
    type_name,
)
from fastci.reports.view import Sent, Shown, View
from fastci.results import Confidence, Finding, Severity

JOB_FILE = ".github/workflows/fast.yml"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_HOME = "https://github.com/org/fast-action"
_LEVEL: dict[Severity, str] = {"high": "error", "medium": "warning", "low": "note"}
_PRECISION: dict[Confidence, str] = {"confirmed": "very-high", "firm": "high", "tentative": "medium"}
_MOST_RESULTS = 25_000
_MOST_LOCATIONS = 100
_MOST_TAGS = 10
_BODY, _BODIES = 2_000, 8_000_000
"""Characters of one body at most, and of all of them together."""


def render(view: View, *, job_file: str = "") -> str:
    """The log. `job_file` is where findings without a known test are shown; empty: fast.yml of GitHub."""
    run = view.run
    findings = [*view.findings, *view.accepted][:_MOST_RESULTS]
    room = min(_BODY, _BODIES // (2 * len(findings) or 1))
    by_type: dict[str, list[Finding]] = {}
    for finding in (shown.finding for shown in findings):
        by_type.setdefault(finding.type, []).append(finding)
    rules = sorted(by_type)
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "fast-action",
                        "informationUri": _HOME,
                        **({"version": run.node_version} if run.node_version else {}),
                        "rules": [_rule(code, by_type[code]) for code in rules],
                    }
                },
                "automationDetails": {"id": f"fast/{_segment(run.policy)}/{_segment(run.id)}"},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "Root of the repository."}}},
                "invocations": [_invocation(view, len(findings))],
                "results": [
                    _result(
                        shown,
                        rules.index(shown.finding.type),
                        job_file or JOB_FILE,
                        accepted=number >= len(run.findings),
                        room=room,
                    )
                    for number, shown in enumerate(findings)
                ],
                "properties": {
                    "target": run.target,
                    "testRecord": run.record_id,
                    "complete": run.complete,
                    "verdict": asdict(run.verdict) if run.verdict else None,
                },
            }
        ],
    }
    return json.dumps(log) + "\n"


def security_severity(threat: int) -> str:
    """FAST's threat 1..100 on GitHub's scale, so that both call it low, medium or high; 90 up is critical."""
    low, high = (0.1, 3.9) if threat <= 33 else (4.0, 6.9) if threat <= 66 else (7.0, 10.0)
    return f"{min(max(threat / 10, low), high):.1f}"


def _rule(code: str, findings: list[Finding]) -> dict[str, Any]:
    worst = findings[0]
    remedy = next((f.remediation for f in findings if f.remediation), "")
    cwe = sorted({number for finding in findings for number in finding.cwe})
    confidence = max((f.confidence for f in findings), key=list(_PRECISION).index)
    about = visible(worst.description, lines=True) or f"{type_name(code)}."
    repair = visible(remedy, lines=True)
    links = "".join(
        f"\n- [CWE-{number}](https://cwe.mitre.org/data/definitions/{number}.html)" for number in cwe
    )
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in type_name(code).replace("-", " ").split()),
        "shortDescription": {"text": type_name(code)},
        "fullDescription": {"text": shorten(about, 900)},
        "help": {
            "text": f"{about}\n\n{repair}".strip(),
            "markdown": f"{about}\n\n**Repair**\n\n{repair or 'See the weakness.'}\n{links}\n",
        },
        "helpUri": f"https://cwe.mitre.org/data/definitions/{cwe[0]}.html" if cwe else _HOME,
        "defaultConfiguration": {"level": _LEVEL[worst.severity]},
        "properties": {
            "tags": ["security", *(f"external/cwe/cwe-{n:03}" for n in cwe)][:_MOST_TAGS],
            "precision": _PRECISION[confidence],
            "problem.severity": {"note": "recommendation"}.get(
                _LEVEL[worst.severity], _LEVEL[worst.severity]
            ),
            "security-severity": security_severity(worst.threat),
        },
    }


def _suppression(finding: Finding) -> dict[str, Any]:
    """An accepted finding: reviewed outside of the source, in the file of known findings (SARIF 3.35)."""
    words = visible(acceptance_in_words(finding.acceptance)) if finding.acceptance else ""
    return {"kind": "external", "status": "accepted", "justification": words}


def _result(shown: Shown, rule: int, job_file: str, *, accepted: bool, room: int) -> dict[str, Any]:
    finding = shown.finding
    first, *others = sources_of(finding, job_file)[:_MOST_LOCATIONS]
    evidence = finding.evidence
    return {
        "ruleId": finding.type,
        "ruleIndex": rule,
        "level": _LEVEL[finding.severity],
        "message": {"text": _message(shown)},
        "locations": [{**_location(first), "logicalLocations": [_logical(finding)]}],
        "relatedLocations": [
            {"id": number, "message": {"text": _escaped(one_line(source.test))}, **_location(source)}
            for number, source in enumerate(others, 1)
        ],
        "partialFingerprints": {
            "fastFinding/v1": shown.fingerprint,
            "primaryLocationLineHash": f"{shown.fingerprint[:16]}:{shown.ordinal}",
        },
        **({"baselineState": finding.status} if finding.status else {}),
        **({"suppressions": [_suppression(finding)]} if accepted else {}),
        "webRequest": _request(shown, room),
        "webResponse": _response(shown.attack, room),
        "properties": {
            "threat": finding.threat,
            "confidence": finding.confidence,
            "detect": finding.code,
            "point": finding.point,
            "payload": visible(evidence.payload, lines=True),
            "matched": visible(evidence.matched, lines=True),
            "curl": shown.curl,
            "tests": shown.tests[:_MOST_LOCATIONS],
        },
    }


def _message(shown: Shown) -> str:
    finding, tests = shown.finding, shown.tests
    reached = f" Reached by the test {one_line(tests[0])}." if tests else ""
    more = f" {count(len(tests) - 1, 'more test')} too." if len(tests) > 1 else ""
    return _escaped(
        f"{one_line(finding.title)}: {one_line(finding.place.method, 20)} {one_line(finding.route)}, "
        f"point {one_line(finding.point)}. {finding.confidence.capitalize()}: "
        f"{CONFIDENCES[finding.confidence]}.{reached}{more}"
    )


def _escaped(text: str) -> str:
    """Text that holds neither placeholders nor links (SARIF 3.11.5 and 3.11.6)."""
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace("{}", "*")


def _location(source: Source) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(source.path), "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": source.line},
        }
    }


def _uri(path: str) -> str:
    return quote(path, safe="/-._~@+,=()!$&'*")


def _logical(finding: Finding) -> dict[str, Any]:
    name = f"{one_line(finding.place.method, 20)} {one_line(finding.route)} {one_line(finding.point)}"
    return {"name": one_line(finding.point), "fullyQualifiedName": name, "kind": "member"}


def _request(shown: Shown, room: int) -> dict[str, Any]:
    message = shown.attack.request
    return {
        "method": visible(message.method),
        "target": visible(shown.url.removeprefix(origin_of(shown.finding.place.url))),
        "headers": {visible(name): visible(value) for name, value in message.fields},
        "body": {"text": _body(message, room)},
    }


def _response(sent: Sent, room: int) -> dict[str, Any]:
    message = sent.response
    return {
        "statusCode": sent.exchange.status,
        "reasonPhrase": visible(message.reason),
        "headers": {visible(name): visible(value) for name, value in message.fields},
        "body": {"text": _body(message, room)},
        "noResponseReceived": sent.exchange.status == 0,
    }


def _body(message: Message, room: int) -> str:
    return shorten(visible(text_of(message.readable()[: 4 * room]), lines=True), room)


def _invocation(view: View, shown: int) -> dict[str, Any]:
    run = view.run
    notes = [("note", one_line(message)) for message in run.messages]
    notes += [
        ("error", f"{count(len(checks), 'baseline')} not tested: {one_line(reason)}")
        for reason, checks in view.failures.items()
    ]
    if not run.complete:
        notes.append(("warning", "The run was cut short: it is no proof that nothing else is there."))
    if shown < len(run.findings) + len(run.accepted):
        missing = len(run.findings) + len(run.accepted) - shown
        notes.append(("warning", f"{missing:,} findings were left out: GitHub's limit."))
    return {
        "executionSuccessful": run.complete and run.state in ("passed", "failed"),
        "startTimeUtc": _time(run.start_time),
        "endTimeUtc": _time(max(run.start_time, run.end_time)),
        "toolExecutionNotifications": [
            {"level": level, "message": {"text": _escaped(text)}} for level, text in notes
        ],
    }


def _time(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(moment, 0)))


def _segment(text: str) -> str:
    """One part of the id that GitHub splits at slashes."""
    return visible(text).replace("/", "-") or "-"

"""GitLab's DAST report, schema 15.0.7 of dast-report-format (artifacts:reports:dast, security dashboard).

Limits of the schema: name 255 characters, description 1,048,576, solution 7,000; times without a zone; at
least one identifier, whose first one names the finding together with its location.
"""

import json
import time
import uuid
from typing import Any

from fastci.reports.exchange import origin_of
from fastci.reports.plain import count, one_line, shorten, text_of, visible
from fastci.reports.summary import CONFIDENCES, type_name
from fastci.reports.view import Sent, Shown, View
from fastci.results import Finding, Run

VERSION = "15.0.7"
_NAMESPACE = uuid.UUID("6f0a4c0e-5b0e-5c39-9d0b-3f1d5a8f2c11")
_BODY = 4_000
_MOST_RESOURCES = 5_000
_CONTROL = ("Unmodified", "Recorded")
"""What scanners of GitLab call the control; its page shows the response of the second beside the attack's."""


def render(view: View) -> str:
    run = view.run
    tool = {
        "id": "fast-action",
        "name": "fast-action",
        "version": run.node_version or "unknown",
        "vendor": {"name": "fast-action"},
    }
    report = {
        "version": VERSION,
        "scan": {
            "type": "dast",
            "analyzer": tool,
            "scanner": tool,
            "start_time": _time(run.start_time),
            "end_time": _time(max(run.start_time, run.end_time)),
            "status": "success" if run.complete and run.state in ("passed", "failed") else "failure",
            "scanned_resources": _resources(run),
            "messages": _messages(view),
        },
        "vulnerabilities": [_vulnerability(shown) for shown in view.findings],
    }
    return json.dumps(report) + "\n"


def _time(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(moment, 0)))


def _resources(run: Run) -> list[dict[str, str]]:
    unique = {(check.method, check.url) for check in run.checks if check.method and check.url}
    return [
        {"method": visible(method), "type": "url", "url": visible(url)}
        for method, url in sorted(unique)[:_MOST_RESOURCES]
    ]


def _messages(view: View) -> list[dict[str, str]]:
    run = view.run
    messages = [("info", one_line(message)) for message in run.messages if message]
    messages += [
        ("warn", f"{count(len(checks), 'baseline')} not tested: {one_line(reason)}")
        for reason, checks in view.failures.items()
    ]
    if not run.complete:
        messages.append(("warn", "The run was cut short: it is no proof that nothing else is there."))
    return [{"level": level, "value": value} for level, value in messages]


def _vulnerability(shown: Shown) -> dict[str, Any]:
    finding, ordinal = shown.finding, shown.ordinal
    evidence = finding.evidence
    tests = "\n".join(f"- `{one_line(test).replace('`', '')}`" for test in shown.tests[:50])
    description = [
        visible(finding.description, lines=True),
        f"{finding.confidence.capitalize()}: {CONFIDENCES[finding.confidence]}.",
        f"Reached by:\n\n{tests}" if tests else "",
    ]
    supporting = [
        {"name": name, **messages}
        for names, sent in ((_CONTROL, shown.control), (("Confirmation",), shown.confirmation))
        if sent
        for messages in [{"request": _request(shown, sent), "response": _response(sent)}]
        for name in names
    ]
    return {
        "id": str(uuid.uuid5(_NAMESPACE, shown.fingerprint + f"/{ordinal}" * (ordinal > 1))),
        "name": shorten(one_line(finding.title, 200), 200) or type_name(finding.type),
        "description": shorten("\n\n".join(filter(None, description)), 100_000),
        "severity": finding.severity.capitalize(),
        "solution": shorten(visible(finding.remediation, lines=True), 6_900),
        "identifiers": _identifiers(finding),
        "links": [{"url": url} for url in map(_cwe_url, finding.cwe)],
        "location": {
            "hostname": visible(origin_of(finding.place.url)),
            "method": visible(finding.place.method),
            "param": visible(finding.point),
            "path": visible(finding.route) or "/",
        },
        "evidence": {
            "summary": one_line(evidence.matched, 1_000),
            "request": _request(shown, shown.attack),
            "response": _response(shown.attack),
            "supporting_messages": supporting,
        },
        "details": {
            "payload": {"name": "Payload", "type": "code", "value": visible(evidence.payload, lines=True)},
            "curl": {"name": "Reproduce", "type": "code", "lang": "shell", "value": shown.curl},
        },
    }


def _identifiers(finding: Finding) -> list[dict[str, str]]:
    own = {"type": "fast", "name": f"FAST {type_name(finding.type)}", "value": finding.type}
    weaknesses = [
        {"type": "cwe", "name": f"CWE-{number}", "value": str(number), "url": _cwe_url(number)}
        for number in finding.cwe
    ]
    return [own, *weaknesses]


def _cwe_url(number: int) -> str:
    return f"https://cwe.mitre.org/data/definitions/{number}.html"


def _request(shown: Shown, sent: Sent) -> dict[str, Any]:
    message = sent.request
    return {
        "method": visible(message.method) or "-",
        "url": visible(shown.address(sent)) or "-",
        "headers": _headers(message.fields),
        "body": _body(message.readable()),
    }


def _response(sent: Sent) -> dict[str, Any]:
    message = sent.response
    return {
        "status_code": sent.exchange.status,
        "reason_phrase": visible(message.reason),
        "headers": _headers(message.fields),
        "body": _body(message.readable()),
    }


def _headers(fields: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": visible(name), "value": visible(value)} for name, value in fields]


def _body(body: bytes) -> str:
    return shorten(visible(text_of(body[: 4 * _BODY]), lines=True), _BODY)

"""JUnit XML, as Jenkins, GitLab and test-result actions read it: a suite a baseline, a case a point and type.

The element and attribute names are those the Jenkins junit plugin and pytest's xunit2 have in common, plus
`file` and `line` of the functional test (read by GitLab and by publishers of test results).
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from fastci.reports.exchange import attack_url
from fastci.reports.plain import one_line, prose, visible
from fastci.reports.source import source_of
from fastci.reports.summary import acceptance_in_words, ordered, point_name, type_name
from fastci.results import BaselineCheck, Finding, PointCoverage, Run
from fastci.verdict.coverage import WHOLE

_STOPPED = "this baseline did not get to its end"


def render(run: Run) -> str:
    findings = {finding.id: finding for finding in (*ordered(run.findings), *ordered(run.accepted))}
    listed = {name for check in run.checks for name in check.findings}
    strays: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings.values():
        if finding.id not in listed:
            strays[finding.place.baseline].append(finding)
    suites = [
        _Suite(
            run,
            check,
            [findings[name] for name in check.findings if name in findings] + strays.pop(check.baseline, []),
        )
        for check in run.checks
    ]
    for baseline, rest in strays.items():
        place = rest[0].place
        check = BaselineCheck(
            baseline=baseline,
            method=place.method,
            url=place.url,
            route=rest[0].route,
            state="failed",
            test=place.test,
        )
        suites.append(_Suite(run, check, rest))
    totals = {name: sum(suite.counts[name] for suite in suites) for name in _COUNTS}
    head = _attributes({"name": f"fast {run.name}", **totals, "time": f"{run.end_time - run.start_time:.3f}"})
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites{head}>"]
    for suite in suites:
        lines += suite.lines
    return "\n".join([*lines, "</testsuites>", ""])


_COUNTS = ("tests", "failures", "errors", "skipped")


class _Suite:
    """The suite of one baseline: its cases as lines of XML, and how many of them went how."""

    def __init__(self, run: Run, check: BaselineCheck, findings: list[Finding]) -> None:
        self.counts = dict.fromkeys(_COUNTS, 0)
        self._where = _where(check)
        self._accepted = {finding.id for finding in run.accepted}
        self._name = f"{one_line(check.method, 20)} {one_line(check.route or check.url)}"
        cases = list(self._cases(check, findings))
        head = {
            "name": f"{self._name} #{one_line(check.baseline)}",
            **self.counts,
            "time": f"{check.elapsed:.3f}",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(run.start_time, 0))),
            "hostname": run.target,
        }
        self.lines = [f"<testsuite{_attributes(head)}>", *cases, "</testsuite>"]

    def _cases(self, check: BaselineCheck, findings: list[Finding]) -> Iterator[str]:
        found = {(finding.point, finding.type): self._told(finding) for finding in findings}
        for row in check.coverage:
            yield self._case(row.point, row.type, found.pop((row.point, row.type), "") or _outcome(row))
        for (point, kind), told in found.items():
            yield self._case(point, kind, told)
        if check.state == "tech_failed" or check.error:
            yield self._case(
                "baseline", "control", _element("error", check.error or "technical failure", "technical")
            )
        elif check.state not in ("passed", "failed"):
            yield self._case("baseline", "end", _element("skipped", _STOPPED))
        elif not check.coverage and not findings:
            yield self._case("baseline", "end", "")

    def _told(self, finding: Finding) -> str:
        """A failure; a finding that the team accepted is a skipped case, with the reason."""
        if finding.id in self._accepted and finding.acceptance:
            return _element("skipped", f"accepted: {acceptance_in_words(finding.acceptance)}")
        return _failure(finding)

    def _case(self, point: str, kind: str, outcome: str) -> str:
        self.counts["tests"] += 1
        for element, name in (("<failure", "failures"), ("<error", "errors"), ("<skipped", "skipped")):
            self.counts[name] += outcome.startswith(element)
        shown = f"{point_name(point)} {type_name(kind) if kind == WHOLE else kind}"
        head = f" classname={_quoted(self._name)} name={_quoted(shown)}{self._where}"
        return f"<testcase{head}>{outcome}</testcase>" if outcome else f"<testcase{head}/>"


def _where(check: BaselineCheck) -> str:
    source = source_of(check.test)
    return _attributes({"file": source.path, "line": source.line}) if source else ""


def _outcome(row: PointCoverage) -> str:
    if row.state == "failed":
        return _element("error", row.reason or "technical failure", "technical")
    if row.state == "tested":
        return ""
    return _element("skipped", row.reason or row.state)


def _failure(finding: Finding) -> str:
    evidence = finding.evidence
    facts = {
        "threat": f"{finding.severity.upper()} ({finding.threat}), {finding.confidence}",
        "where": f"{finding.place.method} {attack_url(finding)}",
        "point": finding.point,
        "payload": evidence.payload,
        "seen": evidence.matched,
        "weakness": ", ".join(f"CWE-{number}" for number in finding.cwe),
        "fingerprint": finding.fingerprint,
        "status": finding.status,
        "repair": prose(finding.remediation),
        "reproduce": finding.curl,
    }
    body = "\n".join(f"{name}: {one_line(value, 2_000)}" for name, value in facts.items() if value)
    message = f"{finding.severity.upper()} {finding.title or type_name(finding.type)}"
    return f"<failure message={_quoted(message)} type={_quoted(finding.type)}>{escape(body)}</failure>"


def _element(name: str, message: str, kind: str = "") -> str:
    return f"<{name} message={_quoted(message)}" + (f" type={_quoted(kind)}/>" if kind else "/>")


def _attributes(values: dict[str, object]) -> str:
    return "".join(f" {name}={_quoted(str(value))}" for name, value in values.items())


def _quoted(value: str) -> str:
    """An attribute value; XML 1.0 knows no way to write most control characters, so they are made visible."""
    return quoteattr(visible(value))

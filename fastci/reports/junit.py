"""JUnit XML, as Jenkins, GitLab and test-result actions read it: a suite a baseline, a case a point and type.

The element and attribute names are those the Jenkins junit plugin and pytest's xunit2 have in common, plus
`file` and `line` of the functional test (read by GitLab and by publishers of test results).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Set
from functools import cache
from xml.sax.saxutils import escape, quoteattr

from fastci.reports.plain import one_line, prose, visible
from fastci.reports.source import source_of
from fastci.reports.summary import acceptance_in_words, point_name, type_name
from fastci.reports.view import Shown, View
from fastci.results import BaselineCheck, PointCoverage, Run
from fastci.verdict.coverage import WHOLE

_STOPPED = "this baseline did not get to its end"


def render(view: View) -> str:
    run = view.run
    findings = {shown.finding.id: shown for shown in (*view.findings, *view.accepted)}
    accepted = {shown.finding.id for shown in view.accepted}
    listed = {name for check in run.checks for name in check.findings}
    strays: dict[str, list[Shown]] = defaultdict(list)
    for shown in findings.values():
        if shown.finding.id not in listed:
            strays[shown.finding.place.baseline].append(shown)
    suites = []
    quoted = cache(_quoted)  # a few points, types and reasons stand in all the cases
    for check in run.checks:
        own = [findings[name] for name in check.findings if name in findings]
        suites.append(_Suite(run, check, own + strays.pop(check.baseline, []), accepted, quoted))
    for baseline, rest in strays.items():
        place = rest[0].finding.place
        check = BaselineCheck(
            baseline=baseline,
            method=place.method,
            url=place.url,
            route=rest[0].finding.route,
            state="failed",
            test=place.test,
        )
        suites.append(_Suite(run, check, rest, accepted, quoted))
    totals = {name: sum(suite.counts[name] for suite in suites) for name in _COUNTS}
    head = _attributes({"name": f"fast {run.name}", **totals, "time": f"{run.end_time - run.start_time:.3f}"})
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites{head}>"]
    for suite in suites:
        lines += suite.lines
    return "\n".join([*lines, "</testsuites>", ""])


_COUNTS = ("tests", "failures", "errors", "skipped")
_COUNTED = {"f": "failures", "e": "errors", "s": "skipped"}
"""What the elements failure, error and skipped are counted as, by their first letter."""


class _Suite:
    """The suite of one baseline: its cases as lines of XML, and how many of them went how."""

    def __init__(
        self,
        run: Run,
        check: BaselineCheck,
        findings: list[Shown],
        accepted: Set[str],
        quoted: Callable[[str], str],
    ) -> None:
        self.counts = dict.fromkeys(_COUNTS, 0)
        self._accepted = accepted
        self._quoted = quoted
        name = f"{one_line(check.method, 20)} {one_line(check.route or check.url)}"
        self._before = f"<testcase classname={_quoted(name)} name="
        self._after = _where(check)
        cases = list(self._cases(check, findings))
        head = {
            "name": f"{name} #{one_line(check.baseline)}",
            **self.counts,
            "time": f"{check.elapsed:.3f}",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(max(run.start_time, 0))),
            "hostname": run.target,
        }
        self.lines = [f"<testsuite{_attributes(head)}>", *cases, "</testsuite>"]

    def _cases(self, check: BaselineCheck, findings: list[Shown]) -> Iterator[str]:
        found = {(shown.finding.point, shown.finding.type): self._told(shown) for shown in findings}
        for row in check.coverage:
            told = found.pop((row.point, row.type), "") or self._outcome(row)
            yield self._case(row.point, row.type, told)
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

    def _told(self, shown: Shown) -> str:
        """A failure; a finding that the team accepted is a skipped case, with the reason."""
        finding = shown.finding
        if finding.id in self._accepted and finding.acceptance:
            return _element("skipped", f"accepted: {acceptance_in_words(finding.acceptance)}")
        return _failure(shown)

    def _outcome(self, row: PointCoverage) -> str:
        if row.state == "tested":
            return ""
        if row.state == "failed":
            return f'<error message={self._quoted(row.reason or "technical failure")} type="technical"/>'
        return f"<skipped message={self._quoted(row.reason or row.state)}/>"

    def _case(self, point: str, kind: str, outcome: str) -> str:
        self.counts["tests"] += 1
        if outcome:
            self.counts[_COUNTED[outcome[1]]] += 1
        shown = f"{point_name(point)} {type_name(kind) if kind == WHOLE else kind}"
        head = f"{self._before}{self._quoted(shown)}{self._after}"
        return f"{head}>{outcome}</testcase>" if outcome else f"{head}/>"


def _where(check: BaselineCheck) -> str:
    source = source_of(check.test)
    return _attributes({"file": source.path, "line": source.line}) if source else ""


def _failure(shown: Shown) -> str:
    finding = shown.finding
    evidence = finding.evidence
    facts = {
        "threat": f"{finding.severity.upper()} ({finding.threat}), {finding.confidence}",
        "where": f"{finding.place.method} {shown.url}",
        "point": finding.point,
        "payload": evidence.payload,
        "seen": evidence.matched,
        "weakness": ", ".join(f"CWE-{number}" for number in finding.cwe),
        "fingerprint": shown.fingerprint,
        "status": finding.status,
        "repair": prose(finding.remediation),
        "reproduce": shown.curl,
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

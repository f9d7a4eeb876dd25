"""The summary for a job page or a merge request: GitHub's job summary, a GitLab note, a Jenkins description.

GitHub takes 1 MiB a summary; this stays far below. Whatever an application answered stands in code spans,
where no forge interprets markup, mentions or references (CommonMark 6.1).
"""

import re
from collections.abc import Iterator
from itertools import chain

from fastci.reports.plain import count, duration, one_line, prose, shorten, visible
from fastci.reports.summary import acceptance_in_words, seen_in_words, type_name
from fastci.reports.view import Shown, View
from fastci.results import Run
from fastci.verdict.coverage import POINT_STATES

_SIGN = {"failed": "❌", "passed": "✅", "unsure": "⚠️"}
_LEVEL = {"high": "🔴 HIGH", "medium": "🟠 MEDIUM", "low": "🟡 LOW"}
_NEW = {"new": " 🆕", "unchanged": "", "": ""}
_MOST_ROWS = 50
_MOST_DETAILS = 20
_MARKUP = re.compile(r"[^\w\s,./'\"-]|_|(?<=www)\.", re.ASCII)


def render(view: View) -> str:
    parts = (_head(view), _findings(view), _others(view), _not_tested(view), _coverage(view))
    return "\n".join([*chain(*parts), *_timeline(view.run), ""])


def _head(view: View) -> Iterator[str]:
    run, summary = view.run, view.summary
    yield f"## {_SIGN[summary.tone]} FAST: {summary.headline}"
    yield ""
    if summary.detail:
        yield f"> {summary.detail}"
        yield ""
    if summary.decision:
        yield f"**{_text(summary.decision)}**"
        yield ""
    stopped = len(run.checks) - run.count("passed") - run.count("failed")
    yield "| | |"
    yield "|---|---|"
    yield f"| Test run | {_code(run.name)} {_code(run.id)}, record {_code(run.record_id)} |"
    yield f"| Target | {_code(run.target)}, policy {_code(run.policy)} |"
    yield (
        f"| Baselines | {count(len(run.checks), 'baseline')}: {run.count('passed'):,} passed, "
        f"{run.count('failed'):,} failed, {stopped:,} stopped |"
    )
    yield f"| Threats | {', '.join(f'{n:,} {name.upper()}' for name, n in summary.severities.items())} |"
    if run.accepted:
        yield f"| Accepted | {count(len(run.accepted), 'known finding')}, not counted |"
    if summary.changes:
        numbers = ", ".join(f"{number:,} {state}" for state, number in summary.changes.items())
        yield f"| Since {_code(run.compared_with)} | {numbers} |"
    yield f"| Tested | {summary.covered:.0%} of point x type, {count(run.sent_requests, 'request')} |"
    yield f"| Took | {duration(run.end_time - run.start_time)} |"
    yield ""


def _findings(view: View) -> Iterator[str]:
    findings = view.findings
    if not findings:
        return
    yield "| Threat | Type | Request | Point | Functional test |"
    yield "|---|---|---|---|---|"
    for shown in findings[:_MOST_ROWS]:
        finding, tests = shown.finding, shown.tests
        more = f" +{len(tests) - 1}" if len(tests) > 1 else ""
        yield (
            f"| {_LEVEL[finding.severity]}{_NEW[finding.status]} | {_text(type_name(finding.type))} "
            f"| {_code(f'{finding.place.method} {finding.route}')} | {_code(finding.point)} "
            f"| {_code(tests[0]) if tests else ''}{more} |"
        )
    if len(findings) > _MOST_ROWS:
        yield ""
        yield f"{len(findings) - _MOST_ROWS:,} more are in the HTML and JSON reports."
    yield ""
    for shown in findings[:_MOST_DETAILS]:
        yield from _details(shown)


def _details(shown: Shown) -> Iterator[str]:
    finding = shown.finding
    title = _text(one_line(finding.title))
    yield f"<details><summary>{_LEVEL[finding.severity]} {title}</summary>"
    yield ""
    if finding.description:
        yield _text(prose(finding.description, 500))
        yield ""
    yield f"- request {_code(f'{finding.place.method} {shown.url}', 500)}"
    yield f"- payload {_code(finding.evidence.payload, 500)}"
    yield f"- seen {_code(finding.evidence.matched, 300)}"
    if finding.cwe:
        yield "- " + ", ".join(
            f"[CWE-{n}](https://cwe.mitre.org/data/definitions/{n}.html)" for n in finding.cwe
        )
    if finding.remediation:
        yield f"- repair: {_text(prose(finding.remediation, 500))}"
    yield ""
    fence = "`" * max(3, _longest_run(shown.curl) + 1)
    yield f"{fence}sh"
    yield visible(shorten(shown.curl, 4_000))
    yield fence
    yield ""
    yield "</details>"
    yield ""


def _others(view: View) -> Iterator[str]:
    """What does not count, folded away: accepted findings, and those of the earlier run that are gone."""
    run = view.run
    if not (run.accepted or run.past or run.absent):
        return
    numbers = {"accepted": len(run.accepted), "gone": len(run.past), "known, but absent": len(run.absent)}
    title = ", ".join(f"{number:,} {word}" for word, number in numbers.items() if number)
    yield f"<details><summary>Not counted: {title}</summary>"
    yield ""
    for shown in view.accepted[:_MOST_ROWS]:
        finding = shown.finding
        entry = finding.acceptance
        where = _code(f"{finding.place.method} {finding.route}, {finding.point}")
        yield f"- accepted: {_text(one_line(finding.title))} {where}: " + _text(
            acceptance_in_words(entry) if entry else ""
        )
    for past in run.past[:_MOST_ROWS]:
        state = "fixed" if past.state == "fixed" else "not tested this time"
        where = _code(f"{past.method} {past.route}, {past.point}")
        yield f"- {state}: {_text(one_line(past.title))} {where}"
    for entry in run.absent[:_MOST_ROWS]:
        where = _code(entry.where or entry.fingerprint)
        yield f"- known, but absent: {where}: {_text(one_line(entry.reason))}"
    yield ""
    yield "</details>"
    yield ""


def _not_tested(view: View) -> Iterator[str]:
    run = view.run
    for reason, checks in view.failures.items():
        yield f"- ⚠️ {count(len(checks), 'baseline')} not tested: {_code(reason)}"
    for seen in seen_in_words(run):
        host = f" {_code(seen.host)}" if seen.host else ""
        yield f"- not recorded: {seen.number:,} × {_code(seen.what)}{host}"
    for message in run.messages:
        yield f"- {_code(message)}"


def _coverage(view: View) -> Iterator[str]:
    """What was tested of each route, folded away."""
    routes = view.routes
    if not routes:
        return
    yield ""
    yield f"<details><summary>Coverage of {count(len(routes), 'route')}</summary>"
    yield ""
    yield "| Route | Points | Tested | Failed | Skipped | Impossible | Requests |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for route in routes[:_MOST_ROWS]:
        numbers = [len(route.points), *(route.states[state] for state in POINT_STATES)]
        numbers.append(sum(check.requests for check in route.checks))
        cells = " | ".join(f"{number:,}" for number in numbers)
        yield f"| {_code(f'{route.method} {route.route}')} | {cells} |"
    if len(routes) > _MOST_ROWS:
        yield ""
        yield f"{len(routes) - _MOST_ROWS:,} more are in the HTML and JSON reports."
    yield ""
    yield "</details>"


def _timeline(run: Run) -> Iterator[str]:
    """The steps of the job, folded away."""
    if not run.steps:
        return
    total = duration(sum(step.seconds for step in run.steps))
    yield ""
    yield f"<details><summary>Timeline: {total}</summary>"
    yield ""
    yield "| Step | State | Took | |"
    yield "|---|---|---:|---|"
    for step in run.steps:
        yield f"| {_text(step.name)} | {step.state} | {duration(step.seconds)} | {_code(step.note)} |"
    yield ""
    yield "</details>"


def _code(text: str, limit: int = 200) -> str:
    """A code span that the text cannot leave, fit for a table cell too."""
    line = one_line(text, limit).strip()
    if not line:
        return ""
    fence = "`" * (_longest_run(line) + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{pad}{line.replace('|', chr(92) + '|')}{pad}{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _text(text: str) -> str:
    """Prose as it is: every sign that could be markup as a character reference (CommonMark 6.2).

    Forges look for mentions and references in the rendered text too: a joiner of no width parts those.
    """
    return _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};" + "&#8203;" * (sign[0] in "@#!"), visible(text))

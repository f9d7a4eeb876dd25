"""What the page of the HTML report draws: bars, strips of squares, and the numbers behind them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from fastci.reports.plain import duration, one_line
from fastci.reports.summary import SEVERITIES, type_name
from fastci.results import Finding, PointState, Run, StepState
from fastci.verdict.coverage import POINT_STATES, WHOLE, RouteCoverage

_BASELINE = re.compile(r"\bbl_\d+(?:\.\d+)?\b")
_MOST_REASONS = 12
_STEP: dict[StepState, str] = {
    "done": "tested",
    "failed": "high",
    "skipped": "skipped",
    "interrupted": "failed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A piece of a bar: its class, how many, where it begins and how long it is, in percent."""

    kind: str
    number: int
    start: float
    length: float
    title: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    code: str
    number: int
    parts: list[Part]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why something was not tested: in which state that left it, and how many cells or baselines it left."""

    kind: PointState
    text: str
    number: int


def bar(code: str, numbers: Mapping[str, int], whole: int) -> Bar:
    parts: list[Part] = []
    start = 0.0
    for kind, number in numbers.items():
        if number:
            length = 100 * number / whole
            parts.append(Part(kind=kind, number=number, start=round(start, 3), length=round(length, 3)))
            start += length
    return Bar(code=code, number=sum(numbers.values()), parts=parts)


def states_bar(states: Mapping[PointState, int]) -> Bar:
    return bar("", {state: states.get(state, 0) for state in POINT_STATES}, sum(states.values()) or 1)


def charts(findings: Sequence[Finding], routes: Sequence[RouteCoverage]) -> dict[str, Any]:
    """Bars of the findings by severity and by type, and of the coverage by type."""
    severities: Counter[str] = Counter(finding.severity for finding in findings)
    by_type: dict[str, Counter[str]] = {}
    for finding in findings:
        by_type.setdefault(finding.type, Counter())[finding.severity] += 1
    covered: dict[str, Counter[str]] = {}
    for route in routes:
        for cell in route.cells.values():
            if cell.type != WHOLE:
                covered.setdefault(cell.type, Counter())[cell.state] += 1
    longest = max((counter.total() for counter in by_type.values()), default=1)
    types = [bar(code, {s: n[s] for s in SEVERITIES}, longest) for code, n in by_type.items()]
    coverage = [bar(code, {s: n[s] for s in POINT_STATES}, n.total()) for code, n in covered.items()]
    return {
        "severities": bar("", {s: severities[s] for s in SEVERITIES}, len(findings) or 1),
        "types": sorted(types, key=lambda one: (-one.number, one.code)),
        "coverage": sorted(coverage, key=lambda one: one.code),
    }


def time_parts(run: Run) -> list[Part]:
    """The steps of the job as shares of its time; those too short to be seen are left out."""
    total = sum(step.seconds for step in run.steps)
    parts: list[Part] = []
    start = 0.0
    for step in run.steps:
        length = 100 * step.seconds / total if total else 0.0
        if length >= 0.3:
            title = f"{one_line(step.name, 60)}: {duration(step.seconds)}"
            part = Part(
                kind=_STEP[step.state],
                number=0,
                start=round(start, 3),
                length=round(max(length - 0.2, 0.1), 3),
                title=title,
            )
            parts.append(part)
        start += length
    return parts


def kinds_of(routes: Sequence[RouteCoverage]) -> list[str]:
    """The vulnerability types that the matrix has columns for."""
    return sorted({kind for route in routes for _, kind in route.cells if kind != WHOLE})


def strip(route: RouteCoverage, kinds: Sequence[str]) -> Markup:
    """A square for each type: red where something was found, else the worst that kept it from a test."""
    counts: dict[str, Counter[PointState]] = {}
    for (_, kind), cell in route.cells.items():
        counts.setdefault(kind, Counter())[cell.state] += 1
    found = {kind for _, kind in route.findings}
    squares = []
    for number, kind in enumerate(kinds):
        states = counts.get(kind)
        if states is None:
            continue
        shade = "high" if kind in found else _shade(states)
        words = ", ".join(f"{states[state]} {state}" for state in POINT_STATES if states[state])
        told = f"{escape(type_name(kind))}: {'found; ' if kind in found else ''}{words}"
        x = 16 * number + 1
        square = f'<rect class="fill-{shade}" x="{x}" y="1" width="13" height="12" rx="3">'
        squares.append(f"{square}<title>{told}</title></rect>")
    return Markup("".join(squares))


def _shade(states: Counter[PointState]) -> str:
    if states["failed"]:
        return "failed"
    if states["tested"]:
        return "tested" if states["tested"] > states["skipped"] else "partly"
    return "skipped" if states["skipped"] else "impossible"


def reason_text(reason: str) -> str:
    """A reason without the names that make each one its own: `duplicate of bl_7` is one of a kind."""
    return _BASELINE.sub("another baseline", reason)


def reasons_of(routes: Sequence[RouteCoverage]) -> list[Reason]:
    """Why points and whole baselines were not tested, the commonest first."""
    numbers: Counter[tuple[PointState, str]] = Counter()
    for route in routes:
        for (point, _), cell in route.cells.items():
            if cell.state != "tested" and cell.reason and point != WHOLE:
                numbers[cell.state, reason_text(cell.reason)] += 1
        for check in route.checks:
            whole = next((row for row in check.coverage if (row.point, row.type) == (WHOLE, WHOLE)), None)
            if whole and whole.reason and not check.requests:
                numbers["failed" if check.error else whole.state, reason_text(whole.reason)] += 1
    common = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    return [Reason(kind=kind, text=text, number=number) for (kind, text), number in common[:_MOST_REASONS]]

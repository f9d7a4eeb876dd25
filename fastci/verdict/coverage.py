"""The security coverage matrix: route x point x type, over all baselines of a route."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fastci.results import BaselineCheck, PointCoverage, PointState, Run

POINT_STATES: tuple[PointState, ...] = ("tested", "failed", "skipped", "impossible")
"""The best first: of several baselines of one route the best state of a point counts."""

Cell = tuple[str, str]
"""A point and a vulnerability type."""

WHOLE = "*"
"""In place of a point: the request as a whole; in place of a type: all types."""


@dataclass(kw_only=True, slots=True)
class RouteCoverage:
    """One method and route: its baselines, what happened at each point for each type, the findings' ids.

    `notes` says by baseline what was said of it as a whole, as that it is a duplicate.
    """

    method: str
    route: str
    checks: list[BaselineCheck] = field(default_factory=list)
    cells: dict[Cell, PointCoverage] = field(default_factory=dict)
    findings: dict[Cell, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def states(self) -> Counter[PointState]:
        return Counter(cell.state for cell in self.cells.values())

    @property
    def points(self) -> list[str]:
        """The points of the route, in the order of the requests."""
        return list(dict.fromkeys(point for point, _ in self.cells))


def coverage_of(run: Run) -> list[RouteCoverage]:
    """The matrix, routes with findings first. A finding's own cell is there even where no row says so."""
    routes: dict[tuple[str, str], RouteCoverage] = {}

    def route_of(method: str, route: str) -> RouteCoverage:
        key = (method, route)
        return routes.get(key) or routes.setdefault(key, RouteCoverage(method=method, route=route))

    for check in run.checks:
        entry = route_of(check.method, check.route)
        entry.checks.append(check)
        for row in check.coverage:
            cell = (row.point, row.type)
            if cell == (WHOLE, WHOLE):
                entry.notes[check.baseline] = row.reason
            known = entry.cells.get(cell)
            entry.cells[cell] = _together(known, row) if known else row
    for finding in run.findings:
        entry = route_of(finding.place.method, finding.route)
        cell = (finding.point, finding.type)
        entry.findings.setdefault(cell, finding.id)
        entry.cells.setdefault(cell, PointCoverage(point=finding.point, type=finding.type, state="tested"))
    for entry in routes.values():
        if len(entry.cells) > 1:
            entry.cells.pop((WHOLE, WHOLE), None)
    return sorted(routes.values(), key=lambda entry: (-len(entry.findings), entry.route, entry.method))


def share_of(states: Mapping[PointState, int]) -> float:
    """Share of the cells that were tested, of those that could have been; 0..1."""
    possible = sum(states.values()) - states.get("impossible", 0)
    return states.get("tested", 0) / possible if possible else 0.0


def states_of(routes: Iterable[RouteCoverage]) -> Counter[PointState]:
    """How many cells of these routes are in each state."""
    states: Counter[PointState] = Counter()
    for route in routes:
        states.update(route.states)
    return states


def _together(one: PointCoverage, other: PointCoverage) -> PointCoverage:
    best = min(one, other, key=lambda row: POINT_STATES.index(row.state))
    return replace(best, requests=one.requests + other.requests)

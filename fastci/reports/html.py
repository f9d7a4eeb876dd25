"""The HTML report: one file that needs nothing else, safe to open whatever the tested application answered.

The page is made by the template with autoescape; evidence and coverage lie in JSON blocks and are rendered by
the page's one script as text nodes when they are opened. A Content-Security-Policy allows that script and
that style sheet by their hashes and nothing else, so even a flaw in this could not run what evidence holds.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from fastci.coverage import POINT_STATES, WHOLE, RouteCoverage, coverage_of
from fastci.reports.exchange import attack_url, read_message
from fastci.reports.plain import clock, count, duration, one_line, text_of, visible
from fastci.reports.proof import proof_of
from fastci.reports.summary import (
    CONFIDENCES,
    SEVERITIES,
    WORDS,
    failures,
    ordered,
    point_name,
    reached_by,
    summarize,
    type_name,
)
from fastci.results import Exchange, Finding, Run

_EVIDENCE_ROOM = 16_000_000
_LEAST, _MOST = 1_500, 64_000
"""Bytes of all evidence in the page, and the least and most of one message, so that any run opens at once."""


def render(run: Run) -> str:
    findings = ordered(run.findings)
    routes = coverage_of(run)
    numbers = {finding.id: number for number, finding in enumerate(findings)}
    style = _asset("html.css.j2")
    script = _asset("html.evidence.js.j2") + _asset("html.page.js.j2")
    room = min(max(_EVIDENCE_ROOM // (6 * len(findings) or 1), _LEAST), _MOST)
    return _template().render(
        run=run,
        summary=summarize(run),
        findings=findings,
        evidence=[_block(_evidence(finding, room)) for finding in findings],
        charts=_charts(findings, routes),
        routes=routes,
        coverage=_block(_coverage(routes, numbers)),
        failures=failures(run.checks),
        words=Counter(WORDS[check.state] for check in run.checks),
        route_bar=lambda states: _bar("", {s: states[s] for s in POINT_STATES}, states.total() or 1),
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )  # fmt: skip


@cache
def _asset(name: str) -> str:
    """A part of the page as it is: its bytes are what the policy's hash is made of."""
    return files("fastci.reports").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        variable_start_string="@{",
        variable_end_string="}@",
        block_start_string="@%",
        block_end_string="%@",
        comment_start_string="@#",
        comment_end_string="#@",
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=clock, count=count, duration=duration, line=one_line, visible=visible, type_name=type_name,
        reached_by=reached_by, attack_url=attack_url, grouped=lambda number: f"{number:,}",
    )  # fmt: skip
    environment.globals.update(severities=SEVERITIES, confidences=CONFIDENCES, point_states=POINT_STATES)
    return environment.from_string(_asset("html.j2"))


def _block(data: object) -> Markup:
    """JSON for a script element: pure ASCII, and nothing in it can end or open an element."""
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(text)


# evidence


def _evidence(finding: Finding, room: int) -> dict[str, Any]:
    evidence = finding.evidence
    proof = proof_of(evidence)
    needles = [needle for needle in (proof, evidence.payload) if len(needle) > 1]
    exchanges = {
        "Attack": evidence.attack,
        "Confirmation": evidence.confirmation,
        "Control": evidence.control,
    }
    return {
        "payload": evidence.payload,
        "proof": proof.replace("\r\n", "\n"),
        "exchanges": [
            {
                "name": name,
                "status": exchange.status,
                "elapsed": duration(exchange.elapsed),
                "request": _pieces(exchange.request, needles, room),
                "response": _response(exchange, needles, room),
            }
            for name, exchange in exchanges.items()
            if exchange
        ],
    }


def _response(exchange: Exchange, needles: Sequence[str], room: int) -> list[str | int]:
    message = read_message(exchange.response)
    body = message.readable()
    head = exchange.response[: len(exchange.response) - len(message.body)]
    return _pieces(head + body, needles, room)


def _pieces(data: bytes, needles: Sequence[str], room: int) -> list[str | int]:
    """A message cut to the room: texts, and between them how many bytes are not shown.

    The beginning is kept, and the surroundings of the first needle where that lies behind it.
    """
    if len(data) <= room:
        return [text_of(data)]
    hits = (data.find(needle.encode("utf-8", "surrogatepass")) for needle in needles)
    hit = next((position for position in hits if position >= room // 2), -1)
    if hit < 0:
        return [text_of(data[:room]), len(data) - room]
    first = room // 2
    start = max(first, hit - room // 8)
    end = start + room // 2
    pieces: list[str | int] = [text_of(data[:first])]
    if start > first:
        pieces.append(start - first)
    pieces.append(text_of(data[start:end]))
    if end < len(data):
        pieces.append(len(data) - end)
    return pieces


# coverage


def _coverage(routes: Sequence[RouteCoverage], numbers: Mapping[str, int]) -> dict[str, Any]:
    """The matrix in numbers, as the script reads it: texts once, each cell a row of places in their lists."""
    types = sorted({kind for route in routes for _, kind in route.cells})
    kinds = {kind: number for number, kind in enumerate(types)}
    reasons: dict[str, int] = {}
    states = {state: number for number, state in enumerate(POINT_STATES)}
    packed = []
    for route in routes:
        points = {point: number for number, point in enumerate(route.points)}
        cells = [
            [
                points[point],
                kinds[kind],
                states[cell.state],
                cell.requests,
                reasons.setdefault(cell.reason, len(reasons)),
                numbers[route.findings[point, kind]] if (point, kind) in route.findings else -1,
            ]
            for (point, kind), cell in route.cells.items()
        ]
        checks = [
            [
                check.baseline,
                WORDS[check.state],
                check.test,
                check.error or route.notes.get(check.baseline, ""),
                check.url,
                check.requests,
            ]
            for check in route.checks
        ]
        packed.append({"points": list(map(point_name, points)), "cells": cells, "checks": checks})
    return {
        "types": [["all" if kind == WHOLE else kind, type_name(kind)] for kind in types],
        "reasons": list(reasons),
        "routes": packed,
    }


# charts


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A piece of a bar: its class, how many, where it begins and how long it is, in percent."""

    kind: str
    number: int
    start: float
    length: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bar:
    code: str
    number: int
    parts: list[_Part]


def _bar(code: str, numbers: dict[str, int], whole: int) -> _Bar:
    parts: list[_Part] = []
    start = 0.0
    for kind, number in numbers.items():
        if number:
            length = 100 * number / whole
            parts.append(_Part(kind=kind, number=number, start=round(start, 3), length=round(length, 3)))
            start += length
    return _Bar(code=code, number=sum(numbers.values()), parts=parts)


def _charts(findings: Sequence[Finding], routes: Sequence[RouteCoverage]) -> dict[str, Any]:
    severities: Counter[str] = Counter(finding.severity for finding in findings)
    by_type: dict[str, Counter[str]] = {}
    for finding in findings:
        by_type.setdefault(finding.type, Counter())[finding.severity] += 1
    covered: dict[str, Counter[str]] = {}
    for route in routes:
        for cell in route.cells.values():
            covered.setdefault(cell.type, Counter())[cell.state] += 1
    longest = max((counter.total() for counter in by_type.values()), default=1)
    types = [_bar(code, {s: n[s] for s in SEVERITIES}, longest) for code, n in by_type.items()]
    coverage = [_bar(code, {s: n[s] for s in POINT_STATES}, n.total()) for code, n in covered.items()]
    return {
        "severities": _bar("", {s: severities[s] for s in SEVERITIES}, len(findings) or 1),
        "types": sorted(types, key=lambda bar: (-bar.number, bar.code)),
        "coverage": sorted(coverage, key=lambda bar: bar.code),
    }

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
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from fastci.reports.charts import (
    charts,
    kinds_of,
    reason_text,
    reasons_of,
    states_bar,
    strip,
    time_parts,
)
from fastci.reports.plain import clock, count, duration, one_line, text_of, visible
from fastci.reports.point_words import in_words
from fastci.reports.summary import (
    CONFIDENCES,
    SEVERITIES,
    WORDS,
    acceptance_in_words,
    point_name,
    seen_in_words,
    type_name,
)
from fastci.reports.view import Sent, Shown, View
from fastci.verdict.coverage import POINT_STATES, WHOLE, RouteCoverage

if TYPE_CHECKING:
    from jinja2 import Template

_EVIDENCE_ROOM = 16_000_000
_LEAST, _MOST = 1_500, 64_000
"""Bytes of all evidence in the page, and the least and most of one message, so that any run opens at once."""


def render(view: View) -> str:
    run, routes = view.run, view.routes
    listed = [*view.findings, *view.accepted]
    reasons = reasons_of(routes)
    kinds = kinds_of(routes)
    numbers = {shown.finding.id: number for number, shown in enumerate(listed)}
    style = _asset("html.css.j2")
    script = _asset("html.evidence.js.j2") + _asset("html.page.js.j2")
    room = min(max(_EVIDENCE_ROOM // (6 * len(listed) or 1), _LEAST), _MOST)
    return _template().render(
        run=run,
        summary=view.summary,
        findings=view.findings,
        listed=listed,
        evidence=[_block(_evidence(shown, room)) for shown in listed],
        charts=charts(run.findings, routes),
        time_parts=time_parts(run),
        routes=routes,
        kinds=kinds,
        strips=[strip(route, kinds) for route in routes],
        reasons=reasons,
        seen=seen_in_words(run),
        coverage=_block(_coverage(routes, numbers, [reason.text for reason in reasons])),
        failures=view.failures,
        words=Counter(WORDS[check.state] for check in run.checks),
        route_bar=states_bar,
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


def get_ready() -> None:
    """Make the page's template now, which takes longer than the page."""
    _template()


@cache
def _template() -> "Template":
    # Only who writes the page pays for the import.
    from jinja2 import Environment, StrictUndefined

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
        grouped=lambda number: f"{number:,}",
        in_words=in_words, acceptance=acceptance_in_words,
    )  # fmt: skip
    environment.globals.update(severities=SEVERITIES, confidences=CONFIDENCES, point_states=POINT_STATES)
    return environment.from_string(_asset("html.j2"))


def _block(data: object) -> Markup:
    """JSON for a script element: pure ASCII, and nothing in it can end or open an element."""
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(text)


# evidence


def _evidence(shown: Shown, room: int) -> dict[str, Any]:
    evidence, proof = shown.finding.evidence, shown.proof
    needles = [needle for needle in (proof, evidence.payload) if len(needle) > 1]
    exchanges = {"Attack": shown.attack, "Confirmation": shown.confirmation, "Control": shown.control}
    return {
        "payload": evidence.payload,
        "proof": proof.replace("\r\n", "\n"),
        "exchanges": [
            {
                "name": name,
                "status": sent.exchange.status,
                "elapsed": duration(sent.exchange.elapsed),
                "request": _pieces(sent.exchange.request, needles, room),
                "response": _response(sent, needles, room),
            }
            for name, sent in exchanges.items()
            if sent
        ],
    }


def _response(sent: Sent, needles: Sequence[str], room: int) -> list[str | int]:
    message = sent.response
    return _pieces(message.data[: message.body_at] + message.readable(), needles, room)


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


def _coverage(
    routes: Sequence[RouteCoverage], numbers: Mapping[str, int], told: Sequence[str]
) -> dict[str, Any]:
    """The matrix in numbers, as the script reads it: texts once, each cell a row of places in their lists."""
    types = sorted({kind for route in routes for _, kind in route.cells})
    kinds = {kind: number for number, kind in enumerate(types)}
    groups = {text: number for number, text in enumerate(told)}
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
        said = {cell.reason for cell in route.cells.values()} | set(route.notes.values())
        why = sorted({groups[text] for text in map(reason_text, said) if text in groups})
        names = [[in_words(point), point_name(point)] for point in points]
        packed.append({"points": names, "cells": cells, "checks": checks, "why": why})
    return {
        "types": [["all" if kind == WHOLE else kind, type_name(kind)] for kind in types],
        "reasons": list(reasons),
        "routes": packed,
    }

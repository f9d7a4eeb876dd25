"""Findings as runnable tests: each sends the request that proved a flaw and fails while the flaw is there."""

import re
from collections.abc import Iterator
from importlib.resources import files

from fastci.reports.exchange import origin_of
from fastci.reports.plain import count, one_line
from fastci.reports.proof import answer_of
from fastci.reports.summary import type_name
from fastci.reports.view import Shown, View
from fastci.results import Finding

_MOST_EVIDENCE = 300
_MARGIN = 0.7
_SLOW = 2.0
"""Seconds by which an attack must be slower than its control for time to be the evidence."""


def render(view: View) -> str:
    findings = view.findings
    name = one_line(view.run.name).replace("\\", "/").replace('"', "'")
    head = files("fastci.reports").joinpath("repro.py.j2").read_text(encoding="utf-8")
    head = head.replace("@{ name }@", name).replace("@{ number }@", count(len(findings), "finding"))
    return "\n".join([head, *(line for n, shown in enumerate(findings, 1) for line in _test(n, shown))])


def _test(number: int, shown: Shown) -> Iterator[str]:
    finding = shown.finding
    name = re.sub(r"\W+", "_", f"{finding.type}_{finding.point}", flags=re.ASCII).strip("_").lower()
    yield ""
    yield f"def test_{number:04}_{name[:80]}():"
    where = f"{one_line(finding.place.method, 20)} {one_line(finding.route)}, {one_line(finding.point)}"
    yield f"    # {finding.severity.upper()} {type_name(finding.type)}: {where}"
    for test in shown.tests[:3]:
        yield f"    # reached by {one_line(test)}"
    check = _check(shown)
    if not check:
        yield '    pytest.skip("its evidence is not in the answer alone: see the report")'
        yield ""
        return
    yield f"    origin = {origin_of(finding.place.url)!a}"
    yield "    request = ("
    for line in _request(finding).splitlines(keepends=True) or [b""]:
        yield f"        {line!r}"
    yield "    )"
    yield "    status, answer, seconds = send(origin, request)"
    yield f"    assert {check}"
    yield ""


def _request(finding: Finding) -> bytes:
    """The attack without what would compress the answer or keep the connection open."""
    head, separator, body = finding.evidence.attack.request.partition(b"\r\n\r\n")
    lines = re.sub(rb"(?im)^(accept-encoding|connection|keep-alive):[^\r\n]*\r?\n?", b"", head + b"\r\n")
    return lines.rstrip(b"\r\n") + b"\r\nConnection: close" + separator + body


def _check(shown: Shown) -> str:
    """What must hold once the flaw is mended, as an expression; empty when the answer alone cannot tell."""
    evidence = shown.finding.evidence
    if sign := shown.proof or _sign(shown):
        return f"{sign.encode('utf-8', 'surrogateescape')!r} not in answer"
    if evidence.control and evidence.attack.status != evidence.control.status:
        return f"status != {evidence.attack.status}"
    usual = evidence.control.elapsed if evidence.control else 0.0
    if evidence.attack.elapsed - usual >= _SLOW:
        return f"seconds < {usual + (evidence.attack.elapsed - usual) * _MARGIN:.1f}"
    return ""


def _sign(shown: Shown) -> str:
    """A line that only attacks get, where nothing in the answer is known to be the proof; else empty."""
    control = answer_of(shown.control.response if shown.control else None)
    if not control:
        return ""
    usual = set(control.splitlines())
    own = [line.strip() for line in answer_of(shown.attack.response).splitlines() if line not in usual]
    again = answer_of(shown.confirmation.response if shown.confirmation else None)
    lines = [line for line in own if line in again]
    steady = [line for line in lines if 6 <= len(line) <= _MOST_EVIDENCE and not line.startswith(_VOLATILE)]
    return max(steady, key=len, default="")


_VOLATILE = ("Date:", "Set-Cookie:", "ETag:", "Content-Length:", "Last-Modified:", "Expires:")

"""The sample run that the golden reports were made of, and hostile variants of it."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import judged_run

from fastci.results import Run, parse_document

GOLDEN = Path(__file__).parents[2] / "golden" / "reports"

HOSTILE = (
    "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    "\"'`|@someone #12 [link](http://evil.test) {0} ]]> <!-- &amp; $(id) \\ "
    "\x00\x1b[2J\x7f\x85\u202e\u2028\u200b\ufffe\udc80\ud800 é\r\n\t|end"
)
"""Text that breaks out of all it can: HTML, XML, Markdown, shell, terminals, UTF-8, JSON in a page."""


@pytest.fixture
def sample() -> Run:
    return parse_document(json.loads((GOLDEN / "sample.results.json").read_text()), source="sample")


@pytest.fixture
def hostile(sample: Run) -> Run:
    """The sample with hostile text in every place that an application or a user can fill."""
    raw = HOSTILE.encode("utf-8", "surrogatepass")
    findings = [
        replace(
            finding, id=f"{finding.id}{HOSTILE}", title=HOSTILE, description=HOSTILE, point=HOSTILE,
            route="/" + HOSTILE, code=HOSTILE, remediation=HOSTILE,
            evidence=replace(
                finding.evidence, payload=HOSTILE, matched=HOSTILE, notes=[HOSTILE],
                attack=replace(
                    finding.evidence.attack,
                    request=b"GET /" + raw + b" HTTP/1.1\r\nX: " + raw + b"\r\n\r\n" + raw,
                    response=b"HTTP/1.1 200 " + raw + b"\r\n" + raw + b": " + raw + b"\r\n\r\n" + raw,
                ),
            ),
            places=[
                replace(place, url=f"http://{HOSTILE}/", test=HOSTILE, method=f"GET{HOSTILE}")
                for place in finding.places
            ],
        )
        for finding in sample.findings
    ]  # fmt: skip
    checks = [
        replace(
            check, url=f"http://shop.test/{HOSTILE}", route="/" + HOSTILE, method="GET" + HOSTILE,
            test=HOSTILE, error=check.error and HOSTILE,
            coverage=[
                replace(row, point=row.point + HOSTILE, reason=row.reason and HOSTILE)
                for row in check.coverage
            ],
        )
        for check in sample.checks
    ]  # fmt: skip
    return replace(
        sample, name=HOSTILE, description=HOSTILE, target=HOSTILE, record_name=HOSTILE, build_id=HOSTILE,
        policy=HOSTILE, findings=findings, checks=checks, messages=[HOSTILE], seen={HOSTILE: 2},
        node_version=HOSTILE, steps=[replace(step, name=HOSTILE, note=HOSTILE) for step in sample.steps],
    )  # fmt: skip


@pytest.fixture
def judged(sample: Run) -> Run:
    """The sample as a gate left it: a finding accepted, one whose acceptance expired, one new, two gone."""
    return judged_run(sample)


@pytest.fixture
def empty(sample: Run) -> Run:
    return replace(
        sample,
        state="failed",
        complete=False,
        findings=[],
        checks=[],
        seen={},
        messages=[],
        steps=[],
        pace=[],
        end_time=0.0,
    )  # fmt: skip


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare with a golden file; FAST_UPDATE_GOLDEN=1 writes it first, to be read before it is committed."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("FAST_UPDATE_GOLDEN"):
            path.write_text(text)
        assert text == path.read_text()

    return compare


@pytest.fixture
def hostile_text() -> str:
    return HOSTILE

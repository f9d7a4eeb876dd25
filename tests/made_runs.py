"""Runs, checks and findings made to order, for tests of what is done with them."""

import datetime
from dataclasses import replace

from fastci.config import Settings
from fastci.results import (
    Acceptance,
    BaselineCheck,
    Confidence,
    Evidence,
    Exchange,
    Finding,
    Place,
    PointCoverage,
    PointState,
    Run,
    Status,
)
from fastci.verdict.comparison import compare_runs
from fastci.verdict.gate import decide, with_verdict
from fastci.verdict.known import apply_known

_THREAT = {"low": 20, "medium": 50, "high": 90}


def finding(
    severity: str = "high",
    confidence: Confidence = "confirmed",
    status: Status = "",
    point: str = "GET_q_value",
) -> Finding:
    exchange = Exchange(request=b"GET / HTTP/1.1\r\n\r\n", response=b"", status=200, elapsed=0.1)
    return Finding(
        id="v1", type="sqli", threat=_THREAT[severity], code="c", title="t", description="", point=point,
        route="/a", confidence=confidence, evidence=Evidence(payload="'", matched="", attack=exchange),
        places=[Place(baseline="bl_1", method="GET", url="http://t/a")], status=status,
    )  # fmt: skip


def check(number: int = 1, *states: PointState, **changes: object) -> BaselineCheck:
    rows = [PointCoverage(point=f"p{n}", type="sqli", state=state) for n, state in enumerate(states)]
    facts: dict[str, object] = {
        "baseline": f"bl_{number}", "method": "GET", "url": f"http://t/{number}", "route": f"/{number}",
        "state": "passed", "requests": 5, "coverage": rows, **changes,
    }  # fmt: skip
    return BaselineCheck(**facts)  # type: ignore[arg-type]


def run(*findings: Finding, **changes: object) -> Run:
    facts: dict[str, object] = {
        "id": "tr_0001", "name": "n", "state": "passed", "record_id": "rec_0001", "record_name": "r",
        "policy": "default", "target": "http://t", "start_time": 1.0, "end_time": 2.0,
        "checks": [check(1, "tested")], "findings": list(findings), **changes,
    }  # fmt: skip
    return Run(**facts)  # type: ignore[arg-type]


def judged_run(sample: Run) -> Run:
    """A run as a gate leaves it: of its findings one is accepted, of one the acceptance expired, two are new,
    and two of an earlier run and one known finding are gone."""
    first, second, third, fourth, *rest = sample.findings
    tested = next((row, check) for check in sample.checks for row in check.coverage if row.state == "tested")
    row, check = tested
    fixed = replace(
        second,
        title="A flaw that was mended",
        type=row.type,
        point=row.point,
        route=check.route,
        places=[replace(second.place, method=check.method)],
    )
    gone = replace(second, title="A flaw of a route that is no more", route="/gone")
    earlier = replace(sample, name="the night before", findings=[first, fourth, fixed, gone, *rest])
    why = {"owner": "team-shop", "where": "what it is"}
    known = [
        Acceptance(fingerprint=third.fingerprint, reason="office network only", expires="2027-03-31", **why),
        Acceptance(
            fingerprint=fourth.fingerprint, reason="waits for the vendor", expires="2026-10-31", **why
        ),
        Acceptance(fingerprint="0" * 32, reason="moved elsewhere", **why),
    ]
    run = compare_runs(apply_known(sample, known, datetime.date(2026, 11, 23)), earlier)
    return with_verdict(run, decide(run, Settings()))

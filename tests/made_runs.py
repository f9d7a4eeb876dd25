"""Runs, checks and findings made to order, for tests of what is done with them."""

from fastci.results import (
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

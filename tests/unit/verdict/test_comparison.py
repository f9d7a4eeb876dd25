"""A run against an earlier one."""

from dataclasses import replace

import pytest
from made_runs import check, finding, run

from fastci.results import Place, PointState
from fastci.verdict.comparison import compare_runs

Q, R = finding(), finding(point="GET_r_value")


def with_point(point_state: PointState, point: str = "GET_r_value", **changes: object):
    one = check(1, point_state, route="/a", **changes)
    return replace(one, coverage=[replace(one.coverage[0], point=point)])


def test_compare_tells_new_from_unchanged():
    judged = compare_runs(run(Q, R), run(Q, name="yesterday"))
    assert [(f.point, f.status) for f in judged.findings] == [
        ("GET_q_value", "unchanged"),
        ("GET_r_value", "new"),
    ]
    assert judged.compared_with == "yesterday"


@pytest.mark.parametrize(
    ("state", "check_state", "told"),
    [
        ("tested", "passed", "fixed"),
        ("skipped", "passed", "untested"),
        ("tested", "tech_failed", "untested"),
    ],
)
def test_compare_missing_finding_is_fixed_only_where_its_point_was_tested(
    state: PointState, check_state: str, told: str
):
    now = run(Q, checks=[with_point(state, state=check_state)])
    assert [(p.point, p.state) for p in compare_runs(now, run(Q, R)).past] == [("GET_r_value", told)]


def test_compare_accepted_findings_are_neither_new_nor_gone():
    judged = compare_runs(run(accepted=[Q]), run(Q))
    assert [f.status for f in judged.accepted] == ["unchanged"]
    assert judged.past == []


def test_compare_same_flaw_on_another_host_with_another_id_and_order_is_unchanged():
    place = Place(baseline="bl_77", method="GET", url="https://stage.test:8443/a?x=1")
    moved = replace(Q, id="v9", places=[place, Q.place], code="another detect", title="other words")
    judged = compare_runs(run(R, moved), run(Q, R))
    assert {f.status for f in judged.findings} == {"unchanged"}

"""The runs of shards as one."""

from dataclasses import replace

import pytest
from made_runs import check, finding, run

from fastci.config import Settings
from fastci.errors import ExitStatus, UsageError
from fastci.results import Place, PointCoverage, Step
from fastci.verdict.gate import decide
from fastci.verdict.merging import merge_runs


def whole_skipped(number: int):
    row = PointCoverage(point="*", type="*", state="skipped", reason="another shard tests it")
    return check(number, requests=0, coverage=[row])


def test_merge_shards_of_one_record_counts_each_baseline_once():
    first = run(id="tr_0001", checks=[check(1, "tested"), whole_skipped(2)], planned_requests=5)
    second = run(id="tr_0002", checks=[whole_skipped(1), check(2, "tested", "skipped")], planned_requests=7)
    merged = merge_runs([first, second])
    assert [(c.baseline, c.requests, len(c.coverage)) for c in merged.checks] == [
        ("bl_1", 5, 1),
        ("bl_2", 5, 2),
    ]
    assert (merged.sent_requests, merged.planned_requests, merged.merged) == (10, 12, ["tr_0001", "tr_0002"])


def test_merge_same_flaw_of_two_shards_is_one_finding_with_both_places():
    here = finding()
    there = replace(here, id="v1", places=[Place(baseline="bl_2", method="GET", url="http://t/a?b=2")])
    other = finding(point="GET_r_value")
    merged = merge_runs([run(here, checks=[check(1)]), run(there, other, id="tr_2", checks=[check(2)])])
    assert [(f.id, f.point, [p.baseline for p in f.places]) for f in merged.findings] == [
        ("v1", "GET_q_value", ["bl_1", "bl_2"]),
        ("v2", "GET_r_value", ["bl_1"]),
    ]
    assert [c.findings for c in merged.checks] == [["v1", "v2"], ["v1"]]


def test_merge_accepted_findings_come_back_to_be_judged_anew():
    merged = merge_runs([run(accepted=[finding()]), run(id="tr_2")])
    assert len(merged.findings) == 1
    assert merged.verdict is None


def test_merge_baselines_of_other_records_with_the_same_names_stay_apart():
    first = run(checks=[check(1)])
    other = finding(point="GET_z_value")
    second = run(other, id="tr_2", record_id="rec_0002", checks=[check(1, url="http://t/z", route="/z")])
    merged = merge_runs([first, second])
    assert [c.baseline for c in merged.checks] == ["bl_1", "bl_1.2"]
    assert merged.findings[0].place.baseline == "bl_1.2"
    assert merged.checks[1].findings == ["v1"]


def test_merge_both_tested_the_same_baseline_adds_up_and_takes_the_worse_state():
    first = run(checks=[check(1, "tested", "failed")])
    second = run(id="tr_2", checks=[check(1, "tested", "tested", state="tech_failed", error="e")])
    (joined,) = merge_runs([first, second]).checks
    assert (joined.state, joined.requests, joined.error) == ("tech_failed", 10, "e")
    assert [row.state for row in joined.coverage] == ["tested", "tested"]


def test_merge_order_of_shards_changes_no_counts():
    shards = [
        run(finding(point=f"p{n}"), id=f"tr_{n}", checks=[check(n)], start_time=float(n)) for n in (1, 2, 3)
    ]
    one, other = merge_runs(shards), merge_runs(shards[::-1])
    assert {f.fingerprint for f in one.findings} == {f.fingerprint for f in other.findings}
    assert (one.sent_requests, one.start_time) == (other.sent_requests, other.start_time)


def test_merge_seen_of_one_record_is_not_added_but_of_two_it_is():
    first, second = run(seen={"websocket h": 3}), run(id="tr_2", seen={"websocket h": 3, "tunnel x": 1})
    assert merge_runs([first, second]).seen == {"websocket h": 3, "tunnel x": 1}
    assert merge_runs([first, replace(second, record_id="rec_2")]).seen == {"websocket h": 6, "tunnel x": 1}


def test_merge_steps_are_as_long_as_the_longest_and_as_bad_as_the_worst():
    first = run(steps=[Step(name="testing", state="failed", seconds=2.0)])
    second = run(id="tr_2", steps=[Step(name="testing", state="done", seconds=9.0)])
    assert merge_runs([first, second]).steps == [Step(name="testing", state="failed", seconds=9.0)]


def test_merge_pace_keeps_every_request_at_its_time():
    first = run(pace=[10, 20], start_time=0.0, end_time=60.0)
    second = run(id="tr_2", pace=[5, 5], start_time=60.0, end_time=120.0)
    pace = merge_runs([first, second]).pace
    assert sum(pace) == 40
    assert sum(pace[:60]) == 30


def test_merge_one_interrupted_shard_interrupts_the_whole():
    merged = merge_runs([run(), run(id="tr_2", state="interrupted", complete=False)])
    assert (merged.state, merged.complete) == ("interrupted", False)


def test_merge_the_same_run_twice_is_refused():
    with pytest.raises(UsageError, match="tr_0001 n was given twice"):
        merge_runs([run(), run()])


def test_merge_without_one_of_the_shards_is_interrupted_and_says_which():
    shards = [run(id=f"tr_000{n}", shard=f"{n}/3") for n in (1, 3)]
    merged = merge_runs(shards)
    assert (merged.state, merged.complete) == ("interrupted", False)
    assert merged.messages == ["shard 2/3 of record rec_0001 is missing: its job left no results"]
    assert decide(merged, Settings()).status is ExitStatus.INTERRUPTED
    whole = merge_runs([*shards, run(id="tr_0002", shard="2/3")])
    assert (whole.state, whole.complete, whole.shard, whole.messages) == ("passed", True, "", [])


def test_merge_the_same_shard_of_two_runs_is_refused():
    shards = [run(id=f"tr_000{n}", shard="1/2") for n in (1, 2)]
    with pytest.raises(UsageError, match="shard 1/2 of record rec_0001 was given twice"):
        merge_runs(shards)

"""A run that several jobs share, each testing one shard."""

from pathlib import Path

import pytest
from engine_target import record_exchanges, request, run_engine, store_baselines, web_target
from test_engine_processes import ONCE, XSS, exchanges, flawed

SHARDS = 3


@pytest.mark.parametrize("processes", ["1", "2"])
def test_shards_together_send_and_find_what_a_whole_run_does(tmp_path: Path, processes: str):
    """Costs differ: a page with many points is worth several with one."""
    wide = request("GET", "/wide?" + "&".join(f"p{n}=tea" for n in range(6)))
    asked, runs = [], []
    with web_target(flawed) as target:
        baselines = record_exchanges(target.origin, [*exchanges(), wide, request("GET", "/plain")])
        record = store_baselines(tmp_path, baselines)
        for shard in ("", *(f"{number}/{SHARDS}" for number in range(1, SHARDS + 1))):
            target.asked.clear()
            outcome = run_engine(
                baselines, [XSS, ONCE], tmp_path, record=record, FAST_SHARD=shard, PROCESSES=processes
            )
            asked.append([f"{a.method} {a.path} {a.query} {a.form}" for a in target.asked])
            runs.append(outcome)
    whole, *shards = runs
    assert sorted(asked[0]) == sorted(line for lines in asked[1:] for line in lines)
    assert sorted(whole.found) == sorted(found for shard in shards for found in shard.found)
    checks = [check.baseline for shard in shards for check in shard.run.checks]
    assert sorted(checks) == sorted(check.baseline for check in whole.run.checks)
    assert [shard.run.shard for shard in shards] == ["1/3", "2/3", "3/3"]
    assert whole.run.shard == ""
    sizes = [len(lines) for lines in asked[1:]]
    assert max(sizes) < 0.6 * len(asked[0]), sizes


def test_shard_without_anything_to_do_passes_but_a_run_without_does_not(tmp_path: Path):
    with web_target(flawed) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/fine?q=tea")])
        spare = run_engine(baselines, [XSS], tmp_path, FAST_SHARD="2/2").run
        assert (spare.state, spare.checks) == ("passed", [])
        left_out = record_exchanges(target.origin, [request("GET", "/fine.png?q=tea")])
        silent = run_engine(left_out, [XSS], tmp_path, FAST_SHARD="1/2", FILE_EXTENSIONS_TO_EXCLUDE="png").run
        assert silent.state == "failed"
        assert silent.messages == ["Invalid policies: not one baseline was tested"]

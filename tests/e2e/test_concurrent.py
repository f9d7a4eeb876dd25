"""Workflows that run at once on one machine, in one workspace."""

import json
import re

import pytest
from jobs import sending

from fastci.node.store import Store

MANY = 8


@pytest.mark.parametrize("runtime", ["process", pytest.param("docker", marks=pytest.mark.engine)])
def test_eight_workflows_at_once_keep_records_ports_and_results_apart(request, target, runtime):
    runner = request.getfixturevalue("fastci" if runtime == "process" else "fastci_docker")
    many = MANY if runtime == "process" else 3
    started = []
    for number in range(many):
        output = runner.folder / f"out{number}"
        output.mkdir()
        asking = sending(f"{target.url}/echo?q=own{number}")
        given = ("run", "--target-uri", target.url, "--build-id", f"b{number}", "--", *asking)
        started.append(runner.start(*given, output=output))
    done = [each.wait(170) for each in started]
    assert [each.status for each in done] == [1] * many, done
    places = [
        re.search(r"node recording.*?(fast-recording-\w+) at (http://\S+)", each.text, re.S) for each in done
    ]
    assert all(places)
    assert len({place[1] for place in places}) == len({place[2] for place in places}) == many
    runs = [json.loads(path.read_text())["run"] for path in runner.workspace.runs.glob("tr_*.json")]
    assert sorted(run["build_id"] for run in runs) == [f"b{number}" for number in range(many)]
    assert len({run["record_id"] for run in runs}) == many
    store = Store(runner.workspace.root)
    for run in runs:
        (baseline,) = store.baselines(store.choose(record_id=run["record_id"]))
        assert baseline.request.target == b"/echo?q=own" + run["build_id"].removeprefix("b").encode()
        assert [check["url"].rpartition("=")[2] for check in run["checks"]] == [f"own{run['build_id'][1:]}"]
    assert runner.nodes() == []

"""Workflows that run at once on one machine, with one store."""

import json
import re

import pytest
from jobs import sending
from postgres import PASSWORD, postgres

from fastci.node.store import Store
from fastci.node.store.postgres import SharedStore

MANY = 8


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.engine)])
def shared(request):
    """The command over each runtime, and the targets of the record of a build: over processes the store is a
    database, over containers the files of the workspace."""
    if request.param == "docker":
        runner = request.getfixturevalue("fastci_docker")
        store = Store(runner.workspace.root)
        yield runner, lambda build: targets(store, store.choose(build_id=build))
        return
    runner = request.getfixturevalue("fastci")
    with postgres() as url:
        runner.environ |= {"FAST_STORE": url, "WALLARM_API_TOKEN": PASSWORD}
        held = SharedStore(url, token=PASSWORD)

        def taken(build):
            folder = runner.folder / "taken" / build
            found = held.choose_record(build_id=build)
            held.take_record(found.id, folder / "records" / f"{found.id}.sqlite")
            store = Store(folder)
            return targets(store, store.choose(record_id=found.id))

        try:
            yield runner, taken
        finally:
            held.close()


def targets(store, record):
    return [baseline.request.target.decode() for baseline in store.baselines(record)]


def test_eight_workflows_at_once_keep_names_ports_records_and_results_apart(shared, target):
    runner, recorded = shared
    started = []
    for number in range(MANY):
        output = runner.folder / f"out{number}"
        output.mkdir()
        asking = sending(f"{target.url}/echo?q=own{number}")
        given = ("run", "--target-uri", target.url, "--build-id", f"b{number}", "--", *asking)
        started.append(runner.start(*given, output=output))
    done = [each.wait(170) for each in started]
    assert [each.status for each in done] == [1] * MANY, done
    places = [
        re.search(r"node recording.*?(fast-recording-\w+) at (http://\S+)", each.text, re.S) for each in done
    ]
    assert all(places)
    assert len({place[1] for place in places}) == len({place[2] for place in places}) == MANY
    runs = [json.loads(path.read_text())["run"] for path in runner.workspace.runs.glob("tr_*.json")]
    assert sorted(run["build_id"] for run in runs) == [f"b{number}" for number in range(MANY)]
    assert len({run["record_id"] for run in runs}) == MANY
    for run in runs:
        own = f"own{run['build_id'][1:]}"
        assert recorded(run["build_id"]) == [f"/echo?q={own}"]
        assert [check["url"].rpartition("=")[2] for check in run["checks"]] == [own]
    assert runner.nodes() == []

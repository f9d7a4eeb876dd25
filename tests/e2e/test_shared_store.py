"""A store that workflows share, on a real PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import made_runs
import psycopg
import pytest
from engine_target import record_exchanges, request, run_engine, store_baselines, web_target
from jobs import Fastci, sending, until
from postgres import PASSWORD, postgres
from test_engine_processes import XSS, exchanges, flawed

from fastci.errors import TechnicalError, UsageError
from fastci.node.store.postgres import SharedRecord, SharedStore
from fastci.reports import REPORTS
from fastci.results import to_document

pytestmark = pytest.mark.xdist_group("postgres")
PHASES = [(0, False), (0, False), (1, False), (2, True), (2, True)]


@pytest.fixture(scope="module")
def server():
    with postgres() as url:
        yield url


@pytest.fixture
def url(server):
    """A database of the test's own."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, password=PASSWORD, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres", f"/{name}")


@pytest.fixture
def stores(url):
    """Connections of several nodes."""
    made = [SharedStore(url, token=PASSWORD) for _ in range(3)]
    yield made
    for store in made:
        store.close()


@pytest.fixture
def runners(request, tmp_path, url, runtime):
    """Two machines that know nothing of each other but the store."""
    base_image = request.getfixturevalue("base_image") if runtime == "docker" else ""
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(Fastci(tmp_path / name, runtime, base_image))
        made[-1].environ |= {"FAST_STORE": url, "WALLARM_API_TOKEN": PASSWORD}
    yield made
    for runner in made:
        runner.close()


def with_record(store, folder: Path, baselines=()) -> str:
    """Hand a record in; its id."""
    record = store_baselines(folder, baselines or record_exchanges_of_nothing())
    record_id = store.reserve_record()
    path = record.path.rename(record.path.with_name(f"{record_id}.sqlite"))
    facts = SharedRecord(id=record_id, name="r", build_id="b7", baselines=record.baselines)
    store.put_record(path, facts)
    return record_id


def record_exchanges_of_nothing():
    with web_target(flawed) as target:
        return record_exchanges(target.origin, [request("GET", "/r?q=tea")])


def test_parts_are_leased_once_phase_after_phase_and_destroying_ones_alone(stores, tmp_path):
    one, two, three = stores
    record_id = with_record(one, tmp_path)
    runs = {store.join_run("k", record_id, PHASES) for store in stores}
    assert len(runs) == 1
    run = runs.pop()
    assert [one.claim(run, "one", 60), two.claim(run, "two", 60), three.claim(run, "three", 60)] == [
        0,
        1,
        None,
    ]
    assert one.finish(run, 0, "one", "a")
    assert one.claim(run, "one", 60) is None
    assert two.finish(run, 1, "two", "b")
    assert three.claim(run, "three", 60) == 2
    assert three.finish(run, 2, "three", "c")
    assert [one.claim(run, "one", 60), two.claim(run, "two", 60)] == [3, None]
    one.release(run, 3, "one")
    assert two.claim(run, "two", 60) == 3
    assert two.finish(run, 3, "two", "d")
    assert one.claim(run, "one", 60) == 4
    assert one.results(run) == ["a", "b", "c", "d", None]
    assert one.finish(run, 4, "one", "e")
    assert one.join_run("k", record_id, PHASES) != run


def test_part_of_a_node_that_died_is_given_to_another_whose_results_count(stores, tmp_path):
    one, two, _ = stores
    run = one.join_run("k", with_record(one, tmp_path), [(0, False)])
    assert one.claim(run, "one", 0.2) == 0
    assert one.renew(run, 0, "one", 0.2)
    assert two.claim(run, "two", 60) is None
    until(lambda: two.claim(run, "two", 60) == 0, "the end of the lease", 10)
    assert not one.renew(run, 0, "one", 60)
    assert not one.finish(run, 0, "one", "late")
    assert two.finish(run, 0, "two", "counts")
    assert one.results(run) == ["counts"]


def test_record_is_the_same_file_for_everybody_and_chosen_by_build(stores, tmp_path):
    one, two, _ = stores
    first, second = with_record(one, tmp_path / "a"), with_record(two, tmp_path / "b")
    assert [first, second] == ["rec_0001", "rec_0002"]
    assert two.choose_record(build_id="b7").id == second
    assert two.choose_record(record_id=first).baselines == 1
    two.take_record(first, tmp_path / "taken.sqlite")
    assert (tmp_path / "taken.sqlite").read_bytes() == (
        tmp_path / "a/store/records/rec_0001.sqlite"
    ).read_bytes()
    with pytest.raises(UsageError, match="no test record of BUILD_ID=other"):
        two.choose_record(build_id="other")


def test_schema_of_an_earlier_version_is_brought_up_and_of_a_later_one_refused(url, stores):
    with psycopg.connect(url, password=PASSWORD, autocommit=True) as connection:
        connection.execute("DROP TABLE fast_known_finding")
        connection.execute("DELETE FROM fast_schema WHERE version = 2")
    store = SharedStore(url, token=PASSWORD)
    assert store.known_findings() == []
    store.close()
    with psycopg.connect(url, password=PASSWORD, autocommit=True) as connection:
        connection.execute("INSERT INTO fast_schema VALUES (99)")
    with pytest.raises(UsageError, match="newer fast-action"):
        SharedStore(url, token=PASSWORD)


@pytest.mark.parametrize("change", [("", "wrong"), ("/nowhere", PASSWORD)])
def test_store_that_refuses_is_one_error_without_the_secret(url, change):
    place, token = change
    with pytest.raises(TechnicalError) as caught:
        SharedStore(url + place, token=token)
    told = "\n".join(caught.value.lines())
    assert "shared store postgresql://127.0.0.1" in told
    assert token not in told


@pytest.mark.parametrize("runtime", ["process", pytest.param("docker", marks=pytest.mark.engine)])
def test_record_of_one_runner_is_tested_by_another(runners, target, runtime):
    """And no report holds a secret: neither the recorded one nor the store's own, whatever it stands in."""
    one, two = runners
    planted = f"api_key=key-77aa88bb&about={PASSWORD}"
    recorded = one("record", "--target-uri", target.url, BUILD_ID="b1")
    assert recorded.status == 0, recorded
    proxy = next(line for line in recorded.out.splitlines() if "http_proxy=" in line).partition("=")[2]
    subprocess.run(
        sending(f"{target.url}/echo?q=1&{planted}"), check=True, timeout=30, env={"http_proxy": proxy}
    )
    assert one("stop", BUILD_ID="b1").status == 0
    done = two("test", BUILD_ID="b1")
    assert done.status == 1, done
    assert f"runtime: {runtime}" in recorded.text
    assert f"runtime: {runtime}" in done.text
    assert "security tests: failed, 1 vulnerability" in done.text
    assert PASSWORD not in done.text + recorded.text
    latest = two.workspace.latest
    assert {path.name for path in latest.iterdir()} == {report.fixed for report in REPORTS.values()}
    for path in latest.iterdir():
        text = path.read_text()
        assert "key-77aa88bb" not in text, path
        assert PASSWORD not in text, path
    assert "about=REDACTED-" in (latest / "report.html").read_text()
    nothing = two("test", BUILD_ID="b2")
    assert nothing.status == 2, nothing
    assert "no test record of BUILD_ID=b2" in nothing.text


def node(folder: Path, url: str, extensions: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir()
    environ = {
        "PATH": os.environ["PATH"], "CI_MODE": "testing", "FAST_STORE": url, "WALLARM_API_TOKEN": PASSWORD,
        "FAST_SCRATCH": str(folder), "FAST_REPORTS": str(folder), "FAST_EXTENSIONS": str(extensions),
        "BUILD_ID": "b7", "FAST_STORE_LEASE": "3", "WORKERS": "1", "TEST_RUN_POLICY_ID": "p",
        "FAST_POLICIES": str(folder), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    (folder / "p.yml").write_text("name: own\nuse-only-custom-dsl: true\n")
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "fastci", "node"], env=environ, stdout=log, stderr=log, cwd=folder
        )


def test_nodes_share_one_run_and_survive_the_death_of_one(url, stores, tmp_path):
    """What three of them find together, one being killed on the way, is what a single one finds."""

    def slow(asked):
        time.sleep(0.02)
        return flawed(asked)

    extensions = tmp_path / "extensions"
    extensions.mkdir()
    (extensions / "x.yaml").write_text(XSS)
    with web_target(slow) as target:
        baselines = record_exchanges(target.origin, exchanges())
        alone = run_engine(baselines, [XSS], tmp_path)
        with_record(stores[0], tmp_path / "store", baselines)
        nodes = {name: node(tmp_path / name, url, extensions) for name in ("a", "b", "c")}
        victim = tmp_path / "a" / "log"
        until(lambda: "[info] part read" in victim.read_text(), "a part of the first node")
        nodes["a"].send_signal(signal.SIGKILL)
        statuses = {name: process.wait(90) for name, process in nodes.items()}
    assert statuses["a"] == -signal.SIGKILL
    for name in ("b", "c"):
        text = (tmp_path / name / "log").read_text()
        assert statuses[name] == 1, text
        (results,) = (tmp_path / name / "runs").glob("tr_*.json")
        run = json.loads(results.read_text())["run"]
        found = sorted((f["type"], f["route"], f["point"]) for f in run["findings"])
        assert found == sorted((f.type, f.route, f.point) for f in alone.run.findings)
        checks = sorted((c["baseline"], c["state"]) for c in run["checks"])
        assert checks == sorted((c.baseline, c.state) for c in alone.run.checks)
        assert (run["state"], run["complete"]) == ("failed", True)
        assert " of 24 parts were tested by this node" in text


@pytest.mark.parametrize("runtime", ["process"])
def test_finding_accepted_by_one_workflow_passes_in_another(runners):
    one, two = runners
    flaw = made_runs.finding()
    for runner in runners:
        (runner.folder / "r.json").write_text(json.dumps(to_document(made_runs.run(flaw))))
    assert two("report", "r.json").status == 1
    done = one("findings", "accept", flaw.fingerprint, "--reason", "VPN only", "--owner", "team",
               "--from", "r.json")  # fmt: skip
    assert done.status == 0, done
    assert two("report", "r.json").status == 0
    assert one("findings", "forget", flaw.fingerprint).status == 0
    assert two("report", "r.json").status == 1

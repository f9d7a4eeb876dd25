import sqlite3
import stat
from pathlib import Path

import pytest

from fastci.errors import TechnicalError, UsageError
from fastci.node.message import Origin, parse_request, parse_response
from fastci.node.store import Recorder, Store

ORIGIN = Origin(scheme="http", host="shop.test", port=8000)
REQUEST = parse_request(b"POST /a?b=\xff HTTP/1.1\r\nHost: shop.test\r\ncookie: s=1\r\n\r\n", b"\x00\xffbody")
RESPONSE = parse_response(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", b"answer")


def add(recorder: Recorder, **facts: object) -> None:
    given = {"started": 1.5, "duration": 0.25, "connection": 3, **facts}
    recorder.add(ORIGIN, REQUEST, RESPONSE, **given)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_baseline_written_and_read_same_bytes_and_facts(store: Store):
    recorder = store.create("My record", build_id="42")
    add(recorder, test="tests/test_a.py::test_b", truncated=True)
    recorder.close()
    (record,) = store.records()
    (baseline,) = store.baselines(record)
    assert (record.id, record.name, record.build_id, record.baselines) == ("rec_0001", "My record", "42", 1)
    assert baseline.request == REQUEST
    assert baseline.response == RESPONSE
    assert (baseline.id, baseline.origin, baseline.started, baseline.duration) == ("bl_1", ORIGIN, 1.5, 0.25)
    assert (baseline.connection, baseline.test, baseline.truncated) == (3, "tests/test_a.py::test_b", True)


def test_record_order_kept(store: Store):
    recorder = store.create("r")
    for number in range(500):
        add(recorder, started=float(number))
    recorder.close()
    baselines = list(store.baselines(store.choose()))
    assert [b.started for b in baselines] == [float(n) for n in range(500)]
    assert [b.sequence for b in baselines] == list(range(1, 501))


def test_recorder_committed_but_never_closed_record_is_whole(store: Store):
    recorder = store.create("killed")
    add(recorder)
    recorder.commit()
    add(recorder)
    record = store.choose()
    assert (record.closed, record.baselines) == (None, 1)
    assert len(list(store.baselines(record))) == 1


def test_record_file_private_and_alone_after_close(store: Store):
    recorder = store.create("r")
    add(recorder)
    recorder.close()
    (path,) = store.records_dir.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_record_what_was_seen_is_counted(store: Store):
    recorder = store.create("r")
    recorder.see("filtered", "a.test")
    recorder.see("filtered", "a.test")
    recorder.see("tunnel", "b.test")
    recorder.close()
    assert store.records()[0].seen == {("filtered", "a.test"): 2, ("tunnel", "b.test"): 1}


def test_ids_reserved_twice_differ(store: Store):
    assert [store.reserve(), store.reserve()] == ["rec_0001", "rec_0002"]
    assert [store.reserve_run(), store.reserve_run()] == ["tr_0001", "tr_0002"]
    assert store.records() == []


def test_create_with_reserved_id_uses_it(store: Store):
    store.reserve()
    recorder = store.create("r", record_id=store.reserve())
    recorder.close()
    assert [r.id for r in store.records()] == ["rec_0002"]


def test_create_with_taken_id_refused(store: Store):
    store.create("r", record_id="rec_7").close()
    with pytest.raises(UsageError, match="rec_7 already exists"):
        store.create("r", record_id="rec_7")


@pytest.mark.parametrize("record_id", ["7", "rec_", "rec_1/../x", "../rec_1"])
def test_create_with_malformed_id_refused(store: Store, record_id: str):
    with pytest.raises(UsageError, match="is not a record id"):
        store.create("r", record_id=record_id)


def test_choose_by_id_then_build_then_last(store: Store):
    for build in ("1", "2", "1", "3"):
        recorder = store.create("r", build_id=build)
        add(recorder)
        recorder.close()
    assert store.choose(record_id="rec_0002", build_id="1").id == "rec_0002"
    assert store.choose(build_id="1").id == "rec_0003"
    assert store.choose().id == "rec_0004"


def test_choose_unknown_build_never_takes_another(store: Store):
    recorder = store.create("r", build_id="1")
    add(recorder)
    recorder.close()
    with pytest.raises(UsageError, match="no test record has BUILD_ID=9") as caught:
        store.choose(build_id="9")
    assert caught.value.why == "known builds: 1"


def test_choose_unknown_id_names_known_ones(store: Store):
    store.create("r").close()
    with pytest.raises(UsageError, match="there is no test record rec_0009") as caught:
        store.choose(record_id="rec_0009")
    assert caught.value.why == "known records: rec_0001"


def test_choose_nothing_recorded_yet_says_so(store: Store):
    with pytest.raises(UsageError, match="there is no test record"):
        store.choose()


def test_choose_empty_record_says_what_was_seen(store: Store):
    recorder = store.create("r")
    recorder.see("filtered", "other.test")
    recorder.close()
    with pytest.raises(UsageError, match="is empty") as caught:
        store.choose()
    assert caught.value.why == "seen but not recorded: 1 x filtered other.test"


def test_choose_file_that_is_no_record_refused(store: Store):
    store.records_dir.mkdir(parents=True)
    (store.records_dir / "rec_0001.sqlite").write_bytes(b"not a database, but long enough to look" * 30)
    with pytest.raises(UsageError, match="is not a test record"):
        store.choose(record_id="rec_0001")
    assert store.records() == []


def test_create_below_a_file_technical_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(TechnicalError, match="cannot write below"):
        Store(tmp_path / "file").create("r")


def test_commit_to_full_disk_technical_error_and_kept_ones_stay(store: Store):
    recorder = store.create("r")
    add(recorder)
    recorder.commit()
    recorder._connection.exec_driver_sql(f"PRAGMA max_page_count={sqlite_pages(recorder.path) + 2}")
    recorder.add(ORIGIN, REQUEST.with_body(b"x" * 100_000), RESPONSE, started=0.0, duration=0.0)
    with pytest.raises(TechnicalError, match="cannot be written") as caught:
        recorder.commit()
    assert "full" in caught.value.why
    assert recorder.count == 1
    assert store.choose().baselines == 1


def sqlite_pages(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.close()
    return pages

import contextlib
import os
import resource
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastci.errors import TechnicalError, UsageError
from fastci.node.message import Origin, parse_request, parse_response
from fastci.node.store import Recorder, Store

ORIGIN = Origin(scheme="http", host="shop.test", port=8000)
REQUEST = parse_request(b"POST /a?b=\xff HTTP/1.1\r\nHost: shop.test\r\ncookie: s=1\r\n\r\n", b"\x00\xffbody")
KEY = "5a" * 32
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


def test_record_of_a_hundred_thousand_baselines_read_in_order_within_little_memory(store: Store):
    many = 100_000
    recorder = store.create("r", build_id="7")
    for number in range(many):
        add(recorder, started=float(number))
        if number % 20 == 0:
            recorder.commit()
        if number % 5000 == 0:
            recorder.tidy()
    recorder.close()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    record = store.choose(build_id="7")
    assert record.baselines == many
    for expected, baseline in enumerate(store.baselines(record)):
        assert (baseline.sequence, baseline.started) == (expected + 1, float(expected))
    assert expected == many - 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


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
    recorder.add(ORIGIN, REQUEST.with_body(b"x" * 100_000), RESPONSE, started=0.0, duration=0.0)
    with full_disk(50_000), pytest.raises(TechnicalError, match="cannot be written") as caught:
        recorder.commit()
    assert caught.value.why == "File too large"
    assert recorder.count == 1
    assert store.choose().baselines == 1


def test_close_on_full_disk_error_and_the_tail_keeps_what_the_file_does_not_take(store: Store):
    recorder = store.create("r")
    for _ in range(200):
        add(recorder)
        recorder.commit()
    with (
        full_disk(recorder.path.stat().st_size + 1),
        pytest.raises(TechnicalError, match="cannot be written"),
    ):
        recorder.close()
    assert recorder.path.stat().st_size < tails(store)[0].stat().st_size
    assert len(list(store.baselines(store.choose()))) == 200
    assert tails(store) == []


def test_killed_recorder_tail_taken_over_by_whoever_opens_the_record(store: Store):
    recorder = killed(store, 3)
    assert len(tails(store)) == 1
    record = store.choose()
    assert (record.baselines, record.closed) == (3, None)
    assert tails(store) == []
    with sqlite3.connect(recorder.path) as connection:
        assert connection.execute("SELECT sequence FROM baseline").fetchall() == [(1,), (2,), (3,)]
    connection.close()


def test_tail_taken_over_twice_changes_nothing(store: Store):
    recorder = killed(store, 3)
    (tail,) = tails(store)
    content = tail.read_bytes()
    assert store.choose().baselines == 3
    # What a kill between the transaction and the clearing away leaves.
    tail.write_bytes(content)
    assert [b.sequence for b in store.baselines(store.choose())] == [1, 2, 3]
    assert recorder.count == 3


def test_tail_of_living_recorder_read_but_left_alone(store: Store):
    recorder = store.create("r")
    for count in range(1, 4):
        add(recorder)
        recorder.commit()
        assert len(list(store.baselines(store.choose()))) == count
        assert len(tails(store)) == 1
    recorder.close()
    assert tails(store) == []
    assert store.choose().baselines == 3


def test_record_tidied_up_while_it_is_read_every_baseline_once(store: Store):
    recorder = store.create("r")
    for _ in range(600):
        add(recorder)
    recorder.commit()
    recorder.tidy()
    reading = store.baselines(store.choose())
    first = [next(reading).sequence]
    while recorder.tidy():
        pass
    add(recorder)
    recorder.commit()
    rest = [baseline.sequence for baseline in reading]
    assert (first + rest)[:600] == list(range(1, 601))
    assert [b.sequence for b in store.baselines(store.choose())] == list(range(1, 602))


def test_tidy_while_the_file_is_locked_waits_for_a_better_moment(store: Store):
    recorder = store.create("r")
    recorder.see("tunnel", "b.test")
    add(recorder)
    recorder.commit()
    with sqlite3.connect(recorder.path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert recorder.tidy() is False
        other.execute("ROLLBACK")
    other.close()
    assert recorder.tidy() is True
    assert store.choose().seen == {("tunnel", "b.test"): 1}
    assert [b.sequence for b in store.baselines(store.choose())] == [1]


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_tail_torn_at_any_byte_of_its_last_entry_all_before_it_read(store: Store, damage: str):
    recorder = killed(store, 2)
    (tail,) = tails(store)
    start = tail.stat().st_size
    add(other := store.create("other"))
    other.commit()
    (entry,) = (path.read_bytes() for path in tails(store) if "0002" in path.name)
    content = tail.read_bytes()
    record = store.records()[0]
    for at in range(len(entry)):
        torn = entry[:at] if damage == "cut" else entry[:at] + bytes((entry[at] ^ 1,)) + entry[at + 1 :]
        tail.write_bytes(content + torn)
        assert [b.sequence for b in store.baselines(record)] == [1, 2], at
    assert start == len(content)
    assert recorder.count == 2


def test_tail_as_private_as_the_record(store: Store):
    recorder = store.create("r")
    add(recorder)
    recorder.commit()
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.records_dir.iterdir()} == {0o600}
    assert len(list(store.records_dir.iterdir())) == 2


def test_encrypted_record_holds_no_message_in_plain_text_and_the_key_opens_it(tmp_path: Path):
    store = Store(tmp_path, key=KEY)
    recorder = store.create("r")
    for _ in range(2):
        add(recorder)
    recorder.commit()
    secrets = (b"s=1", b"\x00\xffbody", b"answer", b"/a?b=")
    assert not [s for path in store.records_dir.iterdir() for s in secrets if s in path.read_bytes()]
    recorder.close()
    assert not [s for s in secrets if s in recorder.path.read_bytes()]
    record = store.choose()
    assert record.encrypted
    assert [(b.request, b.response) for b in store.baselines(record)] == [(REQUEST, RESPONSE)] * 2


@pytest.mark.parametrize(("key", "error"), [("", "is encrypted"), ("0" * 64, "cannot be decrypted")])
def test_encrypted_record_without_the_key_listed_but_not_read(tmp_path: Path, key: str, error: str):
    recorder = Store(tmp_path, key=KEY).create("r")
    add(recorder)
    recorder.close()
    store = Store(tmp_path, key=key)
    record = store.choose()
    with pytest.raises(UsageError, match=error) as caught:
        list(store.baselines(record))
    assert "FAST_RECORD_KEY" in caught.value.hint


def test_encrypted_message_put_in_the_place_of_another_refused(tmp_path: Path):
    store = Store(tmp_path, key=KEY)
    recorder = store.create("r")
    add(recorder)
    add(recorder)
    recorder.close()
    with sqlite3.connect(recorder.path) as connection:
        connection.execute("UPDATE baseline SET request_body = (SELECT request_body FROM baseline WHERE "
                           "sequence = 1)")  # fmt: skip
    connection.close()
    with pytest.raises(UsageError, match=r"baseline bl_2 .* cannot be decrypted"):
        list(store.baselines(store.choose()))


def killed(store: Store, count: int) -> Recorder:
    """A recorder whose process is gone: what it held open is closed, and nothing was tidied up."""
    recorder = store.create("killed")
    for _ in range(count):
        add(recorder)
        recorder.commit()
    os.close(recorder._tail._handle)
    recorder._file.close()
    return recorder


def tails(store: Store) -> list[Path]:
    return sorted(store.records_dir.glob("*.tail"))


@contextlib.contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file may become longer than this many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_copy_of_a_record_that_is_written_is_a_whole_record_and_recording_goes_on(
    store: Store, tmp_path: Path
):
    recorder = store.create("r", build_id="7")
    add(recorder)
    recorder.commit()
    recorder.see("tunnel", "other.test")
    add(recorder)
    copied = Store(tmp_path / "copy")
    copied.records_dir.mkdir(parents=True)
    copied.record_path("rec_0009").write_bytes(recorder.copy())
    add(recorder)
    recorder.close()
    (record,) = copied.records()
    assert (record.baselines, record.build_id, record.seen) == (2, "7", {("tunnel", "other.test"): 1})
    assert record.closed is not None
    assert [baseline.response for baseline in copied.baselines(record)] == [RESPONSE, RESPONSE]
    assert store.choose().baselines == 3

import contextlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fastci.node.store import Row
from fastci.node.store.tail import Leftovers, Tail, encode_row

BYTES = st.binary(max_size=300)
ROWS = st.builds(
    Row,
    sequence=st.integers(1, 2**63),
    scheme=st.sampled_from(["http", "https"]),
    host=st.text(max_size=40).filter(lambda text: text.isprintable()),
    port=st.integers(1, 65535),
    request_head=BYTES,
    request_body=BYTES,
    response_head=BYTES,
    response_body=BYTES,
    started=st.floats(0, 1e11),
    duration=st.floats(0, 1e6),
    connection=st.integers(0, 2**40),
    test=st.text(max_size=40).filter(lambda text: text.isprintable()),
    truncated=st.booleans(),
)


@given(rows=st.lists(ROWS, max_size=5))
def test_tail_any_rows_read_as_written(rows: list[Row], tmp_path_factory):
    record = Path(tmp_path_factory.mktemp("tail")) / "rec_1.sqlite"
    tail = Tail(record)
    tail.append(b"".join(encode_row(row, row.sequence) for row in rows))
    with Leftovers(record) as leftovers:
        assert list(leftovers.rows()) == rows
        assert leftovers.claim() is False
    assert tail.next_rows(1 << 30) == (rows, tail.size)
    tail.close()


def test_tail_taken_over_whole_begins_anew_and_old_file_goes(tmp_path: Path):
    record = tmp_path / "rec_1.sqlite"
    tail = Tail(record)
    tail.append(b"x" * 10)
    tail.took(4)
    assert [path.name for path in tmp_path.iterdir()] == ["rec_1.sqlite.1.tail"]
    tail.took(6)
    assert [path.name for path in tmp_path.iterdir()] == ["rec_1.sqlite.2.tail"]
    tail.close()
    assert list(tmp_path.iterdir()) == []


def test_tail_files_of_one_record_read_in_the_order_of_their_numbers(tmp_path: Path):
    record = tmp_path / "rec_1.sqlite"
    row = Row(1, "http", "h", 80, b"", b"", b"", b"", 0.0, 0.0, 0, "", False)
    for number in (2, 10, 9):
        path = tmp_path / f"rec_1.sqlite.{number}.tail"
        path.write_bytes(encode_row(row, number))
    with Leftovers(record) as leftovers:
        assert [row.sequence for row in leftovers.rows()] == [2, 9, 10]
        assert leftovers.claim() is True
        with Leftovers(record) as others:
            assert others.claim() is False
        leftovers.discard()
    assert list(tmp_path.iterdir()) == []


def test_tail_file_without_a_writer_ends_at_a_length_beyond_the_file(tmp_path: Path):
    path = tmp_path / "rec_1.sqlite.1.tail"
    path.write_bytes(b"\xff\xff\xff\xff" + bytes(20))
    with Leftovers(tmp_path / "rec_1.sqlite") as leftovers, contextlib.suppress(MemoryError):
        assert list(leftovers.rows()) == []
    assert path.exists()

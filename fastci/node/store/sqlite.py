"""The file of a record: SQLite, read and written through the standard library's driver.

Not through SQLAlchemy: there is one statement of each kind, and importing it alone takes a third of the time
that a node may take to become ready.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

from fastci.node.store.model import Record, Row
from fastci.node.store.tail import Leftovers

FORMAT = 2
_SCHEMA = """
CREATE TABLE record (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, build_id TEXT NOT NULL, format INTEGER NOT NULL,
    created REAL NOT NULL, closed REAL, sealed TEXT NOT NULL
);
CREATE TABLE baseline (
    sequence INTEGER PRIMARY KEY, scheme TEXT NOT NULL, host TEXT NOT NULL, port INTEGER NOT NULL,
    request_head BLOB NOT NULL, request_body BLOB NOT NULL, response_head BLOB NOT NULL,
    response_body BLOB NOT NULL, started REAL NOT NULL, duration REAL NOT NULL, connection INTEGER NOT NULL,
    test TEXT NOT NULL, truncated INTEGER NOT NULL
);
CREATE TABLE seen (kind TEXT NOT NULL, host TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (kind, host));
"""
# A row that is there already came from the same tail, by somebody who was killed before clearing it away.
_INSERT = f"INSERT OR IGNORE INTO baseline VALUES ({', '.join('?' * len(Row._fields))})"
_SELECT = f"SELECT {', '.join(Row._fields)} FROM baseline ORDER BY sequence"
_PATIENCE = 10.0
"""Seconds to wait for another process that has the file locked."""
_BATCH_ROWS = 2000
_BATCH_BYTES = 8 << 20


class RecordFile:
    """A record's file, open for writing. Raises sqlite3.Error when it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        # A killed process loses nothing by this; and what a power cut could spoil is in the tail still.
        self._connection.execute("PRAGMA synchronous=OFF")

    @classmethod
    def create(
        cls, path: Path, *, record_id: str, name: str, build_id: str, created: float, sealed: str
    ) -> "RecordFile":
        """A new record in an empty file, `sealed` naming its encryption (`sealing`), empty for none."""
        file = cls(path)
        file._connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        facts = (record_id, name, build_id, FORMAT, created, None, sealed)
        file._connection.execute("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?)", facts)
        return file

    def insert(self, rows: Iterable[Row]) -> None:
        """Add these rows in one transaction; those that are there already stay as they are."""
        with self._transaction():
            self._connection.executemany(_INSERT, rows)

    def count(self, seen: Mapping[tuple[str, str], int]) -> None:
        """Say what was seen so far."""
        rows = [(kind, host, count) for (kind, host), count in seen.items()]
        with self._transaction():
            self._connection.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", rows)

    def finish(self, moment: float) -> None:
        """Mark the record closed."""
        self._connection.execute("UPDATE record SET closed = ?", (moment,))

    def copy(self, moment: float) -> bytes:
        """The whole file as a record of its own that was closed at this moment."""
        with closing(sqlite3.connect(":memory:")) as copy:
            self._connection.backup(copy)
            with copy:
                copy.execute("UPDATE record SET closed = ?", (moment,))
            return copy.serialize()

    def name_tests(self, tests: Mapping[int, str]) -> None:
        """Set the test of these baselines, by sequence."""
        with self._transaction():
            rows = [(test, sequence) for sequence, test in tests.items()]
            self._connection.executemany("UPDATE baseline SET test = ? WHERE sequence = ?", rows)

    def hurry(self, hurried: bool) -> None:
        """Whether to give up at once, instead of waiting, when another process has the file locked."""
        self._connection.execute(f"PRAGMA busy_timeout={0 if hurried else int(_PATIENCE * 1000)}")

    def close(self) -> None:
        self._connection.close()

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")


def read_record(path: Path) -> Record:
    """The facts of a record, with what its tail holds counted in. Raises sqlite3.Error for no record."""
    with Leftovers(path) as leftovers, closing(_open(path)) as connection:
        facts = connection.execute(
            "SELECT id, name, build_id, format, created, closed, sealed FROM record"
        ).fetchone()
        if facts is None or facts[3] != FORMAT:
            raise sqlite3.DatabaseError(f"not a record of format {FORMAT}")
        last = connection.execute("SELECT coalesce(max(sequence), 0) FROM baseline").fetchone()[0]
        seen = {(kind, host): n for kind, host, n in connection.execute("SELECT kind, host, count FROM seen")}
        for row in leftovers.rows():
            last = max(last, row.sequence)
    return Record(
        id=facts[0], name=facts[1], build_id=facts[2], created=facts[4], closed=facts[5],
        baselines=last, seen=seen, path=path, encrypted=bool(facts[6]),
    )  # fmt: skip


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a record in order, read lazily, those in its tail included; it may be written meanwhile."""
    with Leftovers(path) as leftovers, closing(_open(path)) as connection:
        last = 0
        for values in connection.execute(_SELECT):
            row = Row._make(values)
            last = row.sequence
            yield row
        for row in leftovers.rows():
            if row.sequence > last:
                last = row.sequence
                yield row


def recover(path: Path) -> None:
    """Take over what a killed node left in the tail; nothing happens where its writer still lives.

    Raises sqlite3.Error or OSError when the file cannot be written; nothing is lost then.
    """
    with Leftovers(path) as leftovers:
        if not leftovers or not leftovers.claim():
            return
        file = RecordFile(path)
        try:
            for batch in batches(leftovers.rows()):
                file.insert(batch)
        finally:
            file.close()
        leftovers.discard()


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The same rows in lists that fit into memory well."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.request_body) + len(row.response_body)
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_PATIENCE)

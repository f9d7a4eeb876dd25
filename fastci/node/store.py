"""Test records on disk: each record is one SQLite file, a store is a folder of them.

    <root>/records/rec_0001.sqlite      a record: its facts, its baselines, what was seen beside them
    <root>/runs/tr_0001.json            the results of a test run (fastci.results)

One file a record means that a record is a thing to hand over: copied out of a container, kept as a CI
artifact, sent to a colleague. Two recorders never write the same file.
"""

import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from fastci.errors import TechnicalError, UsageError
from fastci.node.message import Origin, Request, Response, parse_request, parse_response

_METADATA = sa.MetaData()
_FACTS = sa.Table(
    "record",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("build_id", sa.Text, nullable=False),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("closed", sa.Float),
)
_BASELINES = sa.Table(
    "baseline",
    _METADATA,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("scheme", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("request_head", sa.LargeBinary, nullable=False),
    sa.Column("request_body", sa.LargeBinary, nullable=False),
    sa.Column("response_head", sa.LargeBinary, nullable=False),
    sa.Column("response_body", sa.LargeBinary, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("duration", sa.Float, nullable=False),
    sa.Column("connection", sa.Integer, nullable=False),
    sa.Column("test", sa.Text, nullable=False),
    sa.Column("truncated", sa.Boolean, nullable=False),
)
_SEEN = sa.Table(
    "seen",
    _METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)
_INSERT = (
    "INSERT INTO baseline (scheme, host, port, request_head, request_body, response_head, response_body,"
    " started, duration, connection, test, truncated) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FORMAT = 1
_ID = re.compile(r"rec_\d+\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """One recorded exchange. `sequence` counts from 1 in the order in which responses completed.

    `started` is unix seconds, `duration` seconds until the response was complete, `connection` the number
    of the client connection, `test` the functional test that sent it (empty when not told). `truncated`:
    a body was longer than what is kept, so the request is not attacked.
    """

    sequence: int
    origin: Origin
    request: Request
    response: Response
    started: float
    duration: float
    connection: int
    test: str
    truncated: bool

    @property
    def id(self) -> str:
        return f"bl_{self.sequence}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """The facts of a record. `closed` is None while it is being written, or when its node was killed.

    `seen` counts what passed the node without being recorded, by kind and host.
    """

    id: str
    name: str
    build_id: str
    created: float
    closed: float | None
    baselines: int
    seen: dict[tuple[str, str], int]
    path: Path


class Recorder:
    """Writes one record. `add` keeps an exchange, `commit` makes everything added so far durable.

    Durable means: it survives a kill of this process (write-ahead log). Not thread-safe.
    Raises TechnicalError when the disk does not take it.
    """

    def __init__(self, path: Path, record_id: str, name: str, build_id: str) -> None:
        self.id = record_id
        self.name = name
        self.path = path
        self.count = 0
        self._pending: list[tuple[object, ...]] = []
        self._seen: dict[tuple[str, str], int] = {}
        self._engine = _connect(path)
        sa.event.listen(self._engine, "connect", _tune_for_writing)
        with self._guard():
            _METADATA.create_all(self._engine)
            self._connection = self._engine.connect()
            facts = {"id": record_id, "name": name, "build_id": build_id, "format": _FORMAT}
            self._connection.execute(_FACTS.insert(), {**facts, "created": time.time()})
            self._connection.commit()
            # Past SQLAlchemy: on the way of every response its bookkeeping costs twice the insert itself.
            self._driver = cast(sqlite3.Connection, self._connection.connection.driver_connection)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, sqlite3.Error, OSError) as error:
            why = str(getattr(error, "orig", error))
            raise TechnicalError(f"the record {self.path.name} cannot be written", why=why) from error

    def add(
        self,
        origin: Origin,
        request: Request,
        response: Response,
        *,
        started: float,
        duration: float,
        connection: int = 0,
        test: str = "",
        truncated: bool = False,
    ) -> None:
        """Take one exchange; it is in the record after the next `commit`."""
        self.add_wire(
            origin, request.head(), request.body, response.head(), response.body, started=started,
            duration=duration, connection=connection, test=test, truncated=truncated,
        )  # fmt: skip

    def add_wire(
        self,
        origin: Origin,
        request_head: bytes,
        request_body: bytes,
        response_head: bytes,
        response_body: bytes,
        *,
        started: float,
        duration: float,
        connection: int,
        test: str,
        truncated: bool,
    ) -> None:
        """The same from bytes: heads as on the wire, bodies without transfer coding."""
        row = (origin.scheme, origin.host, origin.port, request_head, request_body, response_head,
               response_body, started, duration, connection, test, truncated)  # fmt: skip
        self._pending.append(row)

    def see(self, kind: str, host: str) -> None:
        """Count something that passed but is not recorded, for example a tunnel or a filtered host."""
        self._seen[kind, host] = self._seen.get((kind, host), 0) + 1

    @property
    def seen(self) -> dict[tuple[str, str], int]:
        """What was counted so far, by kind and host."""
        return dict(self._seen)

    def commit(self) -> None:
        """Make durable what was added. What could not be written is dropped: nobody may count on it."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        with self._guard():
            try:
                self._driver.executemany(_INSERT, pending)
                self._driver.commit()
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._driver.rollback()
                raise
        self.count += len(pending)

    def close(self) -> None:
        """Write what is left, mark the record closed. Afterwards the file stands alone (no log beside it)."""
        self.commit()
        with self._guard():
            rows = [{"kind": k, "host": h, "count": n} for (k, h), n in self._seen.items()]
            if rows:
                self._connection.execute(_SEEN.insert(), rows)
            self._connection.execute(_FACTS.update().values(closed=time.time()))
            self._connection.commit()
            self._connection.close()
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.exec_driver_sql("PRAGMA journal_mode=DELETE")
            self._engine.dispose()


class Store:
    """All records and runs below one folder; the folder is made on first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records_dir = root / "records"
        self.runs_dir = root / "runs"

    def record_path(self, record_id: str) -> Path:
        return self.records_dir / f"{record_id}.sqlite"

    def reserve(self) -> str:
        """The next free record id, kept for the caller: two processes never get the same one."""
        self.records_dir.mkdir(parents=True, exist_ok=True)
        return _reserve(self.records_dir, "rec_", ".sqlite")

    def reserve_run(self) -> str:
        """The next free test run id, likewise."""
        self.runs_dir.mkdir(parents=True, exist_ok=True)
        return _reserve(self.runs_dir, "tr_", ".json")

    def create(self, name: str, *, build_id: str = "", record_id: str = "") -> Recorder:
        """Start a record. `record_id` may be one that was reserved before; it must not hold anything yet.

        Raises UsageError for an id that is taken or malformed, TechnicalError when it cannot be written.
        """
        if record_id and not _ID.match(record_id):
            raise UsageError(f"{record_id!r} is not a record id", hint="ids look like rec_0001")
        try:
            record_id = record_id or self.reserve()
            path = self.record_path(record_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size:
                raise UsageError(f"test record {record_id} already exists", hint="leave the id out")
            return Recorder(path, record_id, name, build_id)
        except OSError as error:
            raise TechnicalError(f"cannot write below {self.root}", why=str(error)) from error

    def records(self) -> list[Record]:
        """Every readable record, oldest first. A reserved id with nothing in it is not a record yet."""
        paths = sorted(self.records_dir.glob("rec_*.sqlite")) if self.records_dir.is_dir() else []
        found = []
        for path in paths:
            with suppress(UsageError):
                found.append(_read_facts(path))
        return sorted(found, key=lambda r: (r.created, r.id))

    def choose(self, *, record_id: str = "", build_id: str = "") -> Record:
        """The record to test: by id, else the newest of this build, else the newest of all.

        Raises UsageError when there is none, or when it holds no baseline.
        """
        if record_id:
            record = _read_facts(self.record_path(record_id))
        else:
            records = self.records()
            if not records:
                raise UsageError(
                    "there is no test record",
                    why=f"nothing was recorded below {self.records_dir}",
                    hint="run the node with CI_MODE=recording first, and send your tests through it",
                )
            mine = [r for r in records if r.build_id == build_id] if build_id else records
            if not mine:
                known = ", ".join(sorted({r.build_id for r in records if r.build_id})) or "none"
                raise UsageError(f"no test record has BUILD_ID={build_id}", why=f"known builds: {known}")
            record = mine[-1]
        if not record.baselines:
            raise UsageError(
                f"test record {record.id} is empty: no request was recorded",
                why=_explain_empty(record),
                hint="send the tests through the node (HTTP_PROXY); check ALLOWED_HOSTS",
            )
        return record

    def baselines(self, record: Record) -> Iterator[Baseline]:
        """The baselines of a record in order, read lazily."""
        engine = _connect(record.path)
        query = _BASELINES.select().order_by(_BASELINES.c.sequence).execution_options(yield_per=200)
        try:
            with engine.connect() as connection:
                for row in connection.execute(query):
                    yield Baseline(
                        sequence=row.sequence,
                        origin=Origin(scheme=row.scheme, host=row.host, port=row.port),
                        request=parse_request(row.request_head, row.request_body),
                        response=parse_response(row.response_head, row.response_body),
                        started=row.started,
                        duration=row.duration,
                        connection=row.connection,
                        test=row.test,
                        truncated=row.truncated,
                    )
        finally:
            engine.dispose()


def _connect(path: Path) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)


def _tune_for_writing(connection: sqlite3.Connection, _: object) -> None:
    # The log survives a killed process without a sync; only a power cut could lose the tail.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")


def _read_facts(path: Path) -> Record:
    if not path.exists() or not path.stat().st_size:
        known = sorted(p.stem for p in path.parent.glob("rec_*.sqlite") if p.stat().st_size)
        raise UsageError(
            f"there is no test record {path.stem}", why=f"known records: {', '.join(known) or 'none'}"
        )
    engine = _connect(path)
    try:
        with engine.connect() as connection:
            row = connection.execute(_FACTS.select()).one()
            count = connection.execute(sa.select(sa.func.count()).select_from(_BASELINES)).scalar_one()
            seen = {(kind, host): n for kind, host, n in connection.execute(_SEEN.select())}
    except (DatabaseError, sa.exc.NoResultFound) as error:
        raise UsageError(
            f"{path.name} is not a test record of this node", why=str(getattr(error, "orig", error))
        ) from error
    finally:
        engine.dispose()
    return Record(
        id=row.id, name=row.name, build_id=row.build_id, created=row.created, closed=row.closed,
        baselines=count, seen=seen, path=path,
    )  # fmt: skip


def _explain_empty(record: Record) -> str:
    if not record.seen:
        return "no connection reached the node while it recorded"
    seen = ", ".join(f"{n} x {kind} {host}" for (kind, host), n in sorted(record.seen.items()))
    return f"seen but not recorded: {seen}"


def _reserve(folder: Path, prefix: str, suffix: str) -> str:
    numbers = [
        int(p.stem[len(prefix) :])
        for p in folder.glob(f"{prefix}*{suffix}")
        if p.stem[len(prefix) :].isdigit()
    ]
    number = max(numbers, default=0) + 1
    while True:
        name = f"{prefix}{number:04d}"
        try:
            os.close(os.open(folder / f"{name}{suffix}", os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            number += 1
        else:
            return name

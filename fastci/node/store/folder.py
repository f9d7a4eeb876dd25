"""A store is a folder of records and runs.

    <root>/records/rec_0001.sqlite      a record: its facts, its baselines, what was seen beside them
    <root>/records/rec_0001.sqlite.1.tail   its newest baselines while it is written (`tail`)
    <root>/runs/tr_0001.json            the results of a test run (fastci.results)

One file a record means that a record is a thing to hand over: copied out of a container, kept as a CI
artifact, sent to a colleague. Two recorders never write the same file.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from fastci.errors import TechnicalError, UsageError
from fastci.node.message import Origin, parse_request, parse_response
from fastci.node.store.model import Baseline, Record
from fastci.node.store.recorder import Recorder
from fastci.node.store.sealing import Seal
from fastci.node.store.sqlite import RecordFile, read_record, read_rows, recover

_ID = re.compile(r"rec_\d+\Z")


class Store:
    """All records and runs below one folder; the folder is made on first write.

    `key` encrypts the records that are made and opens those that are read; 64 hexadecimal digits, or none.
    """

    def __init__(self, root: Path, *, key: str = "") -> None:
        self.root = root
        self._key = key
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
            return Recorder(path, record_id, name, build_id, self._key)
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
        """The baselines of a record in order, read lazily.

        Raises UsageError when it is encrypted and the key is not the right one.
        """
        seal = Seal(self._key, record.id) if record.encrypted else None
        for row in read_rows(record.path):
            if seal:
                row = seal.open(row)
            yield Baseline(
                sequence=row.sequence,
                origin=Origin(scheme=row.scheme, host=row.host, port=row.port),
                request=parse_request(row.request_head, row.request_body),
                response=parse_response(row.response_head, row.response_body),
                started=row.started,
                duration=row.duration,
                connection=row.connection,
                test=row.test,
                truncated=bool(row.truncated),
            )

    def moments(self, record: Record) -> Iterator[tuple[int, float, str]]:
        """Sequence, start and test of each baseline: what can be told without the key."""
        return ((row.sequence, row.started, row.test) for row in read_rows(record.path))

    def name_tests(self, record: Record, tests: Mapping[int, str]) -> None:
        """Say which tests these baselines come from, by sequence. Raises TechnicalError."""
        try:
            file = RecordFile(record.path)
            try:
                file.name_tests(tests)
            finally:
                file.close()
        except sqlite3.Error as error:
            raise TechnicalError(
                f"the record {record.path.name} cannot be written", why=str(error)
            ) from error


def _read_facts(path: Path) -> Record:
    if not path.exists() or not path.stat().st_size:
        known = sorted(p.stem for p in path.parent.glob("rec_*.sqlite") if p.stat().st_size)
        raise UsageError(
            f"there is no test record {path.stem}", why=f"known records: {', '.join(known) or 'none'}"
        )
    # Where the folder is not ours to write, the tail is read beside the file all the same.
    with suppress(sqlite3.Error, OSError):
        recover(path)
    try:
        return read_record(path)
    except sqlite3.Error as error:
        raise UsageError(f"{path.name} is not a test record of this node", why=str(error)) from error


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

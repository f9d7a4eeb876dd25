"""Writes one record: into its tail at once, from there into its file when there is time."""

import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastci.errors import TechnicalError
from fastci.node.message import Origin, Request, Response
from fastci.node.store.model import Row
from fastci.node.store.sealing import Seal
from fastci.node.store.sqlite import RecordFile
from fastci.node.store.tail import Tail, encode_row

_SLICE = 64 << 10
"""Bytes that `tidy` takes over at a time: a millisecond or two of work."""
_LAST_SLICE = 8 << 20


class Recorder:
    """Writes one record. `add` keeps an exchange, `commit` makes everything added so far durable.

    Durable means: it survives a kill of this process. Not thread-safe.
    Raises TechnicalError when the disk does not take it.
    """

    def __init__(self, path: Path, record_id: str, name: str, build_id: str, key: str = "") -> None:
        self.id = record_id
        self.name = name
        self.path = path
        self.count = 0
        """Baselines that are durable."""
        self._pending: list[bytes] = []
        self._seal = Seal(key, record_id) if key else None
        self._seen: dict[tuple[str, str], int] = {}
        self._seen_news = False
        with self._guard():
            path.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
            self._file = RecordFile.create(
                path, record_id=record_id, name=name, build_id=build_id, created=time.time(),
                sealed=self._seal.algorithm if self._seal else "",
            )  # fmt: skip
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
            self._tail = Tail(path)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> TechnicalError:
        why = getattr(error, "strerror", None) or str(error)
        return TechnicalError(
            f"the record {self.path.name} cannot be written",
            why=why,
            hint=f"what was recorded until then is kept; make room below {self.path.parent} and record again",
        )

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
        row = Row(
            0, origin.scheme, origin.host, origin.port, request.head(), request.body, response.head(),
            response.body, started, duration, connection, test, truncated,
        )  # fmt: skip
        self.take(row)

    def take(self, row: Row) -> None:
        """The same from bytes. The row's sequence is given here."""
        sequence = self.count + len(self._pending) + 1
        if self._seal:
            row = self._seal.close(row._replace(sequence=sequence))
        self._pending.append(encode_row(row, sequence))

    def see(self, kind: str, host: str) -> None:
        """Count something that passed but is not recorded, for example a tunnel or a filtered host."""
        self._seen[kind, host] = self._seen.get((kind, host), 0) + 1
        self._seen_news = True

    @property
    def seen(self) -> dict[tuple[str, str], int]:
        """What was counted so far, by kind and host."""
        return dict(self._seen)

    def commit(self) -> None:
        """Make durable what was added. What could not be written is dropped: nobody may count on it."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        try:
            self._tail.append(pending[0] if len(pending) == 1 else b"".join(pending))
        except OSError as error:
            raise self._unwritable(error) from error
        self.count += len(pending)

    def tidy(self) -> bool:
        """Take a little of the tail over into the file; False when there is nothing more to do for now.

        Nothing is lost when that cannot be done: the tail stays, and `close` or a reader has another try.
        """
        try:
            self._file.hurry(True)
            if self._seen_news:
                self._file.count(self._seen)
                self._seen_news = False
            return self._take_over(_SLICE)
        except (sqlite3.Error, OSError):
            return False

    def _take_over(self, limit: int) -> bool:
        rows, size = self._tail.next_rows(limit)
        if not rows:
            return False
        self._file.insert(rows)
        self._tail.took(size)
        return True

    def copy(self) -> bytes:
        """What is recorded so far as a whole record file; recording goes on."""
        self.commit()
        with self._guard():
            self._file.hurry(False)
            while self._take_over(_LAST_SLICE):
                pass
            self._file.count(self._seen)
            return self._file.copy(time.time())

    def close(self) -> None:
        """Write what is left, mark the record closed. Afterwards the file stands alone, without a tail."""
        try:
            self.commit()
            with self._guard():
                self._file.hurry(False)
                while self._take_over(_LAST_SLICE):
                    pass
                self._file.count(self._seen)
                self._file.finish(time.time())
        finally:
            self._tail.close()
            self._file.close()

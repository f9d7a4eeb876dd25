"""The tail of a record: baselines that are durable already, but not in its file yet.

A tail is one or more files beside the record, `rec_0001.sqlite.1.tail` and so on. They are only ever appended
to, by one write for all exchanges that completed together, which costs a tenth of a transaction. Every entry
has its length and a checksum in front, so that one cut short by a kill or a full disk is told from a whole
one; and the baseline's sequence in it, so that taking it over into the record twice changes nothing.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from fastci.node.store.model import Row

_FRAME = struct.Struct("<II")
"""Length of what follows, and its CRC-32."""
_FACTS = struct.Struct("<QddQHBBHHIII")
"""Sequence, started, duration, connection, port, flags, and the lengths of what follows: scheme, host, test,
request head, request body, response head. The response's body is the rest."""
_SUFFIX = ".tail"
_TRUNCATED = 1
_TEXT_LIMIT = 0xFFFF


def encode_row(row: Row, sequence: int) -> bytes:
    """An entry of the tail for this row, which gets this sequence."""
    (_, scheme, host, port, request_head, request_body, response_head, response_body, started, duration,
     connection, test, truncated) = row  # fmt: skip
    of_scheme, of_host, of_test, words = _encode_words(scheme, host, test)
    facts = _FACTS.pack(
        sequence, started, duration, connection, port, truncated, of_scheme, of_host, of_test,
        len(request_head), len(request_body), len(response_head),
    )  # fmt: skip
    entry = b"".join((facts, words, request_head, request_body, response_head, response_body))
    return _FRAME.pack(len(entry), crc32(entry)) + entry


@lru_cache(maxsize=1024)
def _encode_words(scheme: str, host: str, test: str) -> tuple[int, int, int, bytes]:
    """Their lengths in bytes, and all of them; remembered, as many baselines share them."""
    words = (scheme.encode(), host.encode(), test.encode()[:_TEXT_LIMIT])
    of_scheme, of_host, of_test = map(len, words)
    return of_scheme, of_host, of_test, b"".join(words)


def _decode_row(entry: bytes) -> Row:
    (sequence, started, duration, connection, port, flags, *lengths) = _FACTS.unpack_from(entry)
    pieces, at = [], _FACTS.size
    for length in lengths:
        pieces.append(entry[at : at + length])
        at += length
    scheme, host, test, request_head, request_body, response_head = pieces
    return Row(
        sequence, scheme.decode(), host.decode(), port, request_head, request_body, response_head, entry[at:],
        started, duration, connection, test.decode("utf-8", "ignore"), bool(flags & _TRUNCATED),
    )  # fmt: skip


class Tail:
    """Appends to the newest file of a record's tail, which stays locked: its writer lives.

    Raises OSError when the disk does not take what is written.
    """

    def __init__(self, record: Path) -> None:
        self._record = record
        self._number = 0
        self._handle = -1
        self.size = 0
        """Bytes written and whole."""
        self.taken = 0
        """Bytes that were taken over into the record."""
        self._open_next()

    def _open_next(self) -> None:
        self._number += 1
        path = self._path(self._number)
        # Locked before it has its name: whoever finds a file that is not locked may clear it away.
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        fresh.rename(path)
        self._handle, self.size, self.taken = handle, 0, 0

    def _path(self, number: int) -> Path:
        return self._record.with_name(f"{self._record.name}.{number}{_SUFFIX}")

    def append(self, data: bytes) -> None:
        """Write whole entries. When that fails nothing of them stays."""
        try:
            written = os.write(self._handle, data)
            while written < len(data):
                written += os.write(self._handle, memoryview(data)[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._handle, self.size)
            raise
        self.size += len(data)

    def next_rows(self, limit: int) -> tuple[list[Row], int]:
        """Rows of about `limit` bytes that were not taken over yet, and how many bytes they are."""
        rows, at = [], self.taken
        while at < self.size and at - self.taken < limit:
            length, _ = _FRAME.unpack(os.pread(self._handle, _FRAME.size, at))
            at += _FRAME.size
            rows.append(_decode_row(os.pread(self._handle, length, at)))
            at += length
        return rows, at - self.taken

    def took(self, count: int) -> None:
        """The next `count` bytes are in the record. When all are, the file goes and a new one begins."""
        self.taken += count
        if self.taken == self.size and self.size:
            old, path = self._handle, self._path(self._number)
            self._open_next()
            path.unlink(missing_ok=True)
            os.close(old)

    def close(self) -> None:
        """Let go of the file; one that was taken over goes with it."""
        if self._handle < 0:
            return
        if self.taken == self.size:
            self._path(self._number).unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1


class Leftovers:
    """The tail files of a record as they are at this moment, opened so that they stay readable.

    They must be opened before the record is read: what leaves the tail meanwhile is in the record by then.
    """

    def __init__(self, record: Path) -> None:
        self._files: list[tuple[Path, int]] = []
        for path in sorted(record.parent.glob(f"{record.name}.*{_SUFFIX}"), key=_number_of):
            with suppress(FileNotFoundError):
                self._files.append((path, os.open(path, os.O_RDONLY | os.O_CLOEXEC)))

    def __enter__(self) -> "Leftovers":
        return self

    def __exit__(self, *_: object) -> None:
        for _path, handle in self._files:
            os.close(handle)

    def __bool__(self) -> bool:
        return bool(self._files)

    def rows(self) -> Iterator[Row]:
        """Every whole row in the order of writing; what follows a torn one is nothing."""
        for _path, handle in self._files:
            yield from _read_rows(handle)

    def claim(self) -> bool:
        """Whether nobody writes them any more, and nobody else clears them away."""
        try:
            for _path, handle in self._files:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def discard(self) -> None:
        """Delete them: all that they hold is in the record."""
        for path, _handle in self._files:
            path.unlink(missing_ok=True)


def _read_rows(handle: int) -> Iterator[Row]:
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(frame)
            # A length that a torn frame makes up may be anything; only the file's own size bounds it.
            if length > os.fstat(handle).st_size:
                return
            entry = file.read(length)
            if len(entry) != length or crc32(entry) != checksum:
                return
            yield _decode_row(entry)


def _number_of(path: Path) -> int:
    word = path.name.removesuffix(_SUFFIX).rpartition(".")[2]
    return int(word) if word.isdigit() else 0

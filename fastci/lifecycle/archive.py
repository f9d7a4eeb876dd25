"""Files on their way into and out of a container, as the tar streams that the engine's API speaks."""

import io
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fastci.lifecycle.runtime import NodeFile, Place

_BLOCK = 1 << 20


def pack(files: Iterable[NodeFile], folders: Mapping[Place, PurePosixPath], *, owner: int) -> IO[bytes]:
    """A tar of these folders and of the files in them; all of it belongs to `owner`, files are for it alone.

    Folder paths are relative to where the engine is told to unpack.
    """
    spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
    with tarfile.open(fileobj=spool, mode="w") as archive:
        for path in folders.values():
            archive.addfile(_entry(path, tarfile.DIRTYPE, 0o755, owner))
        for file in files:
            entry = _entry(folders[file.place] / file.source.name, tarfile.REGTYPE, 0o600, owner)
            facts = file.source.stat()
            entry.size, entry.mtime = facts.st_size, int(facts.st_mtime)
            with file.source.open("rb") as content:
                archive.addfile(entry, content)
    spool.seek(0)
    return spool


def _entry(path: PurePosixPath, kind: bytes, mode: int, owner: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(str(path))
    entry.type, entry.mode, entry.uid, entry.gid = kind, mode, owner, owner
    return entry


def unpack(chunks: Iterator[bytes], folder: Path, *, private: bool = False) -> list[Path]:
    """Write the plain files at the top of the archive's one folder into `folder`, as the current user's.

    Whatever else the archive holds is left out: links, devices, deeper folders, empty files. A file appears
    whole or not at all; what is `private` nobody else may read. Raises tarfile.TarError, OSError.
    """
    written = []
    with tarfile.open(fileobj=io.BufferedReader(_Stream(chunks), _BLOCK), mode="r|") as archive:
        for entry in archive:
            path = PurePosixPath(entry.name)
            content = archive.extractfile(entry) if entry.isreg() and entry.size else None
            if content is None or len(path.parts) != 2 or ".." in path.parts:
                continue
            part = folder / f".{path.name}.part"
            part.unlink(missing_ok=True)
            with part.open("xb") as file:
                while block := content.read(_BLOCK):
                    file.write(block)
            if private:
                part.chmod(0o600)
            # Takes the place of a link that stands there, never writes through it.
            written.append(part.replace(folder / path.name))
    return written


class _Stream(io.RawIOBase):
    """An iterator of chunks, read as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            self._rest = next(self._chunks, None) or b""
            if not self._rest:
                return 0
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

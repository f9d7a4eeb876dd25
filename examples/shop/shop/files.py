"""Reading a file whatever it is: devices are refused, endless and blocking ones are cut off."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_LARGEST = 1024 * 1024


def read_file(path: Path) -> bytes:
    """The first megabyte of a regular file. Raises OSError, or ValueError for a path with a NUL character."""
    # Some regular files under /proc block until there is news.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("no regular file")
        return file.read(_LARGEST) or b""

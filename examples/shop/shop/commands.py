"""Local commands with bounds: at most two seconds, at most 64 KB of output, nothing left running."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

SECONDS = 2.0
_OUTPUT = 64 * 1024


def run(command: str | list[str], folder: Path, *, shell: bool = False) -> str:
    """Output and error output of ``command`` run in ``folder``.

    Raises OSError or ValueError when it cannot be started (an argument too long, or with a NUL byte).
    """
    process = subprocess.Popen(
        command,
        shell=shell,
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Its own group, so that what it started in the background ends with it.
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        output = _read(pipe.fileno(), time.monotonic() + SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return output.decode("utf-8", "replace")


def _read(pipe: int, deadline: float) -> bytes:
    output = b""
    # select, not a blocking read: a grandchild that left the group may keep the pipe open.
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while len(output) < _OUTPUT and (left := deadline - time.monotonic()) > 0:
            if selector.select(left):
                piece = os.read(pipe, 8192)
                if not piece:
                    break
                output += piece
    return output

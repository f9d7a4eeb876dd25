"""Processes of this machine: who is who, who still lives, and how a whole session of them is ended.

A child that is started as the leader of its own session takes its descendants with it: they are found by
their session id, also after their parents died.
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from fastci.errors import Interrupted
from fastci.lifecycle.interrupts import Waiter

_PROC = Path("/proc")
_TICK = 0.02
_FAREWELL = 5.0
"""Seconds that a leashed process has for an orderly end after its parent died."""


def identity(pid: int) -> str:
    """What names a process for good: boot, pid namespace, pid, start time. Empty where that is unknown."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        space = (_PROC / "self/ns/pid").readlink().name.strip("pid:[]")
        return f"{boot}/{space}/{pid}/{_stat(pid)[19]}"
    except OSError:
        return ""


def is_alive(who: str) -> bool | None:
    """Whether the process of an `identity` still runs; None when that cannot be seen from here."""
    here = identity(os.getpid()).split("/")[:2]
    boot, space, pid, _ = who.split("/") if who.count("/") == 3 else ("", "", "", "")
    if not pid.isdigit() or [boot, space] != here:
        return None
    with contextlib.suppress(OSError):
        return identity(int(pid)) == who and _stat(int(pid))[0] not in "ZX"
    return False


def pid_of(who: str) -> int:
    return int(who.split("/")[2])


def members(session: int) -> list[int]:
    """The living processes of a session."""
    if not _PROC.is_dir() or not (_PROC / "self").exists():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(session, 0)
            return [session]
        return []
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = _stat(int(entry.name))
                if int(fields[3]) == session and fields[0] not in "ZX":
                    found.append(int(entry.name))
    return found


def signal_session(session: int, number: int) -> None:
    """Send a signal to every process of a session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, number)
    for pid in members(session):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) != session:
                os.kill(pid, number)


def end_session(session: int, waiter: Waiter, asks: list[tuple[int, float]]) -> None:
    """End a session: each signal of `asks` with its seconds of grace, then SIGKILL."""
    for number, grace in asks:
        if not members(session):
            return
        signal_session(session, number)
        since = waiter.now()
        while members(session) and waiter.now() < since + waiter.grace(grace):
            waiter.pause(_TICK)
    since = waiter.now()
    while members(session) and waiter.now() < since + 5:
        signal_session(session, signal.SIGKILL)
        waiter.pause(_TICK)


def wait_for(child: "subprocess.Popen[bytes]", waiter: Waiter) -> int:
    """The child's exit status, 128 + n where signal n ended it (as shells count)."""
    while (status := child.poll()) is None:
        waiter.pause(_TICK)
    return status if status >= 0 else 128 - status


def die_with(parent: int) -> None:
    """From now on this process, a session leader, ends when `parent` does: asked first, then killed.

    Raises Interrupted when the parent is already gone.
    """
    if os.getppid() != parent:
        raise Interrupted("the process that started this node is gone")
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="leash").start()


def _watch(parent: int) -> None:
    try:
        descriptor = os.pidfd_open(parent)
    except (OSError, AttributeError):
        while os.getppid() == parent:
            time.sleep(_FAREWELL / 10)
    else:
        select.select([descriptor], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_FAREWELL)
    os.killpg(0, signal.SIGKILL)


@contextlib.contextmanager
def one_at_a_time(what: str, waiter: Waiter) -> Iterator[None]:
    """Hold this user's lock of that name on this machine; go on without one where none can be had."""
    path = Path(tempfile.gettempdir()) / f"fast-action-{os.getuid()}-{what}.lock"
    try:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        while not _locked(lock):
            waiter.pause(5 * _TICK)
        yield
    finally:
        os.close(lock)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name, see proc(5): state, parent, group, session, ..."""
    text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    return text.rpartition(")")[2].split()

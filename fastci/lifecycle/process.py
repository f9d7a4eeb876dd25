"""The embedded node: a child process with a folder of its own, where no Docker Engine is to be had.

Each node lives in `<workspace>/nodes/<name>/`: its labels and identity (node.json), its console lines (log),
and one folder for each place. The folder is what a later command finds it by; it goes when the node goes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import fastci
from fastci.errors import TechnicalError
from fastci.lifecycle import probe, sessions
from fastci.lifecycle.interrupts import Waiter
from fastci.lifecycle.labels import Labels, parse_labels
from fastci.lifecycle.runtime import LISTENING_LINE, Ended, Launch, Node, Place

_FACTS = "node.json"
_LOG = "log"
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Of the job's environment an embedded node gets only these, so that it behaves as a container does."""
_REAPING = 5.0
LEASH = "FAST_LEASH"
"""Variable that names the process a node must not outlive."""


class ProcessRuntime:
    """Nodes as child processes, each the leader of its own session."""

    name = "process"
    ours = True
    shares_network = True

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        waiter: Waiter,
        *,
        command: Sequence[str] = (sys.executable, "-m", "fastci", "node"),
    ) -> None:
        self._folder = folder
        self._environ = environ
        self._waiter = waiter
        self._command = list(command)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> str:
        return f"embedded node {fastci.__version__}"

    def start(self, launch: Launch) -> Node:
        name = f"fast-{launch.mode}-{uuid.uuid4().hex[:8]}"
        node = Node(id=name, name=name, labels=launch.labels)
        folder = self._folder / name
        try:
            for place in Place:
                (folder / place).mkdir(parents=True, mode=0o700)
            self._note(folder, launch, "")
            child = self._spawn(launch, folder)
            self._children[name] = child
            self._note(folder, launch, sessions.identity(child.pid))
        except OSError as error:
            self.remove(node)
            raise TechnicalError(f"the embedded node cannot be started below {self._folder}",
                                 why=str(error)) from error  # fmt: skip
        return node

    @staticmethod
    def _note(folder: Path, launch: Launch, who: str) -> None:
        draft = folder / f".{_FACTS}"
        draft.write_text(json.dumps({"labels": launch.labels.render(), "who": who}))
        draft.replace(folder / _FACTS)

    def _spawn(self, launch: Launch, folder: Path) -> "subprocess.Popen[bytes]":
        given = {}
        for file in launch.files:
            inside = folder / file.place / file.source.name
            shutil.copyfile(file.source, inside)
            inside.chmod(0o600)
            if file.variable:
                given[file.variable] = str(inside)
        environ = {name: self._environ[name] for name in _INHERITED if name in self._environ}
        package = str(Path(fastci.__file__).resolve().parent.parent)
        environ |= {
            **launch.variables,
            **given,
            "PYTHONPATH": os.pathsep.join(filter(None, [package, self._environ.get("PYTHONPATH", "")])),
            "PYTHONUNBUFFERED": "1",
            "FAST_LISTEN": f"127.0.0.1:{launch.port}",
            # A database that the user named stays the store.
            ("FAST_SCRATCH" if "FAST_STORE" in launch.variables else "FAST_STORE"): str(folder),
            "FAST_REPORTS": str(folder / Place.REPORTS),
            "FAST_EXTENSIONS": str(folder / Place.EXTENSIONS),
            "FAST_AUTHS": str(folder / Place.AUTHS),
            "FAST_POLICIES": str(folder / Place.POLICIES),
        }
        if launch.tended:
            environ[LEASH] = str(os.getpid())
        with (folder / _LOG).open("wb") as log:
            return subprocess.Popen(
                self._command,
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self, node: Node) -> Ended | None:
        child = self._children.get(node.id)
        if child is not None:
            status = child.poll()
            if status is None:
                return None
            if status < 0:
                return Ended(status=128 - status, reason=f"it was ended by {signal.Signals(-status).name}")
            return Ended(status=status)
        return None if sessions.is_alive(self._who(node)) else Ended(status=None)

    def proxy_url(self, node: Node) -> str:
        found = LISTENING_LINE.search(self.log(node))
        url = f"http://{found[1]}:{found[2]}" if found else ""
        return url if url and probe.is_healthy(url) else ""

    def log(self, node: Node) -> str:
        with suppress(OSError):
            return (self._folder / node.id / _LOG).read_text(errors="replace")
        return ""

    def ask_to_end(self, node: Node) -> None:
        # Only the node itself: it tells its own workers.
        with suppress(ProcessLookupError):
            if pid := self._pid(node):
                os.kill(pid, signal.SIGTERM)

    def kill(self, node: Node) -> None:
        if pid := self._pid(node):
            sessions.end_session(pid, self._waiter, [])

    def fetch(self, node: Node, place: Place, folder: Path) -> list[Path]:
        fetched = []
        for source in sorted((self._folder / node.id / place).glob("*")):
            if source.is_file() and source.stat().st_size:
                target = folder / source.name
                try:
                    shutil.copyfile(source, target)
                    if place is Place.RECORDS:
                        target.chmod(0o600)
                except OSError as error:
                    raise TechnicalError(f"{target} cannot be written", why=str(error)) from error
                fetched.append(target)
        return fetched

    def remove(self, node: Node) -> None:
        self.kill(node)
        child = self._children.pop(node.id, None)
        if child is not None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_REAPING)
        shutil.rmtree(self._folder / node.id, ignore_errors=True)
        with suppress(OSError):
            self._folder.rmdir()

    def reach(self, node: Node, host: str, port: int) -> str | None:
        return probe.connect(host, port)

    def find(self) -> list[Node]:
        nodes = []
        for facts in sorted(self._folder.glob(f"*/{_FACTS}")):
            with suppress(OSError, ValueError, KeyError, AttributeError):
                labels = parse_labels(json.loads(facts.read_text())["labels"])
                if labels is not None:
                    nodes.append(Node(id=facts.parent.name, name=facts.parent.name, labels=labels))
        return nodes

    def remove_rest(self, unwanted: Callable[[Labels], bool]) -> list[str]:
        return []

    def close(self) -> None:
        pass

    def _who(self, node: Node) -> str:
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads((self._folder / node.id / _FACTS).read_text())["who"])
        return ""

    def _pid(self, node: Node) -> int:
        """The node's pid while it may still have living processes, else 0."""
        child = self._children.get(node.id)
        if child is not None:
            return child.pid
        who = self._who(node)
        return sessions.pid_of(who) if sessions.is_alive(who) else 0

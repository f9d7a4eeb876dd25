"""Runtimes, waiters and listeners that obey the Protocols without a process, a container or a clock."""

from dataclasses import replace

from fastci.config import Mode, parse_settings
from fastci.errors import Interrupted, TechnicalError
from fastci.lifecycle.labels import Labels
from fastci.lifecycle.runtime import Ended, Launch, Node, Place
from fastci.lifecycle.stage import Stage
from fastci.lifecycle.workspace import Workspace


class FakeWaiter:
    """A clock that moves when somebody waits. `interrupt_at` raises once that time is reached."""

    def __init__(self):
        self.time = 1000.0
        self.interrupt_at = None
        self.held = False
        self.limit = None
        self.on_pause = lambda: None

    def check(self):
        if self.interrupt_at is not None and self.time >= self.interrupt_at and not self.held:
            raise Interrupted("interrupted by SIGINT")

    def pause(self, seconds):
        self.check()
        self.time += max(seconds, 0.001)
        self.on_pause()
        self.check()

    def now(self):
        return self.time

    def grace(self, seconds):
        return seconds if self.limit is None else min(seconds, self.limit)


class FakeRuntime:
    """Nodes are entries of a dict; a test writes their end, their log and their files."""

    name = "fake"
    ours = True
    shares_network = True

    def __init__(self, *, ready_after=0, url="http://127.0.0.1:9"):
        self.launches: list[Launch] = []
        self.nodes: dict[str, Node] = {}
        self.ends: dict[str, Ended] = {}
        self.logs: dict[str, str] = {}
        self.files: dict[Place, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.killed: list[str] = []
        self.removed: list[str] = []
        self.obeys = True
        self.on_start = lambda node: None
        self.broken: set[str] = set()
        self.reason = ""
        self.rest = {}
        self._looks = ready_after
        self._url = url

    def prepare(self):
        return "fake nodes"

    def start(self, launch):
        self._may("start")
        node = Node(id=f"n{len(self.launches)}", name=f"fast-{launch.mode}-{len(self.launches)}",
                    labels=launch.labels, ours=self.ours)  # fmt: skip
        self.launches.append(launch)
        self.nodes[node.id] = node
        self.on_start(node)
        return node

    def ended(self, node):
        self._may("ended")
        return self.ends.get(node.id)

    def proxy_url(self, node):
        self._looks -= 1
        return self._url if self._looks < 0 and node.id not in self.ends else ""

    def log(self, node):
        return self.logs.get(node.id, "")

    def ask_to_end(self, node):
        self.asked.append(node.id)
        if self.obeys:
            self.ends[node.id] = Ended(status=0)

    def kill(self, node):
        self.killed.append(node.id)
        self.ends[node.id] = Ended(status=137)

    def fetch(self, node, place, folder):
        self._may("fetch")
        paths = []
        for name, content in self.files.get(place, {}).items():
            (folder / name).write_bytes(content)
            paths.append(folder / name)
        return paths

    def remove(self, node):
        self._may("remove")
        self.removed.append(node.id)
        self.nodes.pop(node.id, None)

    def reach(self, node, host, port):
        return self.reason

    def find(self):
        return list(self.nodes.values())

    def remove_rest(self, unwanted):
        gone = [name for name, labels in self.rest.items() if unwanted(labels)]
        for name in gone:
            del self.rest[name]
        return gone

    def close(self):
        pass

    def _may(self, what):
        if what in self.broken:
            raise TechnicalError(f"cannot {what}", why="the engine does not answer any more")


class FakeListener:
    def __init__(self):
        self.begun = []
        self.steps = {}
        self.notes = []
        self.lines = []

    def begin(self, number, title):
        self.begun.append(number)

    def finish(self, number, step):
        self.steps[number] = step

    def note(self, line):
        self.notes.append(line)

    def progress(self, line):
        self.lines.append(line)


def make_stage(tmp_path, runtime=None, **environ):
    """A stage over fakes, its workspace made."""
    workspace = Workspace(tmp_path / ".fast")
    workspace.prepare()
    return Stage(
        runtime=runtime or FakeRuntime(),
        settings=parse_settings(environ),
        environ=environ,
        workspace=workspace,
        waiter=FakeWaiter(),
        listener=FakeListener(),
    )


def labels_of(**facts):
    """Labels of a recording node, with these facts changed."""
    usual = Labels(job="j", mode=Mode.RECORDING, build_id="", created=1000, deadline=2000)
    return replace(usual, **facts)

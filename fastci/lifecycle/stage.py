"""What the steps of one job share: the runtime, the workspace, the clock, and the telling of how it goes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from fastci.config import VARIABLES, Mode, Settings, Side
from fastci.errors import FatalError, Interrupted
from fastci.lifecycle import nodes
from fastci.lifecycle.interrupts import Waiter
from fastci.lifecycle.labels import Labels, make_labels
from fastci.lifecycle.runtime import Launch, Node, NodeFile, Runtime
from fastci.lifecycle.workspace import Workspace
from fastci.results import Step, StepState

TITLES = {
    1: "target reachable",
    2: "node recording",
    3: "proxy settings prepared",
    4: "existing tests",
    5: "recorder stopped and removed, record kept",
    6: "node testing",
    7: "results collected, node removed",
}
_BY_RUNTIME = (
    "FAST_LISTEN",
    "FAST_STORE",
    "FAST_SCRATCH",
    "FAST_REPORTS",
    "FAST_EXTENSIONS",
    "FAST_AUTHS",
    "FAST_POLICIES",
)
"""Variables that say where things are on this side; in a node they are elsewhere."""


class Listener(Protocol):
    """Who is told how it goes."""

    def begin(self, number: int, title: str) -> None: ...

    def finish(self, number: int, step: Step) -> None: ...

    def note(self, line: str) -> None:
        """One fact that matters beside the steps: what was swept, what went wrong on the way out."""

    def progress(self, line: str) -> None:
        """One console line of a testing node."""


@dataclass
class Note:
    """What a step says of itself when it ends."""

    text: str = ""
    state: StepState = "done"


@dataclass(kw_only=True)
class Stage:
    """Everything one job works with. `job` tells two jobs in one workspace apart."""

    runtime: Runtime
    settings: Settings
    environ: Mapping[str, str]
    workspace: Workspace
    waiter: Waiter
    listener: Listener
    job: str = ""
    steps: list[Step] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What the nodes of this job are labelled with."""
        return self.workspace.job_key(self.job)

    @contextmanager
    def step(self, number: int) -> Iterator[Note]:
        """One of the seven: timed, told, and marked by how it ends."""
        self.waiter.check()
        self.listener.begin(number, TITLES[number])
        since, note = self.waiter.now(), Note()
        try:
            yield note
        except BaseException as error:
            note.state = "interrupted" if isinstance(error, Interrupted) else "failed"
            note.text = error.what if isinstance(error, FatalError) else type(error).__name__
            raise
        finally:
            seconds = self.waiter.now() - since
            step = Step(name=TITLES[number], state=note.state, seconds=seconds, note=note.text)
            self.steps.append(step)
            self.listener.finish(number, step)

    def launch(
        self,
        mode: Mode,
        given: Mapping[str, str],
        files: Sequence[NodeFile],
        *,
        record_id: str = "",
        tended: bool = True,
    ) -> Node:
        labels = make_labels(
            job=self.key,
            mode=mode,
            build_id=self.settings.build_id,
            lifetime=self.settings.fast_deadline,
            record_id=record_id,
            tended=tended,
        )
        return self.runtime.start(
            Launch(
                variables=self.node_variables(mode, given),
                labels=labels,
                files=tuple(files),
                port=self.settings.fast_port if mode is Mode.RECORDING else 0,
                tended=tended,
            )
        )

    def node_variables(self, mode: Mode, given: Mapping[str, str]) -> dict[str, str]:
        """The environment of a node: what the user set for this mode, and what this job decides.

        An image that is not ours gets what FAST documents; ours gets no secret of its cloud, unless that is
        the one of a shared store.
        """
        ours = self.runtime.ours
        chosen = {"CI_MODE": mode.value}
        for variable in VARIABLES.values():
            value = self.environ.get(variable.name) or self.environ.get(variable.alias or "-") or ""
            wanted = variable.side is not Side.CI and mode in variable.modes
            wanted &= (variable.ours or not variable.secret) if ours else not variable.ours
            if value.strip() and wanted and variable.name not in (*_BY_RUNTIME, "CI_MODE"):
                chosen[variable.name] = value
        if ours:
            chosen["FAST_EXIT_CODES"] = "detailed"
        if ours and self.settings.shares_store:
            chosen["FAST_STORE"] = self.settings.fast_store
            if self.settings.wallarm_api_token:
                chosen["WALLARM_API_TOKEN"] = self.settings.wallarm_api_token
        allowed = {name for name in given if ours or not VARIABLES[name].ours}
        return chosen | {name: given[name] for name in allowed if given[name]}

    def keep_log(self, node: Node) -> str:
        """The node's console lines, also kept in the workspace."""
        log = self.runtime.log(node)
        with suppress(OSError):
            (self.workspace.logs / f"{node.name}.log").write_text(log)
        return log

    def sweep(self) -> None:
        """Remove what crashed jobs left."""
        nodes.sweep(self.runtime, self.listener.note)

    def clean(self) -> list[str]:
        """Remove every node of this job, of this build if one is named, and leftovers; returns the names."""

        def unwanted(labels: Labels) -> bool:
            mine = labels.job == self.key and self.settings.build_id in ("", labels.build_id)
            return mine or labels.is_leftover(time.time())

        removed = []
        for node in self.runtime.find():
            if unwanted(node.labels):
                self.runtime.remove(node)
                removed.append(node.name)
        return removed + self.runtime.remove_rest(unwanted)

    def end_and_take(self, node: Node, take: Callable[[Node], str]) -> None:
        """End a node on the way out, `take` what it holds. Faults are told, not raised: others wait.

        One that cannot be told to end is asked all the same: what it holds is on its disk at any time.
        """
        with self._telling_faults():
            nodes.end(self.runtime, node, self.waiter, self.settings.fast_stop_timeout)
        with self._telling_faults():
            if kept := take(node):
                self.listener.note(f"kept: {kept}")
            return
        with suppress(FatalError):
            self.runtime.remove(node)

    @contextmanager
    def _telling_faults(self) -> Iterator[None]:
        try:
            yield
        except FatalError as error:
            self.listener.note(error.what + (f": {error.why}" if error.why else ""))

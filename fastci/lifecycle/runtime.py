"""The seam between the steps and what carries a node: a container, or an embedded process."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from fastci.config import Mode
from fastci.lifecycle.labels import Labels

READY_LINE = re.compile(r"TestRecord#\S+ .*starts to record")
"""What a recording node prints when it is ready (spec: node.md, recording)."""
LISTENING_LINE = re.compile(r"listening on (\S+):(\d+)\s*$", re.M)


class Place(StrEnum):
    """Folders of a node that files travel to and from."""

    RECORDS = "records"
    RUNS = "runs"
    REPORTS = "reports"
    EXTENSIONS = "custom_extensions"
    AUTHS = "dsl_auths"
    POLICIES = "policies"
    AUTHORITY = "authority"


@dataclass(frozen=True, kw_only=True)
class NodeFile:
    """A file for a node. `variable`, where given, is set to the path that the file has in there."""

    place: Place
    source: Path
    variable: str = ""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What is to be started: a node's environment, files and labels; `port` 0 takes a free one.

    A node that is not `tended` outlives the process that starts it.
    """

    variables: Mapping[str, str]
    labels: Labels
    files: tuple[NodeFile, ...] = ()
    port: int = 0
    tended: bool = True

    @property
    def mode(self) -> Mode:
        return self.labels.mode


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node that was started. `id` is the runtime's own name for it, `name` is for people.

    `ours` is False for one that an image of somebody else's made.
    """

    id: str
    name: str
    labels: Labels = field(repr=False)
    ours: bool = True

    @property
    def mode(self) -> Mode:
        return self.labels.mode


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a node ended. `status` is None where it cannot be known; `reason` says what the log does not."""

    status: int | None
    reason: str = ""


class Runtime(Protocol):
    """Carries nodes. Every method returns soon; all raise TechnicalError when the carrier itself fails.

    Attributes: `name` is `docker` or `process`; `ours` whether the nodes it starts are this project's (known
    after `prepare`); `shares_network` whether they see the same network as this process does.
    """

    name: str
    ours: bool
    shares_network: bool

    def prepare(self) -> str:
        """Make what nodes are started from exist; says in one line what it is.

        Raises UsageError or TechnicalError when it cannot be had.
        """
        ...

    def start(self, launch: Launch) -> Node:
        """Start a node; on any error nothing is left of it."""
        ...

    def ended(self, node: Node) -> Ended | None:
        """How the node ended; None while it runs."""
        ...

    def proxy_url(self, node: Node) -> str:
        """Where a node that is ready to record is reached from here; empty until it is ready."""
        ...

    def log(self, node: Node) -> str:
        """All console lines so far."""
        ...

    def ask_to_end(self, node: Node) -> None:
        """SIGTERM."""

    def kill(self, node: Node) -> None:
        """SIGKILL."""

    def fetch(self, node: Node, place: Place, folder: Path) -> list[Path]:
        """Copy the files of one folder of the node, also of an ended one, into `folder`: ours, not root's.

        Files of the same name are replaced; what is empty is not brought.
        """
        ...

    def remove(self, node: Node) -> None:
        """Leave nothing of the node, running or not. No error when it is gone already."""

    def reach(self, node: Node, host: str, port: int) -> str | None:
        """Connect to host and port from where the node is: empty when that works, else the reason.

        None where it cannot be tried.
        """
        ...

    def find(self) -> list[Node]:
        """All nodes of this product that are carried here, of any job."""
        ...

    def remove_rest(self, unwanted: Callable[[Labels], bool]) -> list[str]:
        """Remove what lost its node, a volume for example, where its labels are `unwanted`; the names."""
        ...

    def close(self) -> None:
        """Let go of connections."""

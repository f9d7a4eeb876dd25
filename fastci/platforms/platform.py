"""What a CI offers to a job: who it is, and ways to tell what happened."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Level = Literal["notice", "warning", "error"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """Facts of the job; empty where the CI does not tell. `job` names this very job, matrix cell and attempt.

    `job_file` is the repository path of the file that defines the job, `shard` is i/n for the i-th of n jobs
    that the CI runs in parallel.
    """

    repository: str = ""
    sha: str = ""
    branch: str = ""
    build_id: str = ""
    job: str = ""
    url: str = ""
    job_file: str = ""
    shard: str = ""


def shard_of(index: str, total: str, *, first: int) -> str:
    """i/n from a CI's own variables, of which `first` is the first index; empty where they say nothing."""
    if not (index.isdecimal() and total.isdecimal()):
        return ""
    number = int(index) - first + 1
    return f"{number}/{int(total)}" if 1 <= number <= int(total) else ""


class Platform(Protocol):
    """One CI. `annotates` where it shows messages elsewhere than in the log, at the lines they speak of."""

    name: str
    annotates: bool

    def context(self) -> Context: ...

    def mask(self, value: str) -> None:
        """Keep a value out of the job's log."""

    def group(self, title: str) -> AbstractContextManager[None]:
        """Lines printed inside can be folded away."""
        ...

    def annotate(self, level: Level, message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
        """A message where the CI shows messages, at a line of the repository if one is given."""

    def summary(self, markdown: str) -> None:
        """Add to the job's summary page."""

    def outputs(self, values: Mapping[str, str]) -> None:
        """Hand values to later steps."""

    def publish(self, *, name: str, comment: str = "", sarif: Path | None = None) -> None:
        """Keep one comment of this name on the pull or merge request, hand a SARIF file to code scanning.

        What is empty was not asked for. Says what came of it; what is not allowed is told, never an error.
        """

"""What a run would test, told without anything being sent."""

from collections.abc import Iterable
from dataclasses import dataclass

from fastci import results
from fastci.node.engine.footing import CONTROL_AT_LEAST, CONTROL_EVERY
from fastci.node.engine.scheduler import Prepared, Scheduler, Share, Task
from fastci.node.engine.work import no_gate
from fastci.node.store import Baseline


@dataclass(frozen=True, kw_only=True, slots=True)
class Foreseen:
    """The test set of one baseline.

    `points` are the names of the points that each type is tried at; none for a type whose checks look at the
    request as a whole or send requests of their own. `idle` are admitted points at which nothing is tried.
    `requests` counts the unmodified one and every attack; what is found, or what a first look rules out,
    changes it in the run. `note` says why the baseline comes last, `error` what is broken.
    """

    place: results.Place
    route: str
    points: dict[str, list[str]]
    idle: list[str]
    requests: int
    note: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """`tested` in the order of the run; `skipped` are the other baselines, the reason in their coverage."""

    tested: list[Foreseen]
    skipped: list[results.BaselineCheck]

    @property
    def requests(self) -> int:
        return sum(each.requests for each in self.tested)


def preview(task: Task, baselines: Iterable[Baseline]) -> Preview:
    """What a run of this task would do, by the very decisions that the run makes."""
    scheduler = Scheduler(task, say=_nobody, on_found=_nothing, gate=no_gate, share=Share())
    tested = [_foreseen(prepared) for prepared in scheduler.foresee(baselines)]
    skipped = [check for check in scheduler.checks if isinstance(check, results.BaselineCheck)]
    return Preview(tested=tested, skipped=skipped)


def _foreseen(prepared: Prepared) -> Foreseen:
    check = prepared.check
    attacks = sum(job.cost for job in prepared.jobs)
    points: dict[str, dict[str, None]] = {}
    for job in prepared.jobs:
        names = points.setdefault(job.extension.type, {})
        names.update((str(point.name), None) for point in job.points)
    tried = {name for names in points.values() for name in names}
    idle = dict.fromkeys(name for name, _ in check.rows if name != "*" and name not in tried)
    return Foreseen(
        place=check.item.place,
        route=check.item.route,
        points={kind: list(names) for kind, names in sorted(points.items())},
        idle=list(idle),
        requests=attacks + _controls(attacks),
        note=check.item.note,
        error=check.error,
    )


def _controls(attacks: int) -> int:
    """How often the unmodified request is sent: before, in between, and at the end of what is worth it."""
    between, rest = divmod(attacks, CONTROL_EVERY)
    return 1 + between + (rest >= CONTROL_AT_LEAST)


def _nobody(line: str) -> None:
    pass


def _nothing() -> None:
    pass

"""What an extension would do with one request, phase by phase, and at which phase it stops."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from fastci.node.dsl.attack import Attack
from fastci.node.dsl.extension import Condition, Extension, Memory
from fastci.node.dsl.markers import MarkerSource
from fastci.node.message import Request
from fastci.node.points import Point, PointPattern, list_points

_MOST = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Rehearsal:
    """`stopped` says why nothing is sent, empty where something is. `request` is the baseline after modify.

    `points` are those attacked, `attacks` the first _MOST test requests, `more` whether there are others.
    """

    stopped: str
    request: Request
    points: Sequence[Point] = ()
    attacks: Sequence[Attack] = ()
    more: bool = False


def rehearse(
    extension: Extension,
    request: Request,
    *,
    admits: Callable[[Sequence[Point]], list[Point]],
    memory: Memory,
    markers: MarkerSource,
) -> Rehearsal:
    """Go through the phases up to the sending. `admits` are the points that the policy leaves.

    Raises ExtensionFault for an expression that hangs.
    """
    points = list_points(request)
    if not extension.collects(points, memory):
        missing = not any(isinstance(item, str) or _all_there(item, points) for item in extension.uniq)
        why = "none of the points of `uniq` is there" if missing else "seen before in this run (`uniq`)"
        return Rehearsal(stopped=f"collect: {why}", request=request)
    for condition in extension.conditions:
        if not condition.holds(points):
            return Rehearsal(stopped=f"match: {_unmet(condition, points)}", request=request)
    changed = extension.modified(request)
    all_points = points if changed is request else list_points(changed)
    targets = extension.targets(admits(all_points))
    if not targets and not extension.sends and not extension.whole:
        meant = extension.targets(all_points)
        names = ", ".join(str(point.name) for point in meant[:3])
        why = f"the policy does not admit {names}" if meant else "no point of the request is meant by `into`"
        return Rehearsal(stopped=f"generate: {why}", request=changed)
    made = (attack for point in targets or (None,) for attack in extension.attacks(changed, point, markers))
    attacks = list(islice(made, _MOST + 1))
    return Rehearsal(
        stopped="", request=changed, points=targets, attacks=attacks[:_MOST], more=len(attacks) > _MOST
    )


def _all_there(item: Sequence[PointPattern], points: Sequence[Point]) -> bool:
    return all(pattern.select(points) for pattern in item)


def _unmet(condition: Condition, points: Sequence[Point]) -> str:
    """Why a condition does not hold, with its place in the file."""
    wanted = "must be absent" if condition.value is None else f"must match {condition.value.pattern!r}"
    found = condition.point.select(points)
    values = ", ".join(repr(point.value.decode("utf-8", "replace")[:60]) for point in found[:3])
    here = f"it is {values}" if found else "there is no such point"
    return f"{condition.point.text} {wanted}, but {here} ({condition.where})"

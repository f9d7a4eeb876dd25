"""What the test set of one baseline is: its jobs, what each found, and what is known of every point."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from fastci import results
from fastci.node.dsl import Extension
from fastci.node.engine.plan import Item
from fastci.node.message import Request
from fastci.node.points import Point

_NO_EFFECT = "no extension of this type applies here"
_NOT_REACHED = "the test set ended before it was tried"
_FEIGNED = {"rce": frozenset({"nosqli", "sqli", "ssti"})}
"""By type: which others a flaw can feign. Code at a point calculates, compares and calls by itself."""
_FEIGNS = "it could do what such a flaw does"


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One extension on one baseline: the request it attacks and the points it does that at.

    `points` is empty for an extension that looks at a request as a whole, or sends requests of its own.
    """

    extension: Extension
    request: Request
    points: Sequence[Point]

    @property
    def cost(self) -> int:
        """About how many requests it sends: what it tries at a point, at each of them."""
        extension = self.extension
        told = int(extension.oracle_options.get("requests", 0))
        tries = told or len(extension.sendings) or len(extension.payloads) * len(extension.methods)
        return max(tries, 1) * max(len(self.points), 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A confirmed vulnerability before it gets its place in the run."""

    extension: Extension
    point: str
    route: str
    evidence: results.Evidence
    confidence: results.Confidence = "confirmed"


@dataclass(kw_only=True, slots=True)
class Row:
    """What was done for one type of flaw at one point."""

    state: results.PointState = "skipped"
    requests: int = 0
    reason: str = _NO_EFFECT


@lru_cache(maxsize=8192)
def _covered(
    point: str, kind: str, state: results.PointState, requests: int, reason: str
) -> results.PointCoverage:
    """One row of coverage; ten thousand baselines have few different ones."""
    return results.PointCoverage(point=str(point), type=kind, state=state, requests=requests, reason=reason)


@dataclass(kw_only=True)
class Check:
    """How the test set of one baseline goes. Read it at any time: `result` is what is known so far."""

    item: Item
    state: results.CheckState = "waiting"
    error: str = ""
    changed: str = ""
    hurried: str = ""
    ended: bool = False
    found: list[Found] = field(default_factory=list)
    requests: int = 0
    elapsed: float = 0.0
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    settled: tuple[results.PointCoverage, ...] = ()
    done_before: set[tuple[str, str]] = field(default_factory=set)
    alike: bool = False

    def expect(self, point: str, kind: str) -> None:
        """Note that this type could be tried at this point; stays skipped unless an attack is sent."""
        self.rows[point, kind] = Row()

    def row(self, point: str, kind: str) -> Row:
        """The row of this type at this point, "" being the request as a whole; a new one if there is none."""
        return self.rows.setdefault((point or "*", kind), Row())

    def has(self, kind: str, point: Point) -> bool:
        """Whether such a flaw is known here, or in a part of what this point holds.

        A worse one that could feign it counts too: it is noted as the reason that this one was not tried.
        """
        parts = _parts_of(point.name)
        for f in self.found:
            if f.point == point.name or f.point.startswith(parts):
                if f.extension.type == kind:
                    return True
                if kind in _FEIGNED.get(f.extension.type, ()):
                    row = self.row(point.name, kind)
                    row.reason = (
                        row.reason if row.requests else f"{f.extension.type} is proven there: {_FEIGNS}"
                    )
                    return True
        return False

    def broken(self, extension: Extension, point: str, error: Exception) -> None:
        """A mistake in one extension must not end the run: it is a technical failure of this check."""
        what = f"{type(error).__name__}: {error}"
        row = self.row(point, extension.type)
        row.state, row.reason = "failed", f"Internal exception: {extension.name}: {what}"
        self.error = self.error or f"Internal exception: extension {extension.name}: {what}"

    def result(self, ids: Sequence[str]) -> results.BaselineCheck:
        """As part of the results; `ids` are the findings of this baseline."""
        place = self.item.place
        rows = [*self.settled, *self._coverage()]
        notes = "; ".join(filter(None, (self.item.note, self.changed, self.hurried)))
        if notes:
            rows.insert(0, results.PointCoverage(point="*", type="*", state=self._whole(), reason=notes))
        return results.BaselineCheck(
            baseline=place.baseline, method=place.method, url=place.url, route=self.item.route,
            state=self.state, requests=self.requests, elapsed=round(self.elapsed, 3), error=self.error,
            test=place.test, findings=list(ids), coverage=rows,
        )  # fmt: skip

    def _outcome(self, row: Row) -> tuple[results.PointState, str]:
        """What nothing was sent for could not be tested there, unless the test set had no time to try."""
        if row.state != "skipped" or row.reason != _NO_EFFECT:
            return row.state, row.reason
        return ("impossible", _NO_EFFECT) if self.ended else ("skipped", _NOT_REACHED)

    def restore_unit(
        self, extension: str, point: str, kind: str, state: results.PointState, requests: int, reason: str
    ) -> None:
        """What an extension did at a point before this run was interrupted: it is not done again."""
        row = self.row(point, kind)
        row.state, row.reason = state, reason
        row.requests += requests
        self.requests += requests
        self.done_before.add((extension, point))

    def settle(self) -> None:
        """It has ended: from now on its coverage takes little room, as others have the same."""
        self.settled, self.rows = (*self.settled, *self._coverage()), {}

    def _coverage(self) -> list[results.PointCoverage]:
        return [
            _covered(point, kind, state, row.requests, reason)
            for (point, kind), row in self.rows.items()
            for state, reason in (self._outcome(row),)
        ]

    def _whole(self) -> results.PointState:
        if self.state == "tech_failed":
            return "failed"
        return "tested" if self.state in ("passed", "failed") else "skipped"


def parts_first(points: Sequence[Point]) -> list[Point]:
    """The points with those that hold others at the end: a flaw of a part is not told for the whole again."""
    stems = {stem for point in points for stem in _stems(point.name)}
    return sorted(points, key=lambda point: not stems.isdisjoint(_parts_of(point.name)))


def _parts_of(name: str) -> tuple[str, ...]:
    """How the names of points begin that are parts of this one."""
    if name == "URI_value":
        return ("PATH_", "ACTION_")
    return (name.removesuffix("_value") + "_",) if name.endswith("_value") else ()


def _stems(name: str) -> Iterator[str]:
    """Every beginning of a name that could be another point's."""
    words = name.split("_")[:-1]
    for end in range(1, len(words)):
        yield "_".join(words[:end]) + "_"


def marker_seed(seed: int, baseline: str, extension: str, point: str) -> int:
    """The seed of one stream of markers, 64 bits: the same however many workers there are."""
    text = "\n".join((str(seed), baseline, extension, point)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())

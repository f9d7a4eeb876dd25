"""What a run has done so far, written down as it goes: a run that was killed goes on where it was.

A file beside the results for each process, `tr_0001.0.journal`, one JSON list a line: `begin` with what the
run is about, `unit` for an extension that is done with a point, `found`, and `end` for a test set. A line is
one write, so a killed process leaves whole lines but perhaps the last; a power cut may lose more.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastci import results
from fastci.config import Settings
from fastci.node.dsl import Extension
from fastci.node.engine.check import Check, Found
from fastci.node.policy import Policy
from fastci.node.store import Record

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_FORMAT = "fast-journal/1"
_ENDED = ("passed", "failed")
"""States that a test set keeps; what failed technically is tried again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalPlace:
    """Where the journals of a run lie; `subject` says what the run is about, as a digest."""

    folder: Path
    run_id: str
    record_id: str
    subject: str

    def files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.run_id}.*.journal"))

    def remove(self) -> None:
        """Forget the run: it is complete, or begins anew."""
        for path in self.files():
            path.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """A run that can go on."""

    run_id: str
    record_id: str
    subject: str


def unfinished_runs(folder: Path) -> list[Unfinished]:
    """The runs that left a journal, the latest first."""
    paths = sorted(folder.glob("tr_*.journal"), key=lambda path: path.stat().st_mtime, reverse=True)
    found: dict[str, Unfinished] = {}
    for path in paths:
        run_id = path.name.partition(".")[0]
        begin = next(_lines(path), [])
        if run_id not in found and begin[:2] == ["begin", _FORMAT]:
            found[run_id] = Unfinished(run_id=run_id, record_id=begin[2], subject=begin[3])
    return list(found.values())


def subject_of(settings: Settings, record: Record, policy: Policy, extensions: Iterable[Extension]) -> str:
    """A digest of all that decides which tests a run makes: only a run of the same subject can go on."""
    facts = [
        record.id, record.created, record.baselines, settings.test_run_uri, settings.fast_seed,
        settings.fast_shard, settings.fast_skip_duplicates, settings.file_extensions_to_exclude,
        policy.id, policy.name, sorted(policy.types), policy.custom_only,
        [point.text for point in (*policy.include, *policy.exclude)],
        [[e.name, e.type, e.methods, e.payloads] for e in extensions],
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(kw_only=True, slots=True)
class _Known:
    """What the journals say of one baseline."""

    units: list[list[Any]] = field(default_factory=list)
    found: list[list[Any]] = field(default_factory=list)
    end: list[Any] | None = None


class Journal:
    """Reads what was done before, and writes down what is done now. One a process.

    Raises OSError when it cannot be written.
    """

    def __init__(self, place: JournalPlace, share: int, extensions: Sequence[Extension]) -> None:
        self._extensions = {extension.name: extension for extension in extensions}
        self._known: dict[str, _Known] = {}
        for path in place.files():
            for line in _lines(path):
                self._note(line)
        path = place.folder / f"{place.run_id}.{share}.journal"
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        if os.fstat(self._file).st_size:
            os.write(self._file, b"\n")  # the last line may be half a one
        self._write("begin", _FORMAT, place.record_id, place.subject)

    def _note(self, line: list[Any]) -> None:
        match line:
            case ["unit", str(baseline), *unit]:
                self._known.setdefault(baseline, _Known()).units.append(unit)
            case ["found", str(baseline), *found]:
                self._known.setdefault(baseline, _Known()).found.append(found)
            case ["end", str(baseline), *end]:
                self._known.setdefault(baseline, _Known()).end = end

    def restore(self, check: Check) -> bool:
        """Put into a check what is known of it; True when its test set had ended."""
        known = self._known.pop(check.item.baseline.id, None)
        if known is None:
            return False
        for name, point, kind, state, requests, reason in known.units:
            check.restore_unit(name, point, kind, state, requests, reason)
        for name, point, route, confidence, evidence in known.found:
            if (extension := self._extensions.get(name)) is not None:
                check.found.append(
                    Found(
                        extension=extension, point=point, route=route, confidence=confidence,
                        evidence=_evidence().validate_python(evidence),
                    )
                )  # fmt: skip
        if known.end is None:
            return False
        check.state, check.changed, check.alike, check.requests, check.elapsed = known.end
        check.ended = True
        if check.found:
            check.state = "failed"
        return True

    def unit(
        self,
        check: Check,
        extension: Extension,
        point: str,
        state: results.PointState,
        requests: int,
        reason: str,
    ) -> None:
        """An extension is done with a point."""
        baseline = check.item.baseline.id
        self._write("unit", baseline, extension.name, point, extension.type, state, requests, reason)

    def found(self, check: Check, found: Found) -> None:
        evidence = _evidence().dump_python(found.evidence, mode="json")
        self._write(
            "found", check.item.baseline.id, found.extension.name, found.point, found.route, found.confidence,
            evidence,
        )  # fmt: skip

    def ended(self, check: Check) -> None:
        """The test set of a baseline has come to its end."""
        if check.state in _ENDED:
            facts = (check.state, check.changed, check.alike, check.requests, round(check.elapsed, 3))
            self._write("end", check.item.baseline.id, *facts)

    def close(self) -> None:
        os.close(self._file)

    def _write(self, *words: object) -> None:
        os.write(self._file, json.dumps(words).encode() + b"\n")


def _lines(path: Path) -> Iterator[list[Any]]:
    """The whole lines of a journal."""
    with path.open("rb") as file:
        for line in file:
            try:
                words = json.loads(line)
            except ValueError:
                continue
            if isinstance(words, list) and words:
                yield words


@cache
def _evidence() -> "TypeAdapter[results.Evidence]":
    from pydantic import TypeAdapter

    return TypeAdapter(results.Evidence)

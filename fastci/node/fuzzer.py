"""The fuzzer: which of the 255 bytes 0x01..0xFF a value minds (spec/policy.md, docs/policies.md).

`fuzz` plays one point: it yields what to send as its value and is sent what the answer looks like. Nothing
here sends anything. Bytes go out in runs; when one is anomalous, one request per byte finds the guilty ones.

What is anomalous a policy says, or the answers do: those to the unmodified value and to harmless letters
(digits where a number stands) in the same place show what the target does anyhow, jitter included. Answers
that differ strongly from all of them are candidates. They hold when they come again while a harmless value in
between still does not show it. Refusing input with a 4xx is what an application should do, and no anomaly.
"""

import operator
import random
import re
import statistics
import string
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastci.node.points import compile_ruby

SIZE = 32
"""Bytes of a payload where the policy says nothing."""

_BYTES = bytes(range(1, 256))
_REGEX_TIMEOUT = 1.0
_COMPARISON = re.compile(r"(<=|>=|!=|<|>|=)?\s*(\d+(?:\.\d+)?)")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
    "!=": operator.ne, "": operator.eq,
}  # fmt: skip
_NUMBER = re.compile(rb"\s*-?\d+(?:\.\d+)?\s*")
_HARMLESS_RUNS = 2
_UNMODIFIED = 3
_HARD_REPEATS = 3
_SOFT_REPEATS = 5
_NEW_WORDS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What an answer looks like. `status` is 0 when none came; `timed_out` says that it was waited for.

    `length` is bytes of the body, `time` seconds, `elements` those of the parsed page, `body` its text.
    `words` are the plain words in it, `weight` its length, both without the echo of what was sent.
    """

    status: int
    length: int = 0
    time: float = 0.0
    elements: int = 0
    body: str = ""
    words: frozenset[str] = frozenset()
    weight: int = 0
    timed_out: bool = False


@dataclass(kw_only=True, eq=False)
class Trial:
    """One request: `value` at the point, made of `payload`. Whoever sends it may keep the `reply` here."""

    value: bytes
    payload: bytes = b""
    reply: Any = None


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """`guilty` bytes change the answer each by itself; none where only the whole payload does."""

    guilty: bytes
    reason: str
    trial: Trial
    again: Trial
    control: Trial


class Conditions:
    """The conditions of one section; all must hold. An empty section never holds."""

    def __init__(self, section: Mapping[str, Any]) -> None:
        self._checks = [_condition(key, str(text)) for key, text in section.items()]

    def __bool__(self) -> bool:
        return bool(self._checks)

    def hold(self, seen: Seen, usual: Seen, *, anomalies: int = 0, timeouts: int = 0) -> bool:
        """`usual` is the baseline's answer. Raises TimeoutError for an expression that hangs."""
        facts = {
            "status": seen.status, "length": seen.length, "time": seen.time, "body": seen.body,
            "length-diff": abs(seen.length - usual.length), "time-diff": abs(seen.time - usual.time),
            "dom-diff": abs(seen.elements - usual.elements),
            "anomalies": anomalies, "timeout-errors": timeouts,
        }  # fmt: skip
        return bool(self._checks) and all(check(facts) for check in self._checks)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A policy's `fuzzer` section.

    `place` is where payloads go: to the beginning, a random place or the end; or in place of the first, the
    last or some bytes of the value, `count` of them, or of the whole.
    """

    size: int = SIZE
    place: str = "end"
    count: int = 0
    anomaly: Conditions = field(default_factory=lambda: Conditions({}))
    usual: Conditions = field(default_factory=lambda: Conditions({}))
    stop: Conditions = field(default_factory=lambda: Conditions({}))

    def value(self, value: bytes, payload: bytes, chance: random.Random) -> bytes:
        """The value with the payload in it."""
        count = min(self.count, len(value))
        match self.place:
            case "beginning":
                return payload + value
            case "random":
                at = chance.randint(0, len(value))
                return value[:at] + payload + value[at:]
            case "first":
                return payload + value[count:]
            case "last":
                return value[: len(value) - count] + payload
            case "some":
                at = chance.randint(0, len(value) - count)
                return value[:at] + payload + value[at + count :]
            case "whole":
                return payload
            case _:
                return value + payload


def read_recipe(section: Mapping[str, Any]) -> Recipe:
    """From the checked section of a policy."""
    payload = section.get("payload", {})
    place = payload.get("insert") or payload.get("replace") or "end"
    if payload.get("replace") == "random":
        place = "some"
    return Recipe(
        size=payload.get("size", SIZE),
        place=place,
        count=payload.get("bytes", 1),
        anomaly=Conditions(section.get("anomaly-if", {})),
        usual=Conditions(section.get("not-anomaly-if", {})),
        stop=Conditions(section.get("stop-if", {})),
    )


class Usual:
    """What the target does anyhow: all answers to unmodified and harmless values so far."""

    def __init__(self) -> None:
        self._baseline: list[Seen] = []
        self._all: list[Seen] = []
        self._words: frozenset[str] = frozenset()
        self._statuses: frozenset[int] = frozenset()

    def add(self, seen: Seen, *, unmodified: bool = False) -> None:
        self._all.append(seen)
        self._words |= seen.words
        self._statuses |= {seen.status}
        if unmodified:
            self._baseline.append(seen)

    @property
    def silent(self) -> bool:
        """Whether some harmless request got no answer: nothing can be told then."""
        return 0 in self._statuses

    @property
    def baseline(self) -> Seen:
        """The answer to the unmodified value: medians, as single answers jitter."""
        answers = self._baseline
        return Seen(
            status=answers[0].status,
            length=round(statistics.median(seen.length for seen in answers)),
            time=statistics.median(seen.time for seen in answers),
            elements=round(statistics.median(seen.elements for seen in answers)),
        )

    def oddity(self, seen: Seen) -> tuple[str, str]:
        """In which way an answer differs strongly from all of these, and how; empty where it does not."""
        if not seen.status:
            return (
                "silence",
                "no answer in time" if seen.timed_out else "the connection ends without an answer",
            )
        if seen.status not in self._statuses:
            if 400 <= seen.status < 500:
                return "", ""
            usually = ", ".join(str(status) for status in sorted(self._statuses))
            return "status", f"status {seen.status}, otherwise {usually}"
        times = [each.time for each in self._all]
        if seen.time > max(times) + max(1.0, 3 * (max(times) - min(times))):
            return "time", f"{seen.time:.1f} s, otherwise at most {max(times):.1f} s"
        for kind, name, least in (("elements", "elements of the page", 10), ("weight", "bytes", 200)):
            sizes = [getattr(each, kind) for each in self._all]
            room = max(least, 0.5 * max(sizes), 3 * (max(sizes) - min(sizes)))
            found = getattr(seen, kind)
            if not min(sizes) - room <= found <= max(sizes) + room:
                return kind, f"{found} {name}, otherwise {min(sizes)} to {max(sizes)}"
        new = sorted(seen.words - self._words)
        if len(new) >= _NEW_WORDS:
            return "words", "words that are never there otherwise: " + ", ".join(new[:6])
        return "", ""

    def refuses(self, seen: Seen) -> bool:
        """Whether this is a refusal that harmless values do not get."""
        return 400 <= seen.status < 500 and seen.status not in self._statuses


Game = Generator[Trial, Seen, list[Anomaly]]


def fuzz(value: bytes, recipe: Recipe, chance: random.Random) -> Game:
    """Play one point. Yields trials, is sent what their answers look like, returns what was found.

    `chance` decides random places and the harmless letters. Nothing is found at a target that does not answer
    harmless values reliably.
    """
    return _Play(value, recipe, chance).run()


class _Play:
    def __init__(self, value: bytes, recipe: Recipe, chance: random.Random) -> None:
        self._value = value
        self._recipe = recipe
        self._chance = chance
        self._usual = Usual()
        self._found: list[Anomaly] = []
        self._timeouts = 0
        self._over = False
        self._proven: set[str] = set()
        self._alphabet = string.digits if _NUMBER.fullmatch(value) else string.ascii_lowercase

    def run(self) -> Game:
        for _ in range(_UNMODIFIED):
            self._usual.add((yield Trial(value=self._value)), unmodified=True)
        for length in (1, self._recipe.size) * _HARMLESS_RUNS:
            self._usual.add((yield self._harmless(length)))
        if self._usual.silent:
            return []
        runs = deque(_runs(_BYTES, self._recipe.size))
        while runs and not self._over:
            run = runs.popleft()
            trial = self._trial(run)
            seen = yield trial
            if self._is_odd(seen):
                yield from self._narrow(run, trial, seen)
            elif not self._recipe.anomaly and self._usual.refuses(seen) and len(run) > 1:
                # One byte that is refused hides what the others do.
                middle = len(run) // 2
                runs.extendleft((run[middle:], run[:middle]))
        return self._found

    def _narrow(self, run: bytes, trial: Trial, seen: Seen) -> Generator[Trial, Seen, None]:
        """Find the guilty bytes of a run that was answered oddly."""
        if len(run) == 1:
            yield from self._confirm(run, trial, seen)
            return
        before = len(self._found)
        for byte in run:
            if self._over:
                break
            single = self._trial(bytes([byte]))
            seen_single = yield single
            if self._is_odd(seen_single):
                yield from self._confirm(bytes([byte]), single, seen_single)
        if len(self._found) == before:
            yield from self._confirm(run, trial, seen)

    def _confirm(self, payload: bytes, trial: Trial, seen: Seen) -> Generator[Trial, Seen, None]:
        """Ask again, a harmless value each time between; put down what holds.

        This is carried through also where the answer itself says that fuzzing stops.
        """
        kind, reason = self._reason(seen)
        repeats = 1
        if not self._recipe.anomaly and kind not in self._proven:
            repeats = _HARD_REPEATS if kind in ("silence", "status", "time") else _SOFT_REPEATS
        again = control = trial
        for _ in range(repeats):
            control = self._harmless(len(payload))
            harmless = yield control
            if self._is_odd(harmless, counts=False):
                return
            self._usual.add(harmless)
            again = self._trial(payload)
            if not self._is_odd((yield again), counts=False):
                return
        self._proven.add(kind)
        guilty = payload if len(payload) == 1 else b""
        self._found.append(Anomaly(guilty=guilty, reason=reason, trial=trial, again=again, control=control))
        self._look_whether_to_stop(seen)

    def _trial(self, payload: bytes) -> Trial:
        return Trial(value=self._recipe.value(self._value, payload, self._chance), payload=payload)

    def _harmless(self, length: int) -> Trial:
        return self._trial("".join(self._chance.choices(self._alphabet, k=length)).encode())

    def _is_odd(self, seen: Seen, *, counts: bool = True) -> bool:
        """Whether this answer is anomalous; `counts`: it is the first to its payload, and may end it all."""
        if counts:
            self._timeouts += seen.timed_out
            self._look_whether_to_stop(seen)
        recipe, usual = self._recipe, self._usual.baseline
        if recipe.usual.hold(seen, usual):
            return False
        if recipe.anomaly:
            return recipe.anomaly.hold(seen, usual)
        return bool(self._usual.oddity(seen)[0])

    def _look_whether_to_stop(self, seen: Seen) -> None:
        stop = self._recipe.stop
        if stop.hold(seen, self._usual.baseline, anomalies=len(self._found), timeouts=self._timeouts):
            self._over = True

    def _reason(self, seen: Seen) -> tuple[str, str]:
        if not self._recipe.anomaly:
            return self._usual.oddity(seen)
        usual = self._usual.baseline
        return "conditions", (
            f"status {seen.status}, {seen.length} bytes, {seen.time:.2f} s; "
            f"otherwise status {usual.status}, {usual.length} bytes, {usual.time:.2f} s"
        )


def _runs(data: bytes, size: int) -> Iterable[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _condition(key: str, text: str) -> Callable[[Mapping[str, Any]], bool]:
    compared = _COMPARISON.fullmatch(text.strip())
    if key != "body" and compared:
        compare, bound = _OPERATORS[compared[1] or ""], float(compared[2])
        # An answer that did not come has no status to compare.
        return lambda facts: bool((key != "status" or facts[key]) and compare(facts[key], bound))
    pattern = compile_ruby(text)
    whole = key == "status"
    if whole:
        return lambda facts: pattern.fullmatch(str(facts[key]), timeout=_REGEX_TIMEOUT) is not None
    return lambda facts: pattern.search(facts[key], timeout=_REGEX_TIMEOUT) is not None

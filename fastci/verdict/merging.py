"""Several runs as one: the shards of a job, joined so that nothing counts twice."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fastci.errors import UsageError
from fastci.results import BaselineCheck, CheckState, Finding, PointCoverage, Run, RunState, Step, StepState
from fastci.verdict.coverage import POINT_STATES, WHOLE

_WORST: tuple[CheckState, ...] = ("failed", "tech_failed", "interrupted", "running", "waiting", "passed")
_WORST_STEP: tuple[StepState, ...] = ("failed", "interrupted", "done", "skipped")
_SLICES = 120


def merge_runs(runs: Sequence[Run]) -> Run:
    """One run of all of them: counters added, the same baseline and the same flaw of two shards joined.

    The first gives name and record. What was judged is dropped, as it must be judged anew. Where a shard is
    missing the whole counts as interrupted. Raises UsageError for none, or for the same run or shard twice.
    """
    if not runs:
        raise UsageError("there is nothing to merge", hint="name the results files of the shards")
    names = [(run.id, run.name, run.start_time, run.seed) for run in runs]
    if twice := next((name for number, name in enumerate(names) if name in names[:number]), None):
        raise UsageError(
            f"the run {twice[0]} {twice[1]} was given twice", why="its requests would count twice"
        )
    missing = _missing_shards(runs)
    renamed = [_with_own_names(run, number, runs) for number, run in enumerate(runs)]
    checks = _joined_checks(check for run in renamed for check in run.checks)
    findings = _joined_findings(finding for run in renamed for finding in (*run.findings, *run.accepted))
    first = runs[0]
    merged = replace(
        first,
        name=f"{first.name} merged",
        checks=_listed(checks, findings),
        findings=findings,
        accepted=[],
        absent=[],
        past=[],
        compared_with="",
        verdict=None,
        state="interrupted" if missing else _state(runs),
        shard="",
        complete=all(run.complete for run in runs) and not missing,
        start_time=min(run.start_time for run in runs),
        end_time=max(run.end_time for run in runs),
        target=", ".join(dict.fromkeys(run.target for run in runs if run.target)),
        domains=list(dict.fromkeys(domain for run in runs for domain in run.domains)),
        planned_requests=sum(run.planned_requests for run in runs),
        current_rps=sum(run.current_rps for run in runs),
        seen=_seen(runs),
        messages=list(dict.fromkeys(message for run in runs for message in run.messages)) + missing,
        steps=_steps(runs),
        merged=[name for run in runs for name in (run.merged or [run.id])],
    )
    return replace(merged, pace=_pace(runs, merged.start_time, merged.end_time))


def _missing_shards(runs: Sequence[Run]) -> list[str]:
    """What to say of shards that are not there. Raises UsageError for one that is there twice."""
    there: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        number, _, count = run.shard.partition("/")
        if not count:
            continue
        known = there.setdefault((run.record_id, count), set())
        if number in known:
            raise UsageError(
                f"shard {run.shard} of record {run.record_id} was given twice",
                why="one of the files is left from another run",
                hint="remove old results before testing, or name the files that belong together",
            )
        known.add(number)
    return [
        f"shard {number}/{count} of record {record} is missing: its job left no results"
        for (record, count), known in there.items()
        for number in range(1, int(count) + 1)
        if str(number) not in known
    ]


def _with_own_names(run: Run, number: int, runs: Sequence[Run]) -> Run:
    """Baselines of other records may have the same names: those of the later shards then get a suffix."""
    taken = {check.baseline: _request(check) for other in runs[:number] for check in other.checks}
    clash = any(taken.get(check.baseline, _request(check)) != _request(check) for check in run.checks)
    if not clash:
        return run

    def named(baseline: str) -> str:
        return f"{baseline}.{number + 1}"

    def moved(finding: Finding) -> Finding:
        return replace(finding, places=[replace(p, baseline=named(p.baseline)) for p in finding.places])

    return replace(
        run,
        checks=[replace(check, baseline=named(check.baseline)) for check in run.checks],
        findings=[moved(finding) for finding in run.findings],
        accepted=[moved(finding) for finding in run.accepted],
    )


def _request(check: BaselineCheck) -> tuple[str, str]:
    return (check.method, check.url)


def _joined_checks(checks: Iterable[BaselineCheck]) -> list[BaselineCheck]:
    joined: dict[str, BaselineCheck] = {}
    for check in checks:
        known = joined.get(check.baseline)
        joined[check.baseline] = _together(known, check) if known else check
    return list(joined.values())


def _together(one: BaselineCheck, other: BaselineCheck) -> BaselineCheck:
    """The same baseline in two shards: what one left out and the other tested counts as tested."""
    if _is_left_out(one) != _is_left_out(other):
        return other if _is_left_out(one) else one
    rows: dict[tuple[str, str], PointCoverage] = {}
    for row in (*one.coverage, *other.coverage):
        known = rows.get((row.point, row.type))
        rows[row.point, row.type] = _best(known, row) if known else row
    return replace(
        one,
        state=min(one.state, other.state, key=_WORST.index),
        requests=one.requests + other.requests,
        elapsed=round(one.elapsed + other.elapsed, 3),
        error=one.error or other.error,
        coverage=list(rows.values()),
    )


def _is_left_out(check: BaselineCheck) -> bool:
    rows = {(row.point, row.type, row.state) for row in check.coverage}
    return not check.requests and not check.error and rows <= {(WHOLE, WHOLE, "skipped")}


def _best(one: PointCoverage, other: PointCoverage) -> PointCoverage:
    best = min(one, other, key=lambda row: POINT_STATES.index(row.state))
    return replace(best, requests=one.requests + other.requests)


def _joined_findings(found: Iterable[Finding]) -> list[Finding]:
    """Each flaw once, with the places of all shards; numbered anew, as every shard counts from v1."""
    joined: dict[tuple[str, str, str], Finding] = {}
    for finding in found:
        key = (finding.fingerprint, finding.point, _origin(finding))
        known = joined.get(key)
        places = list(dict.fromkeys((*known.places, *finding.places))) if known else finding.places
        joined[key] = replace(known or finding, places=places)
    return [
        replace(finding, id=f"v{number}", status="", acceptance=None)
        for number, finding in enumerate(joined.values(), 1)
    ]


def _origin(finding: Finding) -> str:
    scheme, _, rest = finding.place.url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].partition('?')[0]}"


def _listed(checks: Sequence[BaselineCheck], findings: Sequence[Finding]) -> list[BaselineCheck]:
    ids: dict[str, list[str]] = {}
    for finding in findings:
        for place in finding.places:
            ids.setdefault(place.baseline, []).append(finding.id)
    return [replace(check, findings=list(dict.fromkeys(ids.get(check.baseline, ())))) for check in checks]


def _state(runs: Sequence[Run]) -> RunState:
    states = {run.state for run in runs}
    if states <= {"passed"}:
        return "passed"
    return "interrupted" if "interrupted" in states else "failed"


def _seen(runs: Sequence[Run]) -> dict[str, int]:
    """Shards of one record have all seen the same; those of different records add up."""
    by_record: dict[tuple[str, str], dict[str, int]] = {}
    for run in runs:
        counts = by_record.setdefault((run.record_id, run.record_name), {})
        for kind, number in run.seen.items():
            counts[kind] = max(counts.get(kind, 0), number)
    total: dict[str, int] = {}
    for counts in by_record.values():
        for kind, number in counts.items():
            total[kind] = total.get(kind, 0) + number
    return total


def _steps(runs: Sequence[Run]) -> list[Step]:
    """The steps of the shards side by side: each as long as its longest, as bad as its worst."""
    joined: dict[str, Step] = {}
    for step in (step for run in runs for step in run.steps):
        known = joined.get(step.name, step)
        worst = min(known, step, key=lambda one: _WORST_STEP.index(one.state))
        joined[step.name] = replace(worst, seconds=max(known.seconds, step.seconds))
    return list(joined.values())


def _pace(runs: Sequence[Run], start: float, end: float) -> list[int]:
    """Requests a slice over the whole time: what each run sent in its slices, spread over the common ones."""
    paced = [run for run in runs if run.pace and run.end_time > run.start_time]
    if not paced or end <= start:
        return []
    slices = [0.0] * _SLICES
    width = (end - start) / _SLICES
    for run in paced:
        step = (run.end_time - run.start_time) / len(run.pace)
        for number, requests in enumerate(run.pace):
            middle = run.start_time + (number + 0.5) * step
            slices[min(int((middle - start) / width), _SLICES - 1)] += requests
    return [round(number) for number in slices]

"""What every command of the CI side begins and ends with.

Reports and verdicts are imported where they are used: a step that only starts or stops a node needs neither.
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rich.console import Console

from fastci import results
from fastci.cli.options import overlaid
from fastci.config import parse_settings, secret_values
from fastci.errors import ConfigurationError, ExitStatus, FatalError, Interrupted
from fastci.lifecycle.choice import all_runtimes, choose_runtime
from fastci.lifecycle.interrupts import Signals, heed
from fastci.lifecycle.runtime import Runtime
from fastci.lifecycle.screen import Screen, counted
from fastci.lifecycle.stage import Stage
from fastci.lifecycle.testing import Outcome, SecurityTesting
from fastci.lifecycle.workspace import Workspace
from fastci.platforms import detect_platform
from fastci.results import Run, Verdict

if TYPE_CHECKING:
    from fastci.cli.results import Judging

T = TypeVar("T")

LOG_WIDTH = 140


@dataclass(kw_only=True)
class Promise:
    """What is there to report of a job that fails: its steps, and the results that a node left."""

    stage: Stage | None = None
    testing: SecurityTesting | None = None

    def found(self) -> Run | None:
        return self.testing.kept_run() if self.testing else None

    def advice(self) -> list[str]:
        """What the reader can do about a test run that was not finished."""
        if self.testing is None or not self.testing.can_go_on():
            return []
        return ["what was tested until then is kept: `fastci test --resume` goes on from there"]


class Job:
    """What every command of the CI side begins and ends with: settings, signals, screen, workspace."""

    def __init__(
        self, given: Mapping[str, str | None], *, verbose: bool = False, to_stderr: bool = False
    ) -> None:
        self.environ = resolved(overlaid(given))
        self.settings = parse_settings(self.environ)
        reports = self.environ.get("FAST_REPORTS", "").strip()
        self.workspace = Workspace(
            Path(self.settings.fast_workspace), reports=Path(reports) if reports else None
        )
        self._secrets = secrets = [*secret_values(self.environ), *self._credentials()]
        stream = sys.stderr if to_stderr else sys.stdout
        # A CI's log is wider than what rich takes where there is no terminal.
        console = Console(file=stream, highlight=False, width=None if stream.isatty() else LOG_WIDTH)
        # Past the screen, which takes secrets out: a platform hides them by being told them.
        self.platform = detect_platform(self.environ, lambda line: print(line, file=stream, flush=True))
        self.screen = Screen(console, secrets=secrets, verbose=verbose, group=self.platform.group)
        for secret in secrets:
            self.platform.mask(secret)
        self.signals = Signals()
        self._open: list[Runtime] = []
        self._reported = False

    def _credentials(self) -> list[str]:
        """The values that go into every test request, but those too short to tell from ordinary words.

        What is wrong with their file is for the node to say.
        """
        named = self.environ.get("FAST_AUTHS", "").strip()
        folder = Path(named) if named else self.workspace.root / "auths"
        if not any(folder.glob("*.y*ml")):
            return []
        from fastci.node.dsl import load_credentials

        with suppress(FatalError):
            return [value for _, value in load_credentials(folder).changes if len(value) >= 6]
        return []

    def __enter__(self) -> "Job":
        self.signals.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for runtime in self._open:
            runtime.close()
        self.signals.__exit__(*error)

    def open(self) -> Stage:
        """The stage to start nodes on."""
        self.workspace.prepare()
        runtime = choose_runtime(self.settings, self.environ, self.workspace, self.signals, self.screen.line)
        self._open.append(runtime)
        return self.stage(runtime)

    def runtimes(self) -> list[Runtime]:
        """Where nodes of this job may be."""
        self.workspace.prepare()
        found = all_runtimes(self.settings, self.environ, self.workspace, self.signals, self.screen.line)
        self._open += found
        return found

    def stage(self, runtime: Runtime) -> Stage:
        return Stage(
            runtime=runtime,
            settings=self.settings,
            environ=self.environ,
            workspace=self.workspace,
            waiter=self.signals,
            listener=self.screen,
            job=self.platform.context().job,
        )

    def guard(self, walk: Callable[[], T], closes: list[Callable[[], None]]) -> T:
        """Walk; whatever comes of it, close. A signal that comes late is reported all the same."""

        def close() -> None:
            self.signals.hold()
            for step in closes:
                step()

        try:
            try:
                result = walk()
            finally:
                close()
        except Interrupted:
            # It may have struck between the walk and the hold.
            close()
            raise
        if self.signals.interrupted:
            raise self.signals.interruption()
        return result

    def get_ready(self) -> None:
        """Make what results are read and reports written with while the node works: time nobody waits for."""

        def work() -> None:
            from fastci.reports import html

            results.get_ready()
            html.get_ready()

        threading.Thread(target=work, daemon=True).start()

    def name_tests(self, record_id: str = "") -> None:
        """Say which tests the baselines of a record come from, by the JUnit files of FAST_TEST_RESULTS.

        Without an id of the record that a test run would take. What does not work is told and fails nothing.
        """
        patterns = [word.strip() for word in re.split(r"[,;\n]", self.settings.fast_test_results)]
        if not any(patterns) or self.settings.shares_store:
            return
        # Only a job that asks for it pays for the imports.
        from fastci.cli.records import attribute_record
        from fastci.node.store import Store

        store = Store(self.workspace.root, key=self.settings.fast_record_key)
        wanted = record_id or self.settings.test_record_id
        try:
            record = store.choose(record_id=wanted, build_id=self.settings.build_id)
            named, count = attribute_record(store, record, list(filter(None, patterns)))
        except FatalError as fault:
            why = f": {fault.why}" if fault.why else ""
            self.screen.line(f"FAST_TEST_RESULTS tells no tests: {fault.what}{why}", style="yellow")
        else:
            self.screen.line(f"{record.id}: {named} of {count} baselines have a test")

    def judging(self) -> "Judging":
        """What the outcome will be judged by; asked for before anything starts, as it may be wrong."""
        from fastci.cli.results import Judging

        return Judging.load(self.settings, self.workspace, self._secrets)

    @contextmanager
    def promising(self, judging: "Judging") -> Iterator["Promise"]:
        """Whatever ends the job inside, every promised report is there afterwards."""
        from fastci.cli.results import forget_latest

        promise = Promise()
        forget_latest(self.workspace)
        try:
            yield promise
        except FatalError as fault:
            if not self._reported:
                with suppress(FatalError):
                    self.finish_without(fault, promise.stage, judging, promise.found(), promise.advice())
            raise

    def finish(self, outcome: Outcome, stage: Stage, judging: "Judging") -> Outcome:
        """Judge, write the reports, now that the steps are known, and show what was found."""
        self._reported = True
        if outcome.run is None:
            self.platform.outputs({"verdict": outcome.verdict, "report-dir": str(self.workspace.reports)})
            self.screen.reports(outcome.reports)
            return outcome
        run, verdict = judging.judge(replace(outcome.run, steps=list(stage.steps)))
        self._report(run, verdict)
        return replace(outcome, run=run, status=verdict.status, verdict=worded(run, verdict))

    def finish_without(
        self,
        fault: FatalError,
        stage: Stage | None,
        judging: "Judging",
        found: Run | None = None,
        advice: Sequence[str] = (),
    ) -> None:
        """Write the reports of a job that failed: of what was found until then, or of nothing."""
        from fastci.verdict.gate import with_verdict

        self._reported = True
        outcome: Literal["interrupted", "technical"] = (
            "interrupted" if isinstance(fault, Interrupted) else "technical"
        )
        run = replace(
            found or self._nothing(),
            state="interrupted" if outcome == "interrupted" else "failed",
            complete=False,
            steps=list(stage.steps) if stage else [],
        )
        told = fault.what + (f": {fault.why}" if fault.why else "")
        run, verdict = judging.judge(replace(run, messages=[*run.messages, told, *advice]))
        if verdict.outcome != "vulnerable":
            verdict = replace(verdict, outcome=outcome, rule="completion", reason=told)
        self._report(with_verdict(run, verdict), verdict)

    def _nothing(self) -> Run:
        now, settings = time.time(), self.settings
        return Run(
            id="", name=settings.test_run_name or "TestRun", state="failed", record_id="", record_name="",
            policy=settings.test_run_policy_id, target=settings.test_run_uri or settings.target_uri,
            start_time=now, end_time=now, build_id=settings.build_id,
        )  # fmt: skip

    def _report(self, run: Run, verdict: Verdict) -> None:
        from fastci.cli.results import keep_run, write_results

        keep_run(run, self.workspace)
        paths, fault = write_results(run, self.workspace, job_file=self.platform.context().job_file)
        self.tell(run, paths)
        if fault is not None and verdict.status is not ExitStatus.VULNERABLE:
            raise fault
        for line in fault.lines() if fault is not None else ():
            self.screen.line(line, style="red")

    def tell(self, run: Run, paths: Sequence[Path]) -> None:
        """Hand the outcome to the CI and show it."""
        self.screen.findings(run)
        for message in run.messages:
            self.screen.line(message, style="yellow")
        for check in run.checks:
            if check.error:
                self.screen.line(
                    f"{check.baseline} {check.method} {check.url}: {check.error}", style="yellow"
                )
        self.screen.reports(paths)
        if run.verdict and run.verdict.outcome == "vulnerable":
            self.screen.line(
                "        it shows the proof and the repair of each; `fastci findings accept` lets one pass"
            )
        self.announce(run, paths)

    def announce(self, run: Run, paths: Sequence[Path]) -> None:
        from fastci.cli.announce import announce

        folder = self.workspace.reports
        heed(self.signals, lambda: announce(self.platform, self.settings, run, paths, folder))


def resolved(environ: dict[str, str]) -> dict[str, str]:
    """What `auto` means on this CI: BUILD_ID its workflow, FAST_SHARD its parallel jobs.

    Raises ConfigurationError for FAST_SHARD where the CI does not count them.
    """
    wanted = [name for name in ("BUILD_ID", "FAST_SHARD") if environ.get(name, "").strip().lower() == "auto"]
    if not wanted:
        return environ
    platform = detect_platform(environ, lambda line: None)
    context = platform.context()
    if "FAST_SHARD" in wanted and not context.shard:
        raise ConfigurationError(
            [f"FAST_SHARD=auto: {platform.name} does not count its parallel jobs; name the shard, like 1/3"]
        )
    meant = {"BUILD_ID": context.build_id, "FAST_SHARD": context.shard}
    # A developer's machine has no workflow; there `auto` is nobody's id.
    meant["BUILD_ID"] = "" if meant["BUILD_ID"].lower() == "auto" else meant["BUILD_ID"]
    return environ | {name: meant[name] for name in wanted}


def worded(run: Run, verdict: Verdict) -> str:
    """The outcome in a line: the state, what was found, and why, with the rule that decided."""
    return f"{run.state}, {counted(run)}; {verdict.reason}"

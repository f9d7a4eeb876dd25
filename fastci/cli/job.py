"""What every command of the CI side begins and ends with."""

import glob
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from fastci.cli.announce import announce
from fastci.cli.options import overlaid
from fastci.config import parse_settings, secret_values
from fastci.errors import ConfigurationError, ExitStatus, FatalError, Interrupted, UsageError
from fastci.lifecycle.choice import all_runtimes, choose_runtime
from fastci.lifecycle.interrupts import Signals, heed
from fastci.lifecycle.runtime import Runtime
from fastci.lifecycle.screen import Screen, counted
from fastci.lifecycle.stage import Stage
from fastci.lifecycle.testing import Outcome
from fastci.lifecycle.workspace import Workspace
from fastci.platforms import detect_platform
from fastci.reports import write_reports
from fastci.results import Run, parse_document, to_document

T = TypeVar("T")

FORMATS = ("txt", "json", "html", "sarif", "junit")
"""The reports that are written after every test run."""
LOG_WIDTH = 140


class Job:
    """What every command of the CI side begins and ends with: settings, signals, screen, workspace."""

    def __init__(
        self, given: Mapping[str, str | None], *, verbose: bool = False, to_stderr: bool = False
    ) -> None:
        self.environ = with_shard(overlaid(given))
        self.settings = parse_settings(self.environ)
        reports = self.environ.get("FAST_REPORTS", "").strip()
        self.workspace = Workspace(
            Path(self.settings.fast_workspace), reports=Path(reports) if reports else None
        )
        secrets = secret_values(self.environ)
        stream = sys.stderr if to_stderr else sys.stdout
        # A CI's log is wider than what rich takes where there is no terminal.
        console = Console(file=stream, highlight=False, width=None if stream.isatty() else LOG_WIDTH)
        self.screen = Screen(console, secrets=secrets, verbose=verbose)
        # Past the screen, which takes secrets out: a platform hides them by being told them.
        self.platform = detect_platform(self.environ, lambda line: print(line, file=stream, flush=True))
        for secret in secrets:
            self.platform.mask(secret)
        self.signals = Signals()
        self._open: list[Runtime] = []

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

    def finish(self, outcome: Outcome, stage: Stage) -> Outcome:
        """Write the reports, now that the steps are known, and show what was found."""
        if outcome.run is None:
            self.platform.outputs({"verdict": outcome.verdict, "report-dir": str(self.workspace.reports)})
            self.screen.reports(outcome.reports)
            return outcome
        timed = replace(outcome.run, steps=list(stage.steps))
        job_file = self.platform.context().job_file
        paths, fault = write_results(timed, self.workspace, FORMATS, job_file=job_file)
        self.screen.findings(timed)
        for message in timed.messages:
            self.screen.line(message, style="yellow")
        for check in timed.checks:
            if check.error:
                self.screen.line(
                    f"{check.baseline} {check.method} {check.url}: {check.error}", style="yellow"
                )
        self.screen.reports(paths)
        heed(
            self.signals, lambda: announce(self.platform, self.settings, timed, paths, self.workspace.reports)
        )
        if fault is not None and outcome.status is not ExitStatus.VULNERABLE:
            raise fault
        for line in fault.lines() if fault is not None else ():
            self.screen.line(line, style="red")
        return replace(outcome, run=timed, verdict=f"{timed.state}, {counted(timed)}")


def with_shard(environ: dict[str, str]) -> dict[str, str]:
    """FAST_SHARD=auto is what the CI says of its parallel jobs. Raises ConfigurationError if it does not."""
    if environ.get("FAST_SHARD", "").strip().lower() != "auto":
        return environ
    platform = detect_platform(environ, lambda line: None)
    shard = platform.context().shard
    if not shard:
        raise ConfigurationError(
            [f"FAST_SHARD=auto: {platform.name} does not count its parallel jobs; name the shard, like 1/3"]
        )
    return {**environ, "FAST_SHARD": shard}


def load_run(path: Path) -> Run:
    """The run of a results file. Raises UsageError when it is none."""
    try:
        return parse_document(json.loads(path.read_text(encoding="utf-8")), source=str(path))
    except OSError as error:
        raise UsageError(
            f"the results file {path} cannot be read", why=error.strerror or str(error)
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is not a results file", why=str(error)) from error


def write_results(
    run: Run, workspace: Workspace, formats: tuple[str, ...], *, job_file: str = ""
) -> tuple[list[Path], FatalError | None]:
    """Write the results file and the reports; the paths of the reports, and what kept one from being made."""
    stem = f"{run.name}.{int(run.start_time)}"
    with suppress(OSError):
        (workspace.runs / f"{run.id}.json").write_text(json.dumps(to_document(run)), encoding="utf-8")
    try:
        return write_reports(run, workspace.reports, stem, formats, job_file=job_file), None
    except FatalError as fault:
        return sorted(workspace.reports.glob(f"{glob.escape(stem)}.*")), fault

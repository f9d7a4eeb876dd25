"""The commands. Composes the rest; the only place that reads the environment and that exits.

Every option is a variable and overlays it. What each command may be told comes from the table in `config`.
"""

import glob
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import click
from rich.console import Console

from fastci import __version__
from fastci.config import ALL, VARIABLES, Mode, Side, Variable, parse_settings, secret_values
from fastci.errors import ExitStatus, FatalError, Interrupted, UsageError
from fastci.generator import PLATFORMS, Options, load_options, stale_artefacts, write_artefacts
from fastci.generator import check as check_jobs
from fastci.generator import generate as render_jobs
from fastci.lifecycle.choice import all_runtimes, choose_runtime
from fastci.lifecycle.interrupts import Signals
from fastci.lifecycle.process import LEASH
from fastci.lifecycle.recording import Recording
from fastci.lifecycle.runtime import Runtime
from fastci.lifecycle.screen import Screen, counted
from fastci.lifecycle.sessions import die_with
from fastci.lifecycle.stage import Stage
from fastci.lifecycle.testing import Outcome, SecurityTesting
from fastci.lifecycle.workspace import Workspace
from fastci.platforms import detect_platform
from fastci.platforms.github import GitHub
from fastci.reports import write_reports
from fastci.results import Run, parse_document, to_document

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("txt", "json", "html", "sarif", "junit")
"""The reports that are written after every test run."""
LOG_WIDTH = 140
_ALIASES = {"TEST_RUN_POLICY_ID": "--policy"}
_NODE_ONLY = ("CI_MODE", "FAST_LISTEN", "FAST_STORE", "FAST_RECORD_ID", "FAST_RUN_ID")
"""Variables that the CI side decides itself."""


def settings_of(*modes: Mode, node: bool = False) -> Callable[[Command], Command]:
    """Adds an option for every variable that counts in these modes."""

    def add(command: Command) -> Command:
        for variable in reversed(VARIABLES.values()):
            wanted = any(mode in variable.modes for mode in modes)
            wanted &= variable.side is not Side.CI if node else variable.name not in _NODE_ONLY
            # Others on the machine can read a command line.
            wanted &= not variable.secret
            if wanted:
                command = _option(variable)(command)
        return command

    return add


def _option(variable: Variable) -> Callable[[Command], Command]:
    names = [variable.option, *filter(None, [_ALIASES.get(variable.name)])]
    flag: dict[str, Any] = {}
    if variable.kind.name == "switch":
        # Given alone it means yes; `--name=false` says no.
        flag = {"is_flag": False, "flag_value": "true"}
    about = f"{variable.help[:1].upper()}{variable.help[1:]} [{variable.name}]"
    return click.option(*names, variable.name, metavar=variable.kind.name.upper(), help=about, **flag)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fastci")
def cli() -> None:
    """Record the functional tests you already run, replay them as attacks, fail the build on proof."""


@cli.command(context_settings={"allow_interspersed_args": False})
@settings_of(*ALL)
@click.option("-v", "--verbose", is_flag=True, help="Show every line of the testing node.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], verbose: bool, **given: str | None) -> ExitStatus:
    """The seven steps around a test command: fastci run [OPTIONS] -- COMMAND..."""
    with Job(given, verbose=verbose) as job:
        stage = job.open()
        recording, testing = Recording(stage), SecurityTesting(stage)
        told: list[str] = []

        def walk() -> ExitStatus:
            recording.check_target()
            recording.start_recording()
            recording.prepare_settings()
            status = recording.run_command(command)
            told.append(f"existing tests: ended with status {status}")
            record_id = recording.stop_recording()
            if status and not stage.settings.fast_test_on_failure:
                told.append(
                    "security tests: not run, as the existing tests failed (--test-on-failure runs them)"
                )
                return ExitStatus.TECHNICAL
            outcome = job.finish(testing.collect(testing.test(record_id)), stage)
            told.append(f"security tests: {outcome.verdict}")
            return with_tests(outcome.status, status)

        try:
            return job.guard(walk, [recording.close, testing.close])
        finally:
            for line in told:
                job.screen.line(line, style="bold")


@cli.command()
@settings_of(Mode.RECORDING)
@click.option("--export", is_flag=True, help="Set the proxy settings for later steps of the job, too.")
def record(export: bool, **given: str | None) -> ExitStatus:
    """Start a recorder, wait until it is ready, print the proxy settings; it stays until `fastci stop`."""
    with Job(given, to_stderr=True) as job:
        recording = Recording(job.open())

        def walk() -> ExitStatus:
            recording.check_target()
            recording.start_recording(tended=False)
            recording.prepare_settings()
            recording.leave_recording()
            return ExitStatus.PASSED

        status = job.guard(walk, [recording.close])
        ca_file = recording.environment.get("FAST_CA_FILE", "")
        job.platform.outputs({"proxy-url": recording.proxy_url, "ca-file": ca_file})
        if export and isinstance(job.platform, GitHub):
            job.platform.export(recording.environment)
        click.echo(job.workspace.script_file.read_text(), nl=False)
        return status


@cli.command()
@settings_of(Mode.RECORDING)
def stop(**given: str | None) -> ExitStatus:
    """Stop and remove the recorder of this job, keep its record."""
    with Job(given) as job:
        # The last one complains when none of them has it.
        for runtime in (runtimes := job.runtimes()):
            recording = Recording(job.stage(runtime))
            if recording.find_recorder() or runtime is runtimes[-1]:
                record_id = job.guard(recording.stop_recording, [recording.close])
                job.platform.outputs({"test-record": record_id})
                job.screen.line(f"record: {record_id}", style="bold")
                break
        return ExitStatus.PASSED


@cli.command()
@settings_of(Mode.TESTING)
@click.option("-v", "--verbose", is_flag=True, help="Show every line of the testing node.")
def test(verbose: bool, **given: str | None) -> ExitStatus:
    """Test with a record of the workspace, collect the results, write the reports, decide."""
    with Job(given, verbose=verbose) as job:
        stage = job.open()
        recording, testing = Recording(stage), SecurityTesting(stage)

        def walk() -> ExitStatus:
            record_id = recording.stop_recording() if recording.find_recorder() else ""
            outcome = job.finish(testing.collect(testing.test(record_id)), stage)
            job.screen.line(f"security tests: {outcome.verdict}", style="bold")
            return outcome.status

        return job.guard(walk, [recording.close, testing.close])


@cli.command()
@settings_of(Mode.REPORT)
@click.option(
    "--format", "formats", multiple=True, metavar="NAME", help="Which reports to write from RESULTS."
)
@click.argument("results", required=False, type=click.Path(path_type=Path))
def report(results: Path | None, formats: tuple[str, ...], **given: str | None) -> ExitStatus:
    """Print and write the reports of a test run again: of a RESULTS file, else by a node in report mode."""
    with Job(given) as job:
        if results is not None:
            job.workspace.prepare()
            paths, fault = write_results(load_run(results), job.workspace, formats or FORMATS)
            job.screen.reports(paths)
            if fault is not None:
                raise fault
            return ExitStatus.PASSED
        testing = SecurityTesting(job.open())
        ended, lines = job.guard(testing.report, [testing.close])
        click.echo(lines)
        job.screen.reports(testing.reports)
        return ExitStatus(ended.status) if ended.status in list(ExitStatus) else ExitStatus.TECHNICAL


@cli.command()
@settings_of(Mode.RECORDING)
def clean(**given: str | None) -> ExitStatus:
    """Remove every node of this job, running or not, and what crashed jobs left behind."""
    with Job(given) as job:
        for runtime in job.runtimes():
            for name in job.stage(runtime).clean():
                job.screen.line(f"removed {name}")
        return ExitStatus.PASSED


@cli.command()
@settings_of(*ALL, node=True)
def node(**given: str | None) -> ExitStatus:
    """Be the node: do what CI_MODE says. The image's default command."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted(f"interrupted by {signal.Signals(number).name} before the node was up")

    # The first process of a container ignores a signal that it has no handler for.
    signal.signal(signal.SIGTERM, leave)
    environ = overlaid(given)
    settings = parse_settings(environ)
    if parent := environ.get(LEASH):
        die_with(int(parent))
    from fastci.node.app import run_node

    return run_node(settings, lambda line: print(line, flush=True))


@cli.command()
@click.argument("what", metavar=f"{'|'.join((*PLATFORMS, 'docs'))}")
@click.option("--config", type=click.Path(path_type=Path), help="Options of the job definitions, YAML.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of the terminal.")
@click.option("--check", "checking", is_flag=True, help="Only say whether the committed file is current.")
def generate(what: str, config: Path | None, output: Path | None, checking: bool) -> ExitStatus:
    """Job definitions for a CI; `docs`: every generated file of a checkout of fast-action."""
    if what == "docs":
        root = Path.cwd()
        stale = stale_artefacts(root) if checking else write_artefacts(root)
        for path in stale:
            click.echo(path)
        if stale and checking:
            raise UsageError("generated files are not current", hint="run: fastci generate docs")
        return ExitStatus.PASSED
    options = load_options(config) if config else Options()
    text = render_jobs(what, options)
    target = output or Path(PLATFORMS[what])
    if checking:
        committed = target.read_text(encoding="utf-8") if target.is_file() else ""
        difference = check_jobs(what, options, committed)
        click.echo("\n".join(difference), nl=bool(difference))
        if difference:
            raise UsageError(f"{target} is not current", hint="generate it again without --check")
    elif output is None:
        click.echo(text, nl=False)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
    return ExitStatus.PASSED


class Job:
    """What every command of the CI side begins and ends with: settings, signals, screen, workspace."""

    def __init__(
        self, given: Mapping[str, str | None], *, verbose: bool = False, to_stderr: bool = False
    ) -> None:
        self.environ = overlaid(given)
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
        self.platform = detect_platform(self.environ, self.screen.line)
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
        self.platform.outputs({"verdict": outcome.verdict, "report-dir": str(self.workspace.reports)})
        if outcome.run is None:
            self.screen.reports(outcome.reports)
            return outcome
        timed = replace(outcome.run, steps=list(stage.steps))
        job_file = self.platform.context().job_file
        paths, fault = write_results(timed, self.workspace, FORMATS, job_file=job_file)
        self.platform.outputs(
            {
                "verdict": timed.state,
                "vulnerabilities": str(len(timed.findings)),
                "test-record": timed.record_id,
            }
        )
        self.screen.findings(timed)
        for message in timed.messages:
            self.screen.line(message, style="yellow")
        for check in timed.checks:
            if check.error:
                self.screen.line(
                    f"{check.baseline} {check.method} {check.url}: {check.error}", style="yellow"
                )
        self.screen.reports(paths)
        if fault is not None and outcome.status is not ExitStatus.VULNERABLE:
            raise fault
        for line in fault.lines() if fault is not None else ():
            self.screen.line(line, style="red")
        return replace(outcome, run=timed, verdict=f"{timed.state}, {counted(timed)}")


def overlaid(given: Mapping[str, str | None]) -> dict[str, str]:
    """The environment with the options laid over it."""
    environ = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
    click.get_current_context().find_root().obj["exit codes"] = environ.get("FAST_EXIT_CODES", "")
    return environ


def with_tests(security: ExitStatus, tests: int) -> ExitStatus:
    """The outcome of both: what was proven counts most; tests that failed are never a pass."""
    return ExitStatus.TECHNICAL if tests and security is ExitStatus.PASSED else security


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


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Filled as soon as a command knows its options.
    told: dict[str, str] = {"exit codes": os.environ.get("FAST_EXIT_CODES", "")}
    try:
        result = cli.main(arguments, prog_name="fastci", standalone_mode=False, obj=told)
        status = result if isinstance(result, ExitStatus) else ExitStatus.PASSED
    except FatalError as error:
        for line in error.lines():
            click.echo(line, err=True)
        status = error.status
    except click.ClickException as error:
        error.show()
        status = ExitStatus.USAGE
    except (click.Abort, KeyboardInterrupt):
        status = ExitStatus.INTERRUPTED
    except Exception as error:
        # Python would end with 1, which says that vulnerabilities were found.
        traceback.print_exc()
        click.echo(f"error: a fault of fastci itself: {type(error).__name__}: {error}", err=True)
        status = ExitStatus.TECHNICAL
    usual = "simple" if arguments[:1] == ["node"] else "detailed"
    simple = (told["exit codes"].strip().lower() or usual) == "simple"
    sys.exit(status.simple() if simple else int(status))

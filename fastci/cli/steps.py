"""The seven steps: all of them around a command (`run`), or one by one in the steps of a job."""

import click

from fastci.cli.job import Job
from fastci.cli.options import settings_of
from fastci.config import ALL, Mode
from fastci.errors import ExitStatus, TechnicalError
from fastci.lifecycle.recording import Recording
from fastci.lifecycle.testing import SecurityTesting
from fastci.platforms.github import GitHub


@click.command(context_settings={"allow_interspersed_args": False})
@settings_of(*ALL)
@click.option("-v", "--verbose", is_flag=True, help="Show every line of the testing node.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], verbose: bool, **given: str | None) -> ExitStatus:
    """The seven steps around a test command: fastci run [OPTIONS] -- COMMAND..."""
    with Job(given, verbose=verbose) as job:
        judging = job.judging()
        told: list[str] = []
        try:
            with job.promising(judging) as promise:
                stage = promise.stage = job.open()
                recording, testing = Recording(stage), SecurityTesting(stage)
                promise.testing = testing

                def walk() -> ExitStatus:
                    # What lacks is told now, not after the tests have run.
                    testing.given_files()
                    recording.check_target()
                    recording.start_recording()
                    recording.prepare_settings()
                    status = recording.run_command(command)
                    told.append(f"existing tests: ended with status {status}")
                    record_id = recording.stop_recording()
                    job.name_tests(record_id)
                    if status and not stage.settings.fast_test_on_failure:
                        told.append(
                            "security tests: not run, as the existing tests failed (--test-on-failure runs "
                            "them)"
                        )
                        job.finish_without(TechnicalError("the existing tests failed"), stage, judging)
                        return ExitStatus.TECHNICAL
                    job.get_ready()
                    outcome = job.finish(testing.collect(testing.test(record_id)), stage, judging)
                    told.append(f"security tests: {outcome.verdict}")
                    return with_tests(outcome.status, status)

                return job.guard(walk, [recording.close, testing.close])
        finally:
            for line in told:
                job.screen.line(line, style="bold")


@click.command()
@settings_of(Mode.RECORDING)
@click.option("--export", is_flag=True, help="Set the proxy settings for later steps of the job, too.")
@click.option(
    "--quiet", is_flag=True, help="Do not print the proxy settings: later lines read .fast/proxy.sh."
)
def record(export: bool, quiet: bool, **given: str | None) -> ExitStatus:
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
        if not quiet:
            click.echo(job.workspace.script_file.read_text(), nl=False)
        return status


@click.command()
@settings_of(Mode.RECORDING)
def stop(**given: str | None) -> ExitStatus:
    """Stop and remove the recorder of this job, keep its record."""
    with Job(given) as job:
        # The last one complains when none of them has it.
        for runtime in (runtimes := job.runtimes()):
            recording = Recording(job.stage(runtime))
            if recording.find_recorder() or runtime is runtimes[-1]:
                record_id = job.guard(recording.stop_recording, [recording.close])
                job.name_tests(record_id)
                job.platform.outputs({"test-record": record_id})
                job.screen.line(f"record: {record_id}", style="bold")
                break
        return ExitStatus.PASSED


@click.command()
@settings_of(Mode.TESTING)
@click.option("-v", "--verbose", is_flag=True, help="Show every line of the testing node.")
def test(verbose: bool, **given: str | None) -> ExitStatus:
    """Test with a record of the workspace, collect the results, write the reports, decide."""
    with Job(given, verbose=verbose) as job:
        judging = job.judging()
        with job.promising(judging) as promise:
            stage = promise.stage = job.open()
            recording, testing = Recording(stage), SecurityTesting(stage)
            promise.testing = testing

            def walk() -> ExitStatus:
                record_id = recording.stop_recording() if recording.find_recorder() else ""
                job.name_tests(record_id)
                job.get_ready()
                outcome = job.finish(testing.collect(testing.test(record_id)), stage, judging)
                job.screen.line(f"security tests: {outcome.verdict}", style="bold")
                return outcome.status

            return job.guard(walk, [recording.close, testing.close])


@click.command()
@settings_of(Mode.RECORDING)
def clean(**given: str | None) -> ExitStatus:
    """Remove every node of this job, running or not, and what crashed jobs left behind."""
    with Job(given) as job:
        for runtime in job.runtimes():
            for name in job.stage(runtime).clean():
                job.screen.line(f"removed {name}")
        return ExitStatus.PASSED


def with_tests(security: ExitStatus, tests: int) -> ExitStatus:
    """The outcome of both: what was proven counts most; tests that failed are never a pass."""
    return ExitStatus.TECHNICAL if tests and security is ExitStatus.PASSED else security

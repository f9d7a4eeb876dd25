"""Reports of a run that has ended."""

from dataclasses import replace
from pathlib import Path

import click

from fastci.cli.job import Job, worded
from fastci.cli.options import settings_of
from fastci.cli.results import FORMATS, keep_run, load_run, write_results
from fastci.config import Mode
from fastci.errors import ExitStatus, UsageError
from fastci.lifecycle.testing import SecurityTesting
from fastci.verdict.merging import merge_runs


@click.command()
@settings_of(Mode.REPORT)
@click.option(
    "--format", "formats", multiple=True, metavar="NAME", help="Which reports to write from RESULTS."
)
@click.option("--merge", is_flag=True, help="Join the runs of several RESULTS files, as shards, into one.")
@click.argument("results", nargs=-1, type=click.Path(path_type=Path))
def report(
    results: tuple[Path, ...], formats: tuple[str, ...], merge: bool, **given: str | None
) -> ExitStatus:
    """Print and write the reports of a test run again: of RESULTS files, else by a node in report mode.

    RESULTS are judged by the known findings and rules of now, and the exit status is that of the verdict.
    """
    if len(results) > 1 and not merge:
        raise UsageError(
            f"{len(results)} results files were given", hint="--merge joins them; or name one of them"
        )
    with Job(given) as job:
        if results or merge:
            job.workspace.prepare()
            judging = job.judging()
            runs = [load_run(path) for path in results]
            run, verdict = judging.judge(merge_runs(runs) if merge else runs[0])
            if merge:
                run = replace(run, id=job.workspace.reserve_run())
                keep_run(run, job.workspace)
            job_file = job.platform.context().job_file
            paths, fault = write_results(run, job.workspace, formats or FORMATS, job_file=job_file)
            job.tell(run, paths)
            job.screen.line(worded(run, verdict), style="bold")
            if fault is not None:
                raise fault
            return verdict.status
        testing = SecurityTesting(job.open())
        ended, lines = job.guard(testing.report, [testing.close])
        click.echo(lines)
        if kept := job.workspace.kept_run(job.settings.test_run_id):
            run = load_run(kept)
            paths, _ = write_results(run, job.workspace, job_file=job.platform.context().job_file)
            job.screen.reports(paths)
            job.announce(run, paths)
        else:
            job.screen.reports(testing.reports)
        return ExitStatus(ended.status) if ended.status in list(ExitStatus) else ExitStatus.TECHNICAL

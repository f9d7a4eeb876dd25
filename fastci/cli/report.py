"""Reports of a run that has ended."""

from pathlib import Path

import click

from fastci.cli.job import FORMATS, Job, load_run, write_results
from fastci.cli.options import settings_of
from fastci.config import Mode
from fastci.errors import ExitStatus
from fastci.lifecycle.testing import SecurityTesting


@click.command()
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

"""Job definitions and the generated files of this project."""

from pathlib import Path

import click

from fastci.errors import ExitStatus, UsageError
from fastci.generator import PLATFORMS, Options, load_options, stale_artefacts, write_artefacts
from fastci.generator import check as check_jobs
from fastci.generator import generate as render_jobs


@click.command()
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

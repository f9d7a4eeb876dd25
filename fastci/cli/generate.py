"""Job definitions and the generated files of this project."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fastci.cli.options import settings_of
from fastci.config import ALL, VARIABLES
from fastci.errors import ConfigurationError, ExitStatus, UsageError
from fastci.generator import (
    ARTEFACTS,
    OWN_KEYS,
    PLATFORMS,
    beside,
    detect_project,
    load_values,
    read_options,
    render_options,
    stale_artefacts,
    write_artefacts,
)
from fastci.generator import check as check_jobs
from fastci.generator import generate as render_jobs

CONFIG = Path("fast.yml")
PLACEHOLDER = "./functional-tests.sh"


def options_of(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for every key of `fast.yml`."""
    for key, about in reversed(OWN_KEYS.items()):
        command = click.option(f"--{key}", metavar="VALUE", help=about)(command)
    return settings_of(*ALL)(command)


def given_values(given: dict[str, str | None]) -> dict[str, Any]:
    """Options of the command line under the keys of `fast.yml`."""
    inputs = {name: variable.input for name, variable in VARIABLES.items()}
    named = {inputs.get(name, name.replace("_", "-")): value for name, value in given.items()}
    return {key: value for key, value in named.items() if value is not None}


@click.command()
@click.argument("what", metavar=f"{'|'.join((*PLATFORMS, 'docs'))}")
@click.option("--config", type=click.Path(path_type=Path), help="Options of the definition, YAML  [fast.yml]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of the terminal.")
@click.option("--check", "checking", is_flag=True, help="Only say whether the committed file is current.")
@options_of
def generate(
    what: str, config: Path | None, output: Path | None, checking: bool, **given: str | None
) -> ExitStatus:
    """Job definitions for a CI; `docs`: every generated file of a checkout of fast-action.

    Options lie over the keys of the configuration file.
    """
    if what == "docs":
        return _generate_docs(checking)
    values = load_values(config) if config else load_values(CONFIG) if CONFIG.is_file() else {}
    values |= given_values(given)
    if "tests" not in values and values.get("flow") != "test" and not config:
        values["tests"] = _known_tests()
    options = read_options(values)
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
        _write(output, text)
    return ExitStatus.PASSED


def _known_tests() -> str:
    found = detect_project(Path.cwd())
    if found.tests:
        click.echo(f"tests: {found.tests} ({found.why['tests']}); --tests names others", err=True)
        return found.tests
    click.echo(
        f"tests: no test command was found here; the definition calls {PLACEHOLDER}: put yours there, "
        "or name it with --tests",
        err=True,
    )
    return PLACEHOLDER


def schemas() -> dict[str, Callable[[], str]]:
    """The schemas that editors complete extensions and policies by: their paths and what renders them."""
    from fastci.node.dsl import extension_schema
    from fastci.node.policy import policy_schema

    return {
        "docs/extension.schema.json": lambda: json.dumps(extension_schema(), indent=1) + "\n",
        "docs/policy.schema.json": lambda: json.dumps(policy_schema(), indent=1) + "\n",
    }


def _generate_docs(checking: bool) -> ExitStatus:
    root, made = Path.cwd(), {**ARTEFACTS, **schemas()}
    stale = stale_artefacts(root, made) if checking else write_artefacts(root, made)
    for path in stale:
        click.echo(path)
    if stale and checking:
        raise UsageError("generated files are not current", hint="run: fastci generate docs")
    return ExitStatus.PASSED


@click.command()
@click.argument("platform", required=False, metavar=f"[{'|'.join(PLATFORMS)}]")
@click.option("--yes", is_flag=True, help="Ask nothing: take what was found and the defaults.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@options_of
def init(platform: str | None, yes: bool, force: bool, **given: str | None) -> ExitStatus:
    """Look at the project, ask what cannot be found out, write fast.yml and the job definition.

    Without a terminal nothing is asked.
    """
    values = (load_values(CONFIG) if CONFIG.is_file() else {}) | given_values(given)
    found = detect_project(Path.cwd())
    asking = sys.stdin.isatty() and not yes
    for key, why in found.why.items():
        click.echo(f"found: {key.replace('_', '-')} {getattr(found, key)} ({why})")
    missing = []
    platform = platform or found.platform
    if not platform and asking:
        platform = click.prompt("CI", type=click.Choice(list(PLATFORMS)))
    if not platform:
        missing.append(
            f"platform: not to be told from this folder; name it: fastci init {'|'.join(PLATFORMS)}"
        )
    if "tests" not in values and values.get("flow") != "test":
        tests = found.tests or (click.prompt("Command that runs the functional tests") if asking else "")
        values |= {"tests": tests} if tests else {}
        if not tests:
            missing.append("tests: no test command was found; name it: --tests 'npm test'")
    if missing:
        raise ConfigurationError(missing)
    _complete_target(values, found.compose, found.target_uri, asking)
    text = render_jobs(platform, read_options(values))
    definition = Path(PLATFORMS[platform])
    if definition.is_file() and definition.read_text(encoding="utf-8") != text and not force:
        definition, told = beside(platform)
        click.echo(told)
        if definition.is_file() and definition.read_text(encoding="utf-8") != text:
            raise UsageError(f"{definition} is there already", hint="--force writes over it")
    _write(CONFIG, render_options(values, platform=platform, path=str(definition)))
    _write(definition, text)
    return ExitStatus.PASSED


def _complete_target(values: dict[str, Any], compose: str, target_uri: str, asking: bool) -> None:
    """How the target starts and where it is: as it was said, as it was found, else asked for."""
    starts = any(values.get(key) for key in ("start", "compose", "target-image"))
    if not starts and compose:
        values["compose"] = compose
    elif not starts and asking:
        start = click.prompt(
            "Command that starts the target (empty: it runs already)", default="", show_default=False
        )
        values |= {"start": start} if start else {}
    if "target-uri" in values or values.get("target-image"):
        return
    if target_uri and values.get("compose"):
        values["target-uri"] = target_uri
    elif asking:
        uri = click.prompt(
            "URL of the target, as the tests see it (empty: not probed)", default="", show_default=False
        )
        values |= {"target-uri": uri} if uri else {}


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written", why=error.strerror or str(error)) from error
    click.echo(f"wrote {path}")

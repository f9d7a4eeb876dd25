"""Test policies: which there are, whether a file is one, and what a run by it would test."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from fastci.cli.options import overlaid
from fastci.config import parse_settings
from fastci.errors import ConfigurationError, ExitStatus
from fastci.lifecycle.workspace import Workspace
from fastci.node.app import extensions_of
from fastci.node.dsl import Extension, load_credentials
from fastci.node.engine.preview import Foreseen, Preview, preview
from fastci.node.engine.scheduler import Task
from fastci.node.policy import Policy, known_policies, load_policy
from fastci.node.store import Record, Store

_MOST_POINTS = 12
"""Names of points that are shown for a type before the rest is counted."""


@click.group()
def policy() -> None:
    """What a run may touch and try: list, check and explain test policies."""


@policy.command("list")
@click.option("--workspace", "FAST_WORKSPACE", metavar="FOLDER", help="The workspace folder [FAST_WORKSPACE]")
def list_(**given: str | None) -> ExitStatus:
    """The policies that TEST_RUN_POLICY_ID may name: the shipped ones and those of the workspace."""
    folder = _Desk(given).folder("FAST_POLICIES")
    for name in known_policies(folder):
        found = load_policy(name, folder)
        tags = f"  [{', '.join(found.tags)}]" if found.tags else ""
        click.echo(f"{name:<16}{found.name}: {', '.join(sorted(found.types))}{tags}")
    return ExitStatus.PASSED


@policy.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def check(files: tuple[str, ...]) -> ExitStatus:
    """Whether these files are policies; each fault with file, line and what is allowed. Status 2 for one."""
    status = ExitStatus.PASSED
    for file in files:
        try:
            load_policy(str(Path(file).absolute()), None)
        except ConfigurationError as error:
            status = ExitStatus.USAGE
            for fault in error.faults:
                click.echo(_shortened(fault))
        else:
            click.echo(f"{file}: ok")
    return status


@policy.command()
@click.option("--policy", "TEST_RUN_POLICY_ID", metavar="ID|FILE", help="The policy [TEST_RUN_POLICY_ID]")
@click.option(
    "--record", "TEST_RECORD_ID", metavar="ID", help="The test record, else the last one [TEST_RECORD_ID]"
)
@click.option("--target-uri", "TEST_RUN_URI", metavar="URL", help="The target [TEST_RUN_URI]")
@click.option("--workspace", "FAST_WORKSPACE", metavar="FOLDER", help="The workspace folder [FAST_WORKSPACE]")
def explain(**given: str | None) -> ExitStatus:
    """What a run would test on a record: routes, points, types, requests, and what is left out and why.

    Nothing is sent. All other settings are read from the environment, as a run reads them.
    """
    desk = _Desk(given)
    settings = replace(desk.settings, fast_extensions=str(desk.folder("FAST_EXTENSIONS")))
    store = Store(desk.workspace.root, key=settings.fast_record_key)
    record = store.choose(record_id=settings.test_record_id, build_id=settings.build_id)
    chosen = load_policy(settings.test_run_policy_id, desk.folder("FAST_POLICIES"))
    extensions = extensions_of(settings, _say_fault)
    credentials = load_credentials(desk.folder("FAST_AUTHS"))
    task = Task(settings=settings, policy=chosen, extensions=extensions, credentials=credentials)
    for line in _lines(chosen, record, extensions, preview(task, store.baselines(record))):
        click.echo(line)
    return ExitStatus.PASSED


class _Desk:
    """The settings and the workspace that a run would have."""

    def __init__(self, given: Mapping[str, str | None]) -> None:
        environ = overlaid(given)
        self.settings = parse_settings(environ)
        self._given = {name for name, value in environ.items() if value.strip()}
        self.workspace = Workspace(Path(self.settings.fast_workspace))

    def folder(self, variable: str) -> Path:
        return self.workspace.given_folder(variable, self.settings, self._given)


def _say_fault(line: str) -> None:
    """Of what loading extensions says only the faults are to the point here."""
    if line.startswith("[error]"):
        click.echo(line, err=True)


def _shortened(fault: str) -> str:
    """With the path as a user would write it."""
    return fault.removeprefix(f"{Path.cwd()}/")


def _lines(chosen: Policy, record: Record, extensions: list[Extension], found: Preview) -> list[str]:
    own = sum(not each.builtin for each in extensions)
    running = sum(chosen.ever_tries(each.type, each.builtin) for each in extensions)
    types = ", ".join(sorted(chosen.types)) if not chosen.custom_only else "none built in"
    lines = [
        f"policy   {chosen.id}: {chosen.name}",
        f"types    {types}" + ("" if chosen.fuzzer is None else "; and the fuzzer, one point at a time"),
        f"checks   {running} of {len(extensions)} extensions, {own} of them your own",
        f"record   {record.id} {record.name}, {record.baselines} baselines",
    ]
    for each in found.tested:
        lines += ["", *_test_set(each)]
    if found.skipped:
        lines += ["", "left out"]
        lines += [f"  {c.baseline} {c.method} {c.url}: {c.coverage[0].reason}" for c in found.skipped]
    points = {(f.place.baseline, name) for f in found.tested for names in f.points.values() for name in names}
    routes = {(f.place.method, f.route) for f in found.tested}
    lines += [
        "",
        f"{len(found.tested)} of {record.baselines} baselines, {len(routes)} routes, {len(points)} points: "
        f"up to about {found.requests:,} requests; nothing was sent",
    ]
    return lines


def _test_set(each: Foreseen) -> list[str]:
    place = each.place
    lines = [f"{place.method} {each.route}  {place.baseline}" + (f"  {place.test}" if place.test else "")]
    if each.note:
        lines.append(f"  {each.note}")
    if each.error:
        lines.append(f"  {each.error}")
    alike: dict[tuple[str, ...], list[str]] = {}
    for kind, names in each.points.items():
        alike.setdefault(tuple(names), []).append(kind)
    for listed, kinds in alike.items():
        where = _some(listed) if listed else "the request as a whole"
        lines.append(f"  {', '.join(kinds)}: {where}")
    if each.idle:
        lines.append(f"  nothing applies at {_some(tuple(each.idle))}")
    lines.append(f"  up to about {each.requests:,} requests")
    return lines


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _MOST_POINTS
    return ", ".join(names[:_MOST_POINTS]) + (f" and {more} more" if more > 0 else "")

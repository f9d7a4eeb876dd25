"""Findings between runs: which ones there are, which are accepted, what changed since an earlier run."""

import datetime
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastci.cli.options import overlaid
from fastci.cli.results import known_entries, known_file, load_run, shared_store
from fastci.config import parse_settings
from fastci.errors import ExitStatus, UsageError
from fastci.lifecycle.workspace import Workspace
from fastci.reports.summary import ordered
from fastci.results import Acceptance, Finding, Run
from fastci.verdict.comparison import compare_runs
from fastci.verdict.known import acceptance_of, apply_known, is_expired, load_known, save_known

VALID_DAYS = 90
"""How long an acceptance holds where no day is named: what nobody looks at again must not stay for ever."""
_LEAST = 6

_WIDTH = 160
T = TypeVar("T")

from_option = click.option(
    "--from", "source", type=click.Path(path_type=Path), metavar="RESULTS",
    help="Results file; without it the last run of the workspace.",
)  # fmt: skip
known_option = click.option(
    "--known-findings", "FAST_KNOWN_FINDINGS", metavar="FILE",
    help="File of the known findings [FAST_KNOWN_FINDINGS]",
)  # fmt: skip
workspace_option = click.option(
    "--workspace", "FAST_WORKSPACE", metavar="FOLDER", help="The workspace folder [FAST_WORKSPACE]"
)


class Shelf:
    """The workspace as these commands see it: its runs, and the known findings, a file's or a store's."""

    def __init__(self, **given: str | None) -> None:
        settings = parse_settings(overlaid(given))
        workspace = Workspace(Path(settings.fast_workspace))
        self._runs = workspace.runs
        self.known_path = known_file(settings, workspace)
        self._shared = None if settings.fast_known_findings else shared_store(settings)
        self.known = known_entries(settings, self.known_path) if self._shared else load_known(self.known_path)
        self.today = datetime.datetime.now(datetime.UTC).date()

    def run(self, source: Path | None) -> Run:
        """The run of that file, else the last one, judged by the known findings of now."""
        if source is None:
            kept = [path for path in self._runs.glob("tr_*.json") if path.stat().st_size]
            if not kept:
                raise UsageError(
                    f"there is no test run in {self._runs}",
                    hint="run the tests first, or name a results file with --from",
                )
            source = max(kept, key=lambda path: (path.stat().st_mtime, path.name))
        return apply_known(load_run(source), self.known, self.today)

    def save(self, entries: Sequence[Acceptance]) -> None:
        if self._shared is None:
            save_known(self.known_path, entries)
            return
        # For all workflows; what the file of this one says stays there.
        kept = {entry.fingerprint for entry in entries}
        for entry in self.known:
            if entry.fingerprint not in kept:
                self._shared.forget_finding(entry.fingerprint)
        for entry in entries:
            if entry not in self.known:
                self._shared.accept_finding(entry.fingerprint, asdict(entry))


@click.group()
def findings() -> None:
    """List findings, accept and forget them, compare two runs."""


@findings.command("list")
@from_option
@known_option
@workspace_option
def list_findings(source: Path | None, **given: str | None) -> ExitStatus:
    """What the last run found, what of it is accepted, and accepted entries that were not found."""
    shelf = Shelf(**given)
    run = shelf.run(source)
    rows = [_row(finding, _standing(finding)) for finding in ordered(run.findings)]
    _show(rows + [_row(finding, "accepted") for finding in ordered(run.accepted)], run.name)
    for entry in run.absent:
        when = "expired, " if is_expired(entry, shelf.today) else ""
        click.echo(f"absent: {entry.fingerprint[:12]} {entry.where or entry.reason} ({when}{entry.owner})")
    return ExitStatus.PASSED


@findings.command()
@click.argument("names", nargs=-1, required=True, metavar="FINGERPRINT...")
@click.option("--reason", required=True, help="Why it may stay.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option(
    "--expires",
    metavar="DAY",
    default="",
    help=f"Last day it holds, YEAR-MONTH-DAY, or never. [{VALID_DAYS} days]",
)
@from_option
@known_option
@workspace_option
def accept(
    names: tuple[str, ...], reason: str, owner: str, expires: str, source: Path | None, **given: str | None
) -> ExitStatus:
    """Let findings pass, by their fingerprint or its beginning, or by their id in the run (v3)."""
    shelf = Shelf(**given)
    if not reason.strip() or not owner.strip():
        raise UsageError("a reason and an owner are needed", hint="--reason TEXT --owner NAME")
    until = _day(expires, shelf.today)
    run = shelf.run(source)
    chosen = [_finding(name, [*run.findings, *run.accepted]) for name in names]
    entries = {entry.fingerprint: entry for entry in shelf.known}
    for finding in chosen:
        entry = acceptance_of(finding, reason=reason.strip(), owner=owner.strip(), expires=until)
        entries[entry.fingerprint] = entry
    shelf.save(list(entries.values()))
    for finding in chosen:
        entry = entries[finding.fingerprint]
        click.echo(f"accepted until {entry.expires or 'further notice'}: {finding.fingerprint} {entry.where}")
    click.echo(f"known findings: {shelf.known_path}")
    return ExitStatus.PASSED


@findings.command()
@click.argument("names", nargs=-1, metavar="FINGERPRINT...")
@click.option("--expired", is_flag=True, help="Those whose day has passed.")
@click.option("--absent", is_flag=True, help="Those that the last run, if it was complete, did not find.")
@from_option
@known_option
@workspace_option
def forget(
    names: tuple[str, ...], expired: bool, absent: bool, source: Path | None, **given: str | None
) -> ExitStatus:
    """Take entries out of the known findings: they count again."""
    if not (names or expired or absent):
        raise UsageError("nothing to forget was named", hint="give fingerprints, --expired or --absent")
    shelf = Shelf(**given)
    doomed = {_entry(name, shelf.known).fingerprint for name in names}
    if expired:
        doomed |= {entry.fingerprint for entry in shelf.known if is_expired(entry, shelf.today)}
    if absent:
        run = shelf.run(source)
        if not run.complete:
            raise UsageError(f"the run {run.name} was cut short", why="what it missed may still be there")
        doomed |= {entry.fingerprint for entry in run.absent}
    shelf.save([entry for entry in shelf.known if entry.fingerprint not in doomed])
    for entry in shelf.known:
        if entry.fingerprint in doomed:
            click.echo(f"forgotten: {entry.fingerprint} {entry.where}")
    return ExitStatus.PASSED


@findings.command()
@click.argument("earlier", type=click.Path(path_type=Path), metavar="EARLIER")
@click.argument("later", type=click.Path(path_type=Path), required=False, metavar="[LATER]")
@known_option
@workspace_option
def diff(earlier: Path, later: Path | None, **given: str | None) -> ExitStatus:
    """What is new, unchanged and fixed since the run of the results file EARLIER."""
    shelf = Shelf(**given)
    run = compare_runs(shelf.run(later), load_run(earlier))
    rows = [_row(finding, finding.status) for finding in (*run.findings, *run.accepted)]
    for past in run.past:
        where = f"{past.method} {past.route}"
        rows.append([past.fingerprint[:12], past.state, "", past.type, where, past.point, past.title])
    _show(sorted(rows, key=lambda row: _ORDER.index(row[1])), f"{run.name} against {run.compared_with}")
    return ExitStatus.PASSED


_ORDER = ("new", "unchanged", "fixed", "untested")


def _standing(finding: Finding) -> str:
    if finding.acceptance is None:
        return "counts"
    return f"expired {finding.acceptance.expires}"


def _row(finding: Finding, standing: str) -> list[str]:
    where = f"{finding.place.method} {finding.route}"
    severity = finding.severity.upper()
    return [finding.fingerprint[:12], standing, severity, finding.type, where, finding.point, finding.title]


def _show(rows: Sequence[Sequence[str]], title: str) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    table = Table(box=None, pad_edge=False, header_style="bold", title=None)
    for column in ("fingerprint", "state", "severity", "type", "where", "point", "what"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(Text(f"{title}: {len(rows)} findings"))
    if rows:
        console.print(table)


def _finding(name: str, found: Sequence[Finding]) -> Finding:
    """The one finding of that id or fingerprint."""
    if exact := [finding for finding in found if finding.id == name]:
        return exact[0]
    matching = {finding.fingerprint: finding for finding in found if _begins(finding.fingerprint, name)}
    return _only(name, matching, "finding of this run")


def _entry(name: str, known: Sequence[Acceptance]) -> Acceptance:
    return _only(name, {e.fingerprint: e for e in known if _begins(e.fingerprint, name)}, "known finding")


def _begins(fingerprint: str, name: str) -> bool:
    return len(name) >= _LEAST and fingerprint.startswith(name.lower())


def _only(name: str, matching: dict[str, T], what: str) -> T:
    if len(matching) == 1:
        return next(iter(matching.values()))
    if matching:
        raise UsageError(f"{name} is the beginning of several fingerprints", why=", ".join(matching))
    raise UsageError(
        f"there is no {what} {name!r}",
        hint=f"fastci findings list shows them; {_LEAST} digits of a fingerprint are enough",
    )


def _day(text: str, today: datetime.date) -> str:
    if text == "never":
        return ""
    if not text:
        return (today + datetime.timedelta(days=VALID_DAYS)).isoformat()
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--expires {text!r} is no day", hint="a day like 2026-12-31, or never") from error
    if day < today:
        raise UsageError(f"--expires {text} has passed already", hint="a day from today on, or never")
    return text

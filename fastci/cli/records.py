"""Test records as things: list, show, merge, export, import, and say which tests they come from."""

import glob
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastci import __version__
from fastci.cli.options import overlaid
from fastci.config import parse_settings
from fastci.errors import TechnicalError, UsageError
from fastci.node.engine.coding import decoded_body
from fastci.node.hosts import HostFilter
from fastci.node.interchange import (
    parse_curl,
    parse_har,
    parse_postman,
    parse_windows,
    test_at,
    write_har,
)
from fastci.node.interchange.redaction import Redaction
from fastci.node.route import shape_of
from fastci.node.store import Baseline, Record, Store
from fastci.node.surface import differences, surface_of

_WIDTH = 160

workspace_option = click.option(
    "--workspace", "FAST_WORKSPACE", metavar="FOLDER", help="The workspace folder [FAST_WORKSPACE]"
)
secrets_option = click.option(
    "--secrets", is_flag=True, help="Leave passwords, tokens and cookies as they are; else they are redacted."
)
name_option = click.option("--name", default="", help="Name of the new record.")
build_option = click.option("--build-id", "BUILD_ID", help="Build of the new record [BUILD_ID]")


class Shelf:
    """The records of the workspace, with the settings that matter for them."""

    def __init__(self, **given: str | None) -> None:
        self.settings = parse_settings(overlaid(given))
        self.store = Store(Path(self.settings.fast_workspace), key=self.settings.fast_record_key)

    def record(self, record_id: str) -> Record:
        """That record, which may be empty. Raises UsageError when there is none."""
        found = [record for record in self.store.records() if record.id == record_id]
        if not found:
            known = ", ".join(record.id for record in self.store.records()) or "none"
            raise UsageError(
                f"there is no test record {record_id} in {self.store.records_dir}",
                why=f"known records: {known}",
            )
        return found[0]

    def baselines(self, name: str) -> Iterator[Baseline]:
        """Of the record of that id, or of that file in the records of another workspace."""
        path = Path(name)
        if path.suffix != ".sqlite":
            return self.store.baselines(self.record(name))
        if not path.is_file():
            raise UsageError(f"there is no record file {path}")
        store = Store(path.absolute().parent.parent, key=self.settings.fast_record_key)
        found = [record for record in store.records() if record.id == path.stem]
        if not found:
            raise UsageError(
                f"{path} is no readable record", hint="keep it in a folder records/, under its own name"
            )
        return store.baselines(found[0])

    def keep(self, baselines: Iterable[Baseline], name: str) -> tuple[str, int]:
        """A new record of these; its id and how many they are. Nothing stays of it when one is broken."""
        recorder = self.store.create(name, build_id=self.settings.build_id)
        try:
            for baseline in baselines:
                recorder.add(
                    baseline.origin, baseline.request, baseline.response, started=baseline.started,
                    duration=baseline.duration, connection=baseline.connection, test=baseline.test,
                    truncated=baseline.truncated,
                )  # fmt: skip
                recorder.commit()
        except BaseException:
            recorder.close()
            recorder.path.unlink(missing_ok=True)
            raise
        recorder.close()
        return recorder.id, recorder.count


@click.group()
def records() -> None:
    """Test records: list, show, merge, export and import them."""


@records.command(name="list")
@workspace_option
def list_records(**given: str | None) -> None:
    """The records of the workspace, oldest first."""
    table = Table("record", "name", "build", "started", "state", "baselines", box=None)
    for record in Shelf(**given).store.records():
        table.add_row(*map(Text, _facts(record)))
    _console().print(table)


def _facts(record: Record) -> tuple[str, ...]:
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(record.created))
    state = "closed" if record.closed else "open, or its node was killed"
    if record.encrypted:
        state += ", encrypted"
    return record.id, record.name, record.build_id, started, state, str(record.baselines)


@records.command()
@workspace_option
@secrets_option
@click.option("--baseline", metavar="ID", help="Show this exchange in full, its body decoded, like bl_3.")
@click.argument("record_id")
def show(record_id: str, baseline: str | None, secrets: bool, **given: str | None) -> None:
    """What a record holds: its exchanges, which of them are alike, and what was seen beside them."""
    shelf = Shelf(**given)
    record = shelf.record(record_id)
    baselines = _redacted(shelf.store.baselines(record), secrets)
    if baseline:
        found = next((one for one in baselines if one.id == baseline), None)
        if found is None:
            raise UsageError(
                f"there is no baseline {baseline} in {record_id}", why=f"it has {record.baselines}"
            )
        answer = found.response.head() + decoded_body(found.response)
        sys.stdout.buffer.write(found.request.render() + b"\n" + answer + b"\n")
        return
    console = _console()
    for kind, value in zip(
        ("record", "name", "build", "started", "state", "baselines"), _facts(record), strict=True
    ):
        console.print(Text(f"{kind:10} {value}"))
    table = Table("", "request", "status", "bytes", "test", "remarks", box=None)
    shapes: dict[str, str] = {}
    for one in baselines:
        first = shapes.setdefault(shape_of(one.request), one.id)
        remarks = [f"like {first}"] if first != one.id else []
        remarks += ["truncated, not attacked"] if one.truncated else []
        url = f"{one.request.method.decode('latin-1')} {one.origin}{one.request.target.decode('latin-1')}"
        cells = (
            one.id,
            url,
            str(one.response.status or "-"),
            str(len(one.response.body)),
            one.test,
            ", ".join(remarks),
        )
        table.add_row(*map(Text, cells))
    console.print(table)
    for (kind, host), count in sorted(record.seen.items()):
        console.print(Text(f"seen, not recorded: {count} x {kind} {host}"))


@records.command()
@workspace_option
@name_option
@build_option
@click.option("--drop-duplicates", is_flag=True, help="Of requests of one route and shape keep the first.")
@click.argument("record_ids", nargs=-1, required=True)
def merge(record_ids: tuple[str, ...], name: str, drop_duplicates: bool, **given: str | None) -> None:
    """Make one record of several, in the order in which they are named."""
    shelf = Shelf(**given)
    found = [shelf.record(record_id) for record_id in record_ids]
    baselines: Iterable[Baseline] = itertools.chain.from_iterable(map(shelf.store.baselines, found))
    if drop_duplicates:
        baselines = _distinct(baselines)
    made, count = shelf.keep(baselines, name or " + ".join(record.name for record in found))
    click.echo(f"{made}: {count} baselines")


def _distinct(baselines: Iterable[Baseline]) -> Iterator[Baseline]:
    shapes = set()
    for baseline in baselines:
        shape = (baseline.origin, shape_of(baseline.request))
        if shape not in shapes:
            shapes.add(shape)
            yield baseline


@records.command()
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="As JSON: what appeared and what vanished.")
@click.argument("earlier")
@click.argument("later")
def diff(earlier: str, later: str, as_json: bool, **given: str | None) -> None:
    """What appeared and vanished between two records: hosts, routes, parameters, routes without credentials.

    EARLIER and LATER are ids, or paths of record files in another workspace.
    """
    shelf = Shelf(**given)
    before, after = (surface_of(shelf.baselines(name)) for name in (earlier, later))
    changes = differences(before, after)
    if as_json:
        click.echo(json.dumps({c.kind: {"appeared": c.appeared, "vanished": c.vanished} for c in changes}))
        return
    console = _console()
    for change in changes:
        signed = [("+", what) for what in change.appeared] + [("-", what) for what in change.vanished]
        words = change.kind.replace("_", " ")
        console.print(Text(f"{words}: {len(change.appeared)} appeared, {len(change.vanished)} vanished"))
        for sign, what in signed:
            line = f"  {sign} {what.encode('ascii', 'backslashreplace').decode()}"
            console.print(Text(line, style="green" if sign == "+" else "red"), soft_wrap=True)


@records.command()
@workspace_option
@secrets_option
@click.option(
    "--har", type=click.Path(path_type=Path), metavar="FILE", required=True, help="HAR 1.2; - is stdout."
)
@click.argument("record_id")
def export(record_id: str, har: Path, secrets: bool, **given: str | None) -> None:
    """Write a record as an HTTP archive, by default without the secrets in it."""
    shelf = Shelf(**given)
    record = shelf.record(record_id)
    baselines = _redacted(shelf.store.baselines(record), secrets)
    comment = f"{record.id} {record.name}" + ("" if secrets else ", secrets redacted")
    try:
        if str(har) == "-":
            write_har(sys.stdout, baselines, version=__version__, comment=comment)
            return
        with open(har, "w", encoding="utf-8", opener=_private) as file:
            count = write_har(file, baselines, version=__version__, comment=comment)
    except OSError as error:
        raise TechnicalError(f"{har} cannot be written", why=error.strerror or str(error)) from error
    click.echo(f"{har}: {count} exchanges" + ("" if secrets else ", secrets redacted"), err=True)


@records.command(name="import")
@workspace_option
@name_option
@build_option
@click.option("--har", type=click.Path(path_type=Path), metavar="FILE", help="An HTTP archive, HAR 1.2.")
@click.option("--postman", type=click.Path(path_type=Path), metavar="FILE", help="A Postman collection.")
@click.option("--curl", type=click.Path(path_type=Path), metavar="FILE", help="A file of curl commands.")
@click.option(
    "--variable", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the collection."
)
@click.option(
    "--allowed-hosts", "ALLOWED_HOSTS", metavar="HOSTS", help="Import these hosts only [ALLOWED_HOSTS]"
)
def import_(
    har: Path | None, postman: Path | None, curl: Path | None, variables: tuple[str, ...], name: str,
    **given: str | None,
) -> None:  # fmt: skip
    """Make a record of a file of another tool; `fastci test` uses it as the last one recorded."""
    chosen = [path for path in (har, postman, curl) if path]
    if len(chosen) != 1:
        raise UsageError("name one file to import", hint="--har FILE, --postman FILE or --curl FILE")
    (path,) = chosen
    shelf = Shelf(**given)
    wrong = [pair for pair in variables if "=" not in pair]
    if wrong:
        raise UsageError(f"--variable {wrong[0]!r} is not NAME=VALUE")
    values = dict(pair.split("=", 1) for pair in variables)
    now = time.time()
    readers: dict[Path | None, Callable[[str], Iterator[Baseline]]] = {
        har: parse_har,
        postman: lambda text: parse_postman(text, variables=values, folder=path.parent, started=now),
        curl: lambda text: parse_curl(text, folder=path.parent, started=now),
    }
    admitted = HostFilter.parse(shelf.settings.allowed_hosts)
    left_out = 0

    def wanted(baselines: Iterator[Baseline]) -> Iterator[Baseline]:
        nonlocal left_out
        for baseline in baselines:
            if admitted.admits(baseline.origin.host):
                yield baseline
            else:
                left_out += 1

    try:
        text = path.read_text(encoding="utf-8-sig")
        made, count = shelf.keep(wanted(readers[path](text)), name or path.name)
    except OSError as error:
        raise UsageError(f"{path} cannot be read", why=error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be imported", why=str(error)) from error
    click.echo(f"{made}: {count} baselines" + (f", {left_out} of other hosts left out" if left_out else ""))


@records.command()
@workspace_option
@click.option(
    "--junit", "patterns", multiple=True, required=True, metavar="FILES", help="JUnit files of the test run."
)
@click.argument("record_id")
def attribute(record_id: str, patterns: tuple[str, ...], **given: str | None) -> None:
    """Say which functional test each request comes from, by the times in a JUnit file."""
    shelf = Shelf(**given)
    record = shelf.record(record_id)
    named, count = attribute_record(shelf.store, record, patterns)
    click.echo(f"{record_id}: {named} of {count} baselines have a test")


def attribute_record(store: Store, record: Record, patterns: Iterable[str]) -> tuple[int, int]:
    """Name the tests of baselines that have none; how many have one now, and how many there are.

    Raises UsageError for JUnit files that are not there or tell no times.
    """
    paths = sorted({path for pattern in patterns for path in glob.glob(pattern, recursive=True)})  # noqa: PTH207
    if not paths:
        raise UsageError(f"there is no JUnit file {', '.join(patterns)}")
    windows = []
    for path in paths:
        try:
            windows += parse_windows(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} tells no times of tests", why=str(error)) from error
    windows.sort(key=lambda window: window.start)
    names = {}
    named = 0
    for sequence, started, test in store.moments(record):
        found = test or test_at(windows, started)
        named += bool(found)
        if found != test:
            names[sequence] = found
    store.name_tests(record, names)
    return named, record.baselines


def _redacted(baselines: Iterable[Baseline], secrets: bool) -> Iterable[Baseline]:
    return baselines if secrets else map(Redaction().baseline, baselines)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)

"""The author's loop: is this file an extension, what would it send, and what does a target say to that."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import uvloop

from fastci.cli.options import overlaid
from fastci.config import Settings, parse_settings
from fastci.errors import ExitStatus, UsageError
from fastci.lifecycle.workspace import Workspace
from fastci.node.dsl import (
    Attack,
    Extension,
    ExtensionFault,
    MarkerSource,
    Memory,
    parse_extension,
    rehearse,
)
from fastci.node.engine.trial import try_extension
from fastci.node.interchange import parse_har
from fastci.node.message import Origin, Response, parse_request
from fastci.node.policy import Policy, load_policy
from fastci.node.route import route_names
from fastci.node.store import Baseline
from fastci.results import Finding, Run

_CALLBACKS = "callbacks.example"
"""What DNS_MARKER stands for while nothing is sent."""

_START_LINE = re.compile(rb"[A-Za-z]+ (?:/|\*|https?://)\S* HTTP/1\.[01](?:\n|\Z)")
_SHOWN_BODY = 400
_SHOWN_ANSWER = 1_000


@click.group()
def extension() -> None:
    """Write a check of your own: check the file, try it on a request."""


@extension.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
def check(files: tuple[Path, ...]) -> ExitStatus:
    """Whether these files are extensions; each fault as `file:line:column: what`. Status 2 for one."""
    status = ExitStatus.PASSED
    for file in files:
        found, faults = _read(file)
        for fault in faults:
            click.echo(fault)
        if found is None:
            status = ExitStatus.USAGE
        else:
            click.echo(f"{file}: ok, {_in_short(found)}")
    return status


@extension.command("try")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--request", "request_file", type=click.Path(path_type=Path), help="A request: head, empty line, body."
)
@click.option(
    "--har", "har_file", type=click.Path(path_type=Path), help="Requests of a HAR file, all of them."
)
@click.option(
    "--target", "TEST_RUN_URI", metavar="URL", help="Send it to this target and say what comes of it."
)
@click.option("--policy", "TEST_RUN_POLICY_ID", metavar="ID|FILE", help="The policy [TEST_RUN_POLICY_ID]")
@click.option("--workspace", "FAST_WORKSPACE", metavar="FOLDER", help="The workspace folder [FAST_WORKSPACE]")
@click.option(
    "--payloads", default=20, show_default=True, help="Test requests that are shown of each request."
)
def try_(
    file: Path, request_file: Path | None, har_file: Path | None, payloads: int, **given: str | None
) -> ExitStatus:
    """What an extension does with a request: which points, which test requests; with a target, the verdict.

    Without a target nothing is sent. With one the engine of the runs sends them, repeats what looks like a
    hit, compares with harmless values, and the status is 1 for a proven vulnerability.
    """
    found, faults = _read(file)
    if found is None:
        for fault in faults:
            click.echo(fault)
        return ExitStatus.USAGE
    if (request_file is None) == (har_file is None):
        raise UsageError("name one of --request and --har", why="an extension is tried on recorded requests")
    environ = overlaid(given)
    settings = replace(parse_settings({**environ, "CI_MODE": "testing"}), processes=1)
    baselines = _har(har_file) if har_file else [_plain(request_file, settings)] if request_file else []
    workspace = Workspace(Path(settings.fast_workspace))
    names = {name for name, value in environ.items() if value.strip()}
    policy = load_policy(
        settings.test_run_policy_id, workspace.given_folder("FAST_POLICIES", settings, names)
    )
    click.echo(f"{file}: {_in_short(found)}")
    memory, markers = Memory(), MarkerSource(settings.fast_seed, _CALLBACKS)
    try:
        for baseline in baselines:
            for line in _rehearsed(found, baseline, policy, memory, markers, payloads):
                click.echo(line)
    except ExtensionFault as fault:
        click.echo(str(fault))
        return ExitStatus.USAGE
    if not settings.test_run_uri:
        click.echo("\nnothing was sent; --target URL tries it")
        return ExitStatus.PASSED
    run = uvloop.run(try_extension(found, baselines, settings, policy))
    for line in _verdict(run):
        click.echo(line)
    if run.findings:
        return ExitStatus.VULNERABLE
    return ExitStatus.TECHNICAL if any(check.error for check in run.checks) else ExitStatus.PASSED


def _read(file: Path) -> tuple[Extension | None, list[str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read", why=str(error)) from error
    return parse_extension(text, str(file))


def _in_short(extension: Extension) -> str:
    if extension.sends:
        what = _counted(len(extension.sendings), "fixed request")
    elif extension.payloads:
        what = f"{_counted(len(extension.payloads), 'payload')} by {', '.join(extension.methods)}"
    elif extension.headers:
        what = _counted(len(extension.headers), "set") + " of headers"
    else:
        what = "no payload"
    oracle = f", oracle {extension.oracle}" if extension.oracle else ""
    return f"{extension.type} ({extension.title}), {what}{oracle}"


def _counted(number: int, thing: str) -> str:
    return f"1 {thing}" if number == 1 else f"{number} {thing}s"


def _plain(file: Path, settings: Settings) -> Baseline:
    """A request as it is written in documentation: line ends of any kind, the body behind an empty line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read", why=str(error)) from error
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    if not _START_LINE.match(head):
        raise UsageError(
            f"{file} holds no request", hint="write it as: GET /path HTTP/1.1, headers, an empty line, body"
        )
    request = parse_request(head.replace(b"\n", b"\r\n") + b"\r\n\r\n")
    # What an editor puts behind the last line is not a part of the body.
    request = request.with_body(body.removesuffix(b"\n"))
    host, _, port = (request.get(b"host") or b"target.example").decode("latin-1").partition(":")
    scheme = "https" if settings.test_run_uri.startswith("https:") else "http"
    number = int(port) if port.isdigit() else {"http": 80, "https": 443}[scheme]
    return Baseline(
        sequence=1, origin=Origin(scheme=scheme, host=host, port=number), request=request,
        response=Response(status=0), started=0.0, duration=0.0, connection=1, test="", truncated=False,
    )  # fmt: skip


def _har(file: Path) -> list[Baseline]:
    try:
        baselines = list(parse_har(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read", why=str(error)) from error
    if not baselines:
        raise UsageError(f"{file} holds no request")
    return baselines


def _rehearsed(
    extension: Extension, baseline: Baseline, policy: Policy, memory: Memory, markers: MarkerSource, most: int
) -> Iterator[str]:
    request = baseline.request
    here = policy.at(route_names(request))
    yield ""
    yield _start_line(request.head())
    found = rehearse(
        extension, request, memory=memory, markers=markers,
        admits=lambda points: here.admitted(points, extension.type),
    )  # fmt: skip
    if here.left_out or found.stopped:
        yield f"  not tested: {here.left_out or found.stopped}"
        return
    if found.points:
        yield f"  points: {', '.join(str(point.name) for point in found.points)}"
    count = f"more than {len(found.attacks)}" if found.more else str(len(found.attacks))
    yield f"  test requests: {count}"
    for number, attack in enumerate(found.attacks[:most], 1):
        yield from _shown(number, attack, request.body)
    if len(found.attacks) > most:
        yield f"  ... (--payloads {len(found.attacks)} shows all)"


def _shown(number: int, attack: Attack, recorded: bytes) -> Iterator[str]:
    where = f" at {attack.point}, {attack.method}: {attack.template!r}" if attack.method else ""
    yield f"  {number}.{where}"
    yield f"     {_start_line(attack.request.head())}"
    for field in attack.request.fields:
        if attack.markers.text.encode() in field.value or not attack.method:
            yield f"     {field.raw.decode('latin-1').rstrip()}"
    if attack.request.body and attack.request.body != recorded:
        yield f"     {attack.request.body[:_SHOWN_BODY].decode('utf-8', 'backslashreplace')}"


def _start_line(head: bytes) -> str:
    return head.partition(b"\r\n")[0].decode("latin-1")


def _verdict(run: Run) -> Iterator[str]:
    yield ""
    for check in run.checks:
        yield f"{check.method} {check.url}: {_counted(check.requests, 'request')} sent"
        if check.error:
            yield f"  {check.error}"
        for row in check.coverage:
            reason = f": {row.reason}" if row.reason else ""
            if row.requests or row.state == "failed" or row.point == "*":
                yield f"  {row.point} {row.type}: {row.state}, {_counted(row.requests, 'request')}{reason}"
    yield from run.messages
    for finding in run.findings:
        yield from _proof(finding)
    if not run.findings:
        yield "not vulnerable, as far as this extension can tell"


def _proof(finding: Finding) -> Iterator[str]:
    evidence = finding.evidence
    where = f" at {finding.point}" if finding.point else ""
    yield ""
    yield f"vulnerable: {finding.type}{where}, {finding.severity}, {finding.confidence}"
    yield f"  payload: {evidence.payload}"
    yield f"  shown by: {evidence.matched}"
    for name, exchange in (
        ("attack", evidence.attack),
        ("repetition", evidence.confirmation),
        ("harmless value", evidence.control),
    ):
        if exchange is not None:
            yield f"  {name}: {_start_line(exchange.request)} -> {exchange.status}, {exchange.elapsed:.3f} s"
    for note in evidence.notes:
        yield f"  {note}"
    answer = evidence.attack.response.partition(b"\r\n\r\n")[2][:_SHOWN_ANSWER]
    yield "  answer:"
    yield from (f"    {line}" for line in answer.decode("utf-8", "replace").splitlines())

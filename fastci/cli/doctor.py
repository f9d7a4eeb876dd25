"""What is wrong between test tool, node and target, and how to mend it."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from fastci.cli.job import Job
from fastci.cli.options import settings_of
from fastci.config import Mode
from fastci.errors import ExitStatus
from fastci.lifecycle.diagnosis import (
    Check,
    advice_of,
    check_environment,
    check_node,
    check_tools,
    send_canary,
)
from fastci.lifecycle.recording import Recording


@click.command()
@settings_of(Mode.RECORDING)
@click.option(
    "--proxy", metavar="URL", default="", help="The recorder; without it the one of this workspace."
)
def doctor(proxy: str, **given: str | None) -> ExitStatus:
    """Find out why little or nothing is recorded.

    Looks at the recorder, sends a request of its own through it to TARGET_URI, looks at the environment of
    this shell and at the tools in it, and tells what the recorder saw. Without a recorder it starts one.
    """
    with Job(given) as job:
        url = proxy or job.environ.get("FAST_PROXY", "") or _left_behind(job.workspace.environment_file)
        recording = None
        environ = job.environ
        if not url:
            recording = Recording(job.open())

        def walk() -> list[Check]:
            nonlocal url, environ
            if recording:
                recording.start_recording()
                recording.prepare_settings()
                url, environ = recording.environment["FAST_PROXY"], {**environ, **recording.environment}
            return list(_checks(job, environ, url))

        checks = job.guard(walk, [recording.close] if recording else [])
        for check in checks:
            word, style = ("ok  ", "") if check.fine else ("FAIL", "red")
            job.screen.line(f"{word} {check.name}: {check.found}", style=style)
            if check.mend:
                job.screen.line(f"     mend: {check.mend}")
        return ExitStatus.PASSED if all(check.fine for check in checks) else ExitStatus.TECHNICAL


def _checks(job: Job, environ: dict[str, str], url: str) -> Iterator[Check]:
    target = job.settings.target_uri
    node, facts = check_node(url)
    yield node
    if node.fine and target:
        ca_file = job.workspace.ca_file
        yield from send_canary(url, target, ca_file if ca_file.is_file() else None)
    elif not target:
        yield Check(name="TARGET_URI", fine=True, found="is not set: no request is sent through the recorder")
    yield from check_environment(environ, url, target)
    yield from check_tools(environ, target)
    if facts.get("requests") or facts.get("seen"):
        for line in advice_of(facts):
            found, _, mend = line.partition(": ")
            yield Check(name="seen", fine=False, found=found, mend=mend)


def _left_behind(path: Path) -> str:
    """The recorder that `fastci record` left its settings of."""
    if not path.is_file():
        return ""
    found = re.search(r"^FAST_PROXY=(\S+)$", path.read_text(), re.M)
    return found[1] if found else ""

"""The node itself, the image's default command."""

import signal
from types import FrameType

import click

from fastci.cli.options import overlaid, settings_of
from fastci.config import ALL, Mode, parse_settings
from fastci.errors import ExitStatus, Interrupted
from fastci.lifecycle.process import LEASH
from fastci.lifecycle.sessions import die_with


@click.command()
@settings_of(*ALL, node=True)
def node(**given: str | None) -> ExitStatus:
    """Be the node: do what CI_MODE says. The image's default command."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise Interrupted(f"interrupted by {signal.Signals(number).name} before the node was up")

    # The first process of a container ignores a signal that it has no handler for.
    signal.signal(signal.SIGTERM, leave)
    environ = overlaid(given)
    settings = parse_settings(environ)
    if parent := environ.get(LEASH):
        die_with(int(parent))

    def say(line: str) -> None:
        print(line, flush=True)

    if settings.ci_mode == Mode.RECORDING:
        # Past the dispatch of all modes, whose imports would take most of the time until it is ready.
        from fastci.node.recording import record

        return record(settings, say)
    from fastci.node.app import run_node

    return run_node(settings, say)

"""The commands, one file a group of them. Composes the rest; alone reads the environment and exits.

Every option is a variable and overlays it. What each command may be told comes from the table in `config`.
"""

import atexit
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

import click

from fastci import __version__
from fastci.errors import ExitStatus, FatalError

COMMANDS = {
    "run": "steps",
    "record": "steps",
    "stop": "steps",
    "test": "steps",
    "report": "report",
    "findings": "findings",
    "policy": "policy",
    "records": "records",
    "extension": "extension",
    "doctor": "doctor",
    "clean": "steps",
    "init": "generate",
    "generate": "generate",
    "node": "node",
}
"""Each command with the file here that defines it under its own name, in the order of the help."""


class Commands(click.Group):
    """Imports a command when it is called: most of the time that one takes to start is imports."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"fastci.cli.{COMMANDS[name]}"), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fastci")
def cli() -> None:
    """Record the functional tests you already run, replay them as attacks, fail the build on proof."""


def print_error(error: FatalError) -> None:
    for line in error.lines():
        click.echo(line, err=True)


def ignore_signals() -> None:
    """What a command ended with stands: Python takes a while to end, and a signal would take its place."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main(arguments: list[str] | None = None, *, tell: Callable[[FatalError], None] = print_error) -> NoReturn:
    """Run a command and exit with its status; `tell` is given the error that ended it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Filled as soon as a command knows its options.
    told: dict[str, str] = {"exit codes": os.environ.get("FAST_EXIT_CODES", "")}
    try:
        result = cli.main(arguments, prog_name="fastci", standalone_mode=False, obj=told)
        status = result if isinstance(result, ExitStatus) else ExitStatus.PASSED
    except FatalError as error:
        tell(error)
        status = error.status
    except click.ClickException as error:
        error.show()
        status = ExitStatus.USAGE
    except (click.Abort, KeyboardInterrupt):
        status = ExitStatus.INTERRUPTED
    except Exception as error:
        # Python would end with 1, which says that vulnerabilities were found.
        traceback.print_exc()
        click.echo(f"error: a fault of fastci itself: {type(error).__name__}: {error}", err=True)
        status = ExitStatus.TECHNICAL
    usual = "simple" if arguments[:1] == ["node"] else "detailed"
    simple = (told["exit codes"].strip().lower() or usual) == "simple"
    atexit.register(ignore_signals)
    sys.exit(status.simple() if simple else int(status))

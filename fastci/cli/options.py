"""Options and environment: every variable is an option, and an option lies over its variable."""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from fastci.config import VARIABLES, Mode, Side, Variable

Command = TypeVar("Command", bound=Callable[..., Any])

_ALIASES = {"TEST_RUN_POLICY_ID": "--policy"}
NODE_ONLY = ("CI_MODE", "FAST_LISTEN", "FAST_STORE", "FAST_SCRATCH", "FAST_RECORD_ID", "FAST_RUN_ID")
"""Variables that the CI side decides itself."""


def settings_of(*modes: Mode, node: bool = False) -> Callable[[Command], Command]:
    """Adds an option for every variable that counts in these modes."""

    def add(command: Command) -> Command:
        for variable in reversed(VARIABLES.values()):
            wanted = any(mode in variable.modes for mode in modes)
            wanted &= variable.side is not Side.CI if node else variable.name not in NODE_ONLY
            # Others on the machine can read a command line.
            wanted &= not variable.secret
            if wanted:
                command = _option(variable)(command)
        return command

    return add


def _option(variable: Variable) -> Callable[[Command], Command]:
    names = [variable.option, *filter(None, [_ALIASES.get(variable.name)])]
    flag: dict[str, Any] = {}
    if variable.kind.name == "switch":
        # Given alone it means yes; `--name=false` says no.
        flag = {"is_flag": False, "flag_value": "true"}
    about = f"{variable.help[:1].upper()}{variable.help[1:]} [{variable.name}]"
    return click.option(*names, variable.name, metavar=variable.kind.name.upper(), help=about, **flag)


def overlaid(given: Mapping[str, str | None]) -> dict[str, str]:
    """The environment with the options laid over it."""
    environ = {**os.environ, **{name: value for name, value in given.items() if value is not None}}
    click.get_current_context().find_root().obj["exit codes"] = environ.get("FAST_EXIT_CODES", "")
    return environ

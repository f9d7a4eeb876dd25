"""The action's program: its inputs become variables, its mode becomes a command. `post` is the cleanup."""

import os
import shlex
import sys

from fastci.cli import main
from fastci.config import VARIABLES
from fastci.errors import ExitStatus
from fastci.platforms.github import read_inputs

COMMANDS = {
    "recording": ["record"],
    "stop": ["stop"],
    "testing": ["test"],
    "report": ["report"],
    "run": ["run", "--"],
    "post": ["clean"],
}


def start(arguments: list[str]) -> None:
    inputs = read_inputs(os.environ)
    for variable in VARIABLES.values():
        if variable.input in inputs:
            os.environ[variable.name] = inputs[variable.input]
    mode = arguments[0] if arguments else inputs.get("mode", "run")
    if mode not in COMMANDS:
        print(f"error: mode: there is no mode {mode}; one of {', '.join(sorted({*COMMANDS} - {'post'}))}")
        sys.exit(ExitStatus.USAGE)
    try:
        tests = shlex.split(inputs.get("run", "")) if mode == "run" else []
    except ValueError as error:
        print(f"error: run: {error}")
        sys.exit(ExitStatus.USAGE)
    # `fastci record` tells later steps of the proxy only where that was asked for.
    export = ["--export"] if mode == "recording" and inputs.get("export-env", "").lower() == "true" else []
    main([*COMMANDS[mode], *export, *tests])


if __name__ == "__main__":
    start(sys.argv[1:])

"""The action's program: its inputs become variables, its mode becomes a command. `post` is the cleanup."""

import os
import shlex
import sys
from typing import NoReturn

from fastci.cli import main
from fastci.config import VARIABLES
from fastci.errors import ConfigurationError, FatalError
from fastci.platforms import Level
from fastci.platforms.github import GitHub, read_inputs

COMMANDS = {
    "recording": ["record", "--quiet"],
    "stop": ["stop"],
    "testing": ["test"],
    "report": ["report"],
    "run": ["run", "--"],
}
POST = ["clean"]


def start(arguments: list[str]) -> NoReturn:
    inputs = read_inputs(os.environ)
    for name in [name for name in os.environ if name.startswith("INPUT_")]:
        # They are the action's own, and some are secret: the tests that it starts do not get them.
        del os.environ[name]
    for variable in VARIABLES.values():
        if variable.input in inputs:
            os.environ[variable.name] = inputs[variable.input]
    if arguments == ["post"]:
        clean_up()
    try:
        command = chosen(inputs)
    except ConfigurationError as error:
        tell(error)
        sys.exit(error.status)
    main(command, tell=tell)


def clean_up() -> NoReturn:
    """What cannot be removed is a warning: the job's outcome is that of its steps."""

    def warn(error: FatalError) -> None:
        # Wrong inputs were told by the step itself, and nothing was started.
        if not isinstance(error, ConfigurationError):
            tell(error, "warning")

    try:
        main(POST, tell=warn)
    except SystemExit:
        sys.exit(0)


def chosen(inputs: dict[str, str]) -> list[str]:
    """The command that the inputs ask for. Raises ConfigurationError with every fault at once."""
    mode = inputs.get("mode", "run")
    faults = []
    if mode not in COMMANDS:
        faults.append(f"mode={mode!r} is not allowed: one of {', '.join(sorted(COMMANDS))}")
    tests: list[str] = []
    if mode == "run":
        try:
            tests = shlex.split(inputs.get("run", ""))
        except ValueError as error:
            faults.append(f"run cannot be split into words: {error}")
        else:
            faults += [] if tests else ["run is empty: it is the command that runs the functional tests"]
    export = inputs.get("export-env", "false").lower()
    if export not in ("true", "false"):
        faults.append(f"export-env={export!r} is not allowed: true or false")
    if faults:
        raise ConfigurationError(faults)
    # `fastci record` tells later steps of the proxy only where that was asked for.
    return [*COMMANDS[mode], *tests, *(["--export"] if mode == "recording" and export == "true" else [])]


def tell(error: FatalError, level: Level = "error") -> None:
    """An error as an annotation: it is then on the page of the run, too, not only in the log."""
    head, *rest = error.lines()
    message = "\n".join([head.removeprefix("error: "), *rest])
    GitHub(os.environ, lambda line: print(line, flush=True)).annotate(level, message, title="FAST")


if __name__ == "__main__":
    start(sys.argv[1:])

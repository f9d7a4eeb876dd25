"""What a user may choose about a generated definition: the keys of `fast.yml`."""

import dataclasses
import difflib
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from fastci.config import VARIABLES, parse_settings
from fastci.errors import ConfigurationError, UsageError

FLOWS = {
    "run": "one step around the test command does everything",
    "steps": "recording, the tests and testing are steps of one job",
    "jobs": "recording and testing are two jobs; the record travels as an artifact",
    "test": "only testing, with a record that is there already",
}
DECIDED = ("CI_MODE", "FAST_LISTEN", "FAST_STORE", "FAST_RECORD_ID", "FAST_RUN_ID")
"""Variables of a node that the steps around it decide themselves: neither an option nor an input."""
STYLES = ("declarative", "scripted")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a generated definition contains; the keys of `fast.yml`, plus every variable's input name.

    `settings` maps variable names to values; `start` returns when the target is about to answer.
    """

    flow: str = "run"
    style: str = "declarative"
    tests: str = ""
    prepare: str = ""
    start: str = ""
    stop: str = ""
    compose: str = ""
    target_image: str = ""
    target_port: int = 8000
    job_image: str = "python:3.13"
    branch: str = "main"
    ref: str = "v1"
    repository: str = "org/fast-action"
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def cloud(self) -> bool:
        """Whether the node is one that needs a token of the Wallarm cloud."""
        return "wallarm/fast" in self.settings.get("FAST_IMAGE", "")


def read_options(values: Mapping[str, Any]) -> Options:
    """Options from the keys of `fast.yml`. Raises ConfigurationError with every fault at once."""
    own = {item.name.replace("_", "-"): item for item in dataclasses.fields(Options)}
    del own["settings"]
    inputs = {variable.input: variable for variable in VARIABLES.values()}
    chosen: dict[str, Any] = {}
    settings: dict[str, str] = {}
    faults: list[str] = []
    for key, value in values.items():
        if key in own and isinstance(value, str | int) and not isinstance(value, bool):
            text = textwrap.dedent(str(value)).strip()
            chosen[own[key].name] = text
        elif key in inputs and isinstance(value, str | int):
            settings[inputs[key].name] = str(value).lower() if isinstance(value, bool) else str(value)
        elif key in own or key in inputs:
            faults.append(f"{key}: a single value is wanted, not {type(value).__name__}")
        else:
            near = difflib.get_close_matches(str(key), [*own, *inputs], n=1, cutoff=0.6)
            faults.append(f"{key}: there is no such key" + (f"; did you mean {near[0]}?" if near else ""))
    if not str(chosen.get("target_port", "1")).isdecimal():
        faults.append(f"target-port: {chosen['target_port']!r} is not a port")
    else:
        chosen["target_port"] = int(chosen.get("target_port", Options.target_port))
    options = Options(**chosen, settings=settings)
    faults += _option_faults(options)
    if faults:
        raise ConfigurationError(faults)
    return options


def load_options(path: Path) -> Options:
    """Options from a YAML file. Raises UsageError for the file, ConfigurationError for its content."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read", why=str(error)) from error
    if not isinstance(values, dict):
        raise UsageError(
            f"{path} holds no options", hint="write one `key: value` per line, for example `tests: npm test`"
        )
    return read_options(values)


def _option_faults(options: Options) -> list[str]:
    faults = []
    for key, value, allowed in (
        ("flow", options.flow, FLOWS),
        ("style", options.style, STYLES),
    ):
        if value not in allowed:
            faults.append(f"{key}: {value!r} is not one of {', '.join(allowed)}")
    if not options.tests and options.flow != "test":
        faults.append("tests: the command that runs the functional tests is missing")
    if sum(map(bool, (options.start, options.compose, options.target_image))) > 1:
        faults.append("start, compose and target-image exclude each other: one of them starts the target")
    for name in options.settings:
        if VARIABLES[name].secret:
            faults.append(f"{VARIABLES[name].input}: is a secret; keep it in the secret store of the CI")
    for name in sorted(set(DECIDED) & set(options.settings)):
        faults.append(f"{VARIABLES[name].input}: is decided by the steps themselves")
    if "FAST_WORKSPACE" in options.settings:
        faults.append("workspace: generated definitions keep their files in .fast")
    try:
        parse_settings(options.settings)
    except ConfigurationError as error:
        faults += error.faults
    return faults

"""What a user may choose about a generated definition: the keys of `fast.yml`."""

import dataclasses
import difflib
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from fastci.config import VARIABLES, parse_settings
from fastci.errors import ConfigurationError, UsageError
from fastci.generator.templates import block_yaml, quote_yaml

FLOWS = {
    "run": "one step around the test command does everything",
    "steps": "recording, the tests and testing are steps of one job",
    "jobs": "recording and testing are two jobs; the record travels as an artifact",
    "test": "only testing, with a record that is there already",
}
DECIDED = ("CI_MODE", "FAST_LISTEN", "FAST_STORE", "FAST_SCRATCH", "FAST_RECORD_ID", "FAST_RUN_ID")
"""Variables of a node that the steps around it decide themselves: neither an option nor an input."""
STYLES = ("declarative", "scripted")
NODES = {
    "job": "fastci in the job carries the node, over a Docker Engine or as a process",
    "service": "the node is a service of the recording job and the image of the testing one",
}
ENGINES = {
    "auto": "the one that the runner offers, if any",
    "dind": "GitLab: docker:dind as a service of each job",
}
NODE_PORT = 8080
MOST_SHARDS = 100


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
    node: str = "job"
    engine: str = "auto"
    shards: int = 1
    branch: str = "main"
    ref: str = "v1"
    repository: str = "org/fast-action"
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def node_image(self) -> str:
        """The image of the node, where a definition must name one."""
        return self.settings.get("FAST_IMAGE", "") or f"ghcr.io/{self.repository}:{self.ref}"

    @property
    def node_port(self) -> int:
        """Where a node listens that shares localhost with the target, as services do on several platforms."""
        return NODE_PORT + 1 if self.target_image and self.target_port == NODE_PORT else NODE_PORT

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
    for name, most, what in (("target_port", 65535, "a port"), ("shards", MOST_SHARDS, "a number of shards")):
        text = chosen.pop(name, str(getattr(Options, name)))
        if re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= most:
            chosen[name] = int(text)
        else:
            faults.append(f"{name.replace('_', '-')}: {text!r} is not {what}; 1 to {most}")
    if "flow" not in chosen and (chosen.get("shards", 1) > 1 or chosen.get("node") == "service"):
        # The only flow with an own recording in which that can be.
        chosen["flow"] = "jobs"
    options = Options(**chosen, settings=settings)
    faults += _option_faults(options)
    if faults:
        raise ConfigurationError(faults)
    return options


OWN_KEYS = {
    "tests": "Command that runs the functional tests; a shell reads it.",
    "flow": "; ".join(f"{name}: {about}" for name, about in FLOWS.items()),
    "style": "Jenkins: declarative or scripted.",
    "prepare": "What must be done before, for example installing the tools of the tests.",
    "start": "Command that starts the target and returns when it is about to answer.",
    "stop": "Command that ends the target.",
    "compose": "Compose file that starts the target, in place of start and stop.",
    "target-image": "Image of the target, which becomes a service of the job.",
    "target-port": "Port on which that image listens.",
    "job-image": "Image of the jobs, where a platform runs them in images.",
    "node": "; ".join(f"{name}: {about}" for name, about in NODES.items()),
    "engine": "; ".join(f"{name}: {about}" for name, about in ENGINES.items()),
    "shards": "Testing jobs that share one record.",
    "branch": "Branch whose pushes start the workflow.",
    "ref": "Release of fast-action.",
    "repository": "Where fast-action comes from.",
}
"""The keys of `fast.yml` that are no variables, with what they mean."""


def render_options(values: Mapping[str, Any], *, platform: str, path: str) -> str:
    """`fast.yml` with these keys, for the definition of a platform at this path."""
    lines = [
        f"# What {path} is made of: fastci generate {platform} -o {path}",
        "# Every key: https://github.com/org/fast-action/blob/main/docs/platforms.md#generated-definitions",
    ]
    for key, value in values.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(
            f"{key}: {block_yaml(text, 2)}".rstrip("\n") if "\n" in text else f"{key}: {quote_yaml(text)}"
        )
    return "\n".join(lines) + "\n"


def load_values(path: Path) -> dict[str, Any]:
    """The keys of a YAML file. Raises UsageError when it holds none."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read", why=str(error)) from error
    if not isinstance(values, dict):
        raise UsageError(
            f"{path} holds no options", hint="write one `key: value` per line, for example `tests: npm test`"
        )
    return values


def load_options(path: Path) -> Options:
    """Options from a YAML file. Raises UsageError for the file, ConfigurationError for its content."""
    return read_options(load_values(path))


def _option_faults(options: Options) -> list[str]:
    faults = []
    for key, value, allowed in (
        ("flow", options.flow, FLOWS),
        ("style", options.style, STYLES),
        ("node", options.node, NODES),
        ("engine", options.engine, ENGINES),
    ):
        if value not in allowed:
            faults.append(f"{key}: {value!r} is not one of {', '.join(allowed)}")
    if not options.tests and options.flow != "test":
        faults.append("tests: the command that runs the functional tests is missing")
    if sum(map(bool, (options.start, options.compose, options.target_image))) > 1:
        faults.append("start, compose and target-image exclude each other: one of them starts the target")
    if options.shards > 1 and options.flow not in ("jobs", "test"):
        faults.append("shards: one record is split over testing jobs, which needs flow: jobs, or flow: test")
    if options.node == "service":
        faults += _service_faults(options)
    if options.engine == "dind":
        faults += _dind_faults(options)
    for name in options.settings:
        if VARIABLES[name].secret:
            faults.append(f"{VARIABLES[name].input}: is a secret; keep it in the secret store of the CI")
    for name in sorted(set(DECIDED) & set(options.settings)):
        faults.append(f"{VARIABLES[name].input}: is decided by the steps themselves")
    if "FAST_SHARD" in options.settings:
        faults.append("shard: is decided by the steps themselves; shards: says how many there are")
    if "FAST_WORKSPACE" in options.settings:
        faults.append("workspace: generated definitions keep their files in .fast")
    try:
        parse_settings(options.settings)
    except ConfigurationError as error:
        faults += error.faults
    return faults


def _service_faults(options: Options) -> list[str]:
    faults = []
    if options.flow not in ("jobs", "test"):
        faults.append("node: service needs flow: jobs, or flow: test: one node records, another one tests")
    if options.start or options.compose:
        faults.append(
            "node: service needs a target that is a service too (target-image), or that runs already: the "
            "job that tests has the image of the node, in which start and compose find no tools"
        )
    if options.cloud:
        faults.append("node: service needs this project's node: wallarm/fast keeps its records in its cloud")
    return faults


def _dind_faults(options: Options) -> list[str]:
    faults = []
    if options.node == "service":
        faults.append("engine: dind and node: service exclude each other: the latter needs no engine")
    if options.target_image:
        faults.append(
            "engine: dind sees no services of the job, so target-image cannot be the target; leave engine "
            "out: the node is then a process beside it"
        )
    host = urlsplit(options.settings.get("TARGET_URI", "")).hostname
    if host in ("localhost", "127.0.0.1", "::1"):
        faults.append(
            f"target-uri: with engine: dind what is published is at http://docker:PORT, not at {host}"
        )
    return faults

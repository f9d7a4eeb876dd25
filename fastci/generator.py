"""Job definitions for each CI, and every file of this repository that is made from the table of variables.

Templates use delimiters that no CI language knows (`@{ }@`, `@% %@`, `@# #@`), so `${{ }}`, `$[[ ]]` and
`<< >>` pass through untouched.
"""

import dataclasses
import difflib
import json
import re
import shlex
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2
import yaml

from fastci.config import VARIABLES, Variable, parse_settings, render_variables
from fastci.errors import ConfigurationError, TechnicalError, UsageError

PLATFORMS = {
    "github": ".github/workflows/fast.yml",
    "gitlab": ".gitlab-ci.yml",
    "jenkins": "Jenkinsfile",
    "circleci": ".circleci/config.yml",
    "azure": "azure-pipelines.yml",
    "bitbucket": "bitbucket-pipelines.yml",
    "bamboo": "bamboo-specs/fast.yml",
}
"""Each platform with the file where it looks for the definition."""

FLOWS = {
    "run": "one step around the test command does everything",
    "steps": "recording, the tests and testing are steps of one job",
    "jobs": "recording and testing are two jobs; the record travels as an artifact",
    "test": "only testing, with a record that is there already",
}
FLOWS_OF = {
    "jenkins": ("run", "steps", "test"),
    **dict.fromkeys(("circleci", "azure", "bitbucket", "bamboo"), ("run", "jobs", "test")),
}
"""The flows of the platforms that do not have all."""
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
    if "CI_MODE" in options.settings:
        faults.append("ci-mode: is set by the steps themselves")
    try:
        parse_settings(options.settings)
    except ConfigurationError as error:
        faults += error.faults
    return faults


# what the jobs do


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The shell lines of a job, the same on every platform that has no action or library of ours.

    Each is a script for `sh -e`, run in the workspace; empty where the options do not ask for it.
    """

    install: str
    prepare: str
    start: str
    stop: str
    run: str
    record: str
    tests: str
    end: str
    test: str
    clean: str


def plan(options: Options) -> Plan:
    """The steps of a job as shell lines."""
    compose = f"docker compose --file {shlex.quote(options.compose)}" if options.compose else ""
    return Plan(
        install=INSTALL,
        prepare=options.prepare,
        start=options.start or (f"{compose} up --detach --wait" if compose else ""),
        stop=options.stop or (f"{compose} down --volumes" if compose else ""),
        run=f"fastci run -- {as_command(options.tests)}",
        record="fastci record",
        tests=f". .fast/proxy.sh\n{options.tests}",
        end="fastci stop",
        test="fastci test",
        clean="fastci clean",
    )


@dataclass(frozen=True, kw_only=True)
class Step:
    """One script of a job; `ours` when it calls fastci or installs it."""

    name: str
    script: str
    ours: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the platforms without an integration of their own are told it.

    `takes` and `keeps` say that the record comes from, or goes to, another job; `always` runs last, whatever
    happened.
    """

    id: str
    name: str
    steps: list[Step]
    always: list[Step]
    needs: str = ""
    takes: bool = False
    keeps: bool = False
    reports: bool = False


def jobs(options: Options) -> list[Job]:
    """The jobs of a definition, each step a script of its own shell."""
    p = plan(options)

    def ours(name: str, script: str) -> Step:
        return Step(name=name, script=f"{PATH}\n{script}", ours=True)

    before = [
        Step(name="Install fastci", script=p.install, ours=True),
        Step(name="Prepare", script=p.prepare),
        Step(name="Start the target", script=p.start),
    ]
    before = [step for step in before if step.script]
    always = [ours("Clean", p.clean), *([Step(name="Stop the target", script=p.stop)] if p.stop else [])]
    test = ours("Test the target", p.test)
    if options.flow == "run":
        run = ours("Record the functional tests and test the target", p.run)
        return [Job(id="fast", name="FAST", steps=[*before, run], always=always, reports=True)]
    if options.flow == "test":
        return [Job(id="fast", name="FAST", steps=[*before, test], always=always, reports=True)]
    record = [
        ours("Start recording", p.record),
        Step(name="Run the functional tests", script=p.tests),
        ours("Stop recording", p.end),
    ]
    return [
        Job(id="fast-record", name="FAST recording", steps=[*before, *record], always=always, keeps=True),
        Job(
            id="fast-test", name="FAST testing", steps=[*before, test], always=always,
            needs="fast-record", takes=True, reports=True,
        ),
    ]  # fmt: skip


def environment(platform: str, options: Options) -> dict[str, str]:
    """The variables that the steps of ours need, for platforms where a job sets them by name."""
    found = {"FASTCI_PACKAGE": PACKAGE.format(options.repository, options.ref), **options.settings}
    if options.target_image and "TARGET_URI" not in found:
        # Only GitLab gives a service a name of its own; elsewhere it listens on the job's localhost.
        host = "app" if platform == "gitlab" else "127.0.0.1"
        found["TARGET_URI"] = f"http://{host}:{options.target_port}"
    return found


PACKAGE = "fast-action @ https://github.com/{}/archive/refs/tags/{}.tar.gz"
PATH = 'export PATH="$PATH:$PWD/.fast/venv/bin"'
INSTALL = f"""\
command -v fastci >/dev/null || {{
  python3 -m venv .fast/venv
  .fast/venv/bin/pip install --quiet --disable-pip-version-check "$FASTCI_PACKAGE"
}}
{PATH}"""


def as_command(script: str) -> str:
    """The words of a script for a place where no shell reads it, itself quoted for a shell.

    A plain command stays as it is; what needs a shell becomes `sh -ec '...'`.
    """
    words = script.split(" ")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./ -]+", script) and "=" not in words[0]:
        return script
    return f"sh -ec {shlex.quote(script)}"


def generate(platform: str, options: Options) -> str:
    """The whole definition for one platform. Raises UsageError for what there is not."""
    if platform not in PLATFORMS:
        near = difflib.get_close_matches(platform, PLATFORMS, n=1)
        raise UsageError(
            f"there is no platform {platform!r}" + (f"; did you mean {near[0]}?" if near else ""),
            hint=f"one of {', '.join(PLATFORMS)}",
        )
    if options.flow not in FLOWS_OF.get(platform, FLOWS):
        raise UsageError(
            f"flow: {options.flow} is not made for {platform}",
            hint=f"one of {', '.join(FLOWS_OF[platform])}",
        )
    name = options.style if platform == "jenkins" else "pipeline"
    return _render(
        f"{platform}/{name}.j2",
        o=options, p=plan(options), jobs=jobs(options), environment=environment(platform, options),
    )  # fmt: skip


def check(platform: str, options: Options, committed: str) -> list[str]:
    """A unified diff from what is committed to what would be generated; empty when it is current."""
    wanted = generate(platform, options)
    return list(
        difflib.unified_diff(
            committed.splitlines(), wanted.splitlines(), PLATFORMS[platform], "generated", lineterm=""
        )
    )


# rendering


def _templates() -> Path:
    """The folder of the templates: beside the package in a checkout, inside it when it was installed."""
    package = Path(__file__).parent
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "github").is_dir():
            return folder
    raise TechnicalError("the templates of the job definitions are missing", hint="install fast-action again")


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        variable_start_string="@{", variable_end_string="}@",
        block_start_string="@%", block_end_string="%@",
        comment_start_string="@#", comment_end_string="#@",
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    environment.filters.update(
        yaml=quote_yaml, block=block_yaml, sh=shlex.quote, groovy=quote_groovy, command=as_command
    )
    environment.globals.update(
        PATH=PATH,
        USES=ACTIONS,
        variable=VARIABLES.__getitem__,
        keys=jenkins_keys,
    )
    return environment


def _render(template: str, **context: Any) -> str:
    text = _environment(_templates()).get_template(template).render(**context)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.splitlines())) + "\n"


ACTIONS = {
    "checkout": "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0",
    "upload": "actions/upload-artifact@330a01c490aca151604b8cf639adc76d48f6c5d4 # v5.0.0",
    "download": "actions/download-artifact@018cc2cf5baa6db3ef3c5f8a56943fffe632ef53 # v6.0.0",
}
"""Actions that generated workflows use, pinned by commit."""


def quote_yaml(value: object) -> str:
    """A scalar of YAML on one line that reads back as this very text."""
    text = str(value)
    return text if _is_plain(text) else json.dumps(text, ensure_ascii=False)


def block_yaml(script: str, indent: int) -> str:
    """A script as a scalar of YAML: on one line where it is plain, else as a literal block."""
    if _is_plain(script):
        return script
    return "|\n" + textwrap.indent(script, " " * indent)


def _is_plain(text: str) -> bool:
    # Narrower than YAML: what no reader of any version takes for a number, a switch, a comment or a mapping.
    word = r"(?:[A-Za-z0-9_./@$%+=~-]|:(?=[^\s:]))+"
    return bool(re.fullmatch(rf"(?=[A-Za-z/]|\.[A-Za-z/]){word}(?: {word})*", text)) and text.lower() not in (
        "true", "false", "yes", "no", "on", "off", "null", "y", "n", ".inf", ".nan",
    )  # fmt: skip


def quote_groovy(value: object) -> str:
    """A string literal of Groovy in which nothing is interpolated; several lines get the triple quotes."""
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'''\\\n{text}\n'''" if "\n" in text else f"'{text}'"


# files of this repository that are made from the table


def settable() -> list[Variable]:
    """The variables a user sets from outside; `CI_MODE` is what the steps themselves decide."""
    return [variable for variable in VARIABLES.values() if variable.name != "CI_MODE"]


def describe(variable: Variable) -> str:
    """A variable in one line of prose, for a description field."""
    default = variable.shown_default
    if not default and variable.default not in ("", (), 0, False):
        default = f"`{str(variable.default).lower()}`"
    allowed = "" if variable.kind.allowed == "any text" else f"; {variable.kind.allowed}"
    text = variable.help[0].upper() + variable.help[1:] + allowed
    return f"{text}. Default: {default}." if default else f"{text}."


def jenkins_keys(options: Options) -> str:
    """The settings as named arguments of a Jenkins step."""
    given = {VARIABLES[name].key: value for name, value in options.settings.items()}
    if options.target_image and "TARGET_URI" not in options.settings:
        given["targetUri"] = f"http://127.0.0.1:{options.target_port}"
    if options.cloud:
        given["credentialsId"] = "wallarm-api-token"
    return ", ".join(f"{key}: {quote_groovy(value)}" for key, value in given.items())


MODES = {
    "run": "records the tests of the `run` command, then tests the target",
    "recording": "starts the recorder; later steps send their requests through `proxy-url`",
    "testing": "stops the recorder, tests the target, decides",
    "stop": "stops the recorder and keeps its record",
    "report": "writes the reports of the last test run again",
}
OUTPUTS = {
    "proxy-url": "Address of the recording proxy, for `HTTP_PROXY` and `HTTPS_PROXY`; mode recording",
    "ca-file": "PEM file of the authority that signs intercepted hosts; mode recording",
    "test-record": "Id of the test record",
    "vulnerabilities": "How many vulnerabilities were proven; modes run, testing and report",
    "verdict": "State of the test run: passed, failed or interrupted; modes run, testing and report",
    "report-dir": "Folder of the reports; modes run, testing and report",
}


def render_action() -> str:
    """action.yml."""
    return _render("github/action.j2", variables=settable(), describe=describe, modes=MODES, outputs=OUTPUTS)


def render_component() -> str:
    """templates/fast.yml, the CI/CD component of GitLab."""
    given = [variable for variable in settable() if not variable.secret]
    return _render(
        "gitlab/component.j2",
        o=Options(),
        p=plan(Options()),
        package=PACKAGE.format(Options.repository, Options.ref),
        variables=given,
        describe=describe,
    )


FORMER = {
    "policyId": "TEST_RUN_POLICY_ID",
    "stopOnFirstFail": "TEST_RUN_STOP_ON_FIRST_FAIL",
    "exclude": "FILE_EXTENSIONS_TO_EXCLUDE",
    "fastPort": "FAST_PORT",
    "localDockerNetwork": "FAST_NETWORK",
}
"""Fields of the Jenkins plugin for wallarm/fast that have another name here."""
STEPS = {
    "fastPipeline": (
        "Records the functional tests in its body, then tests the target: the whole road in one step.",
        ("failBuild",),
    ),
    "fastRecording": (
        "Records the requests of the functional tests in its body, which runs with the proxy settings.", ()
    ),
    "fastTesting": (
        "Tests the target with the record and keeps the reports; a proven vulnerability fails the build.",
        ("failBuild",),
    ),
}  # fmt: skip
STEP_KEYS = {
    "credentialsId": "Secret text that holds WALLARM_API_TOKEN; only for `wallarm/fast`.",
    "failBuild": "false: vulnerabilities make the build unstable, they do not fail it. Default: true.",
    "tool": "What pip installs fastci from, on an agent that does not have it in its workspace.",
}


def render_keys() -> str:
    """vars/fastSettings.groovy: the keys of the Jenkins steps and their variables."""
    given = [variable for variable in settable() if not variable.secret]
    return _render("jenkins/settings.j2", variables=given, former=FORMER)


def render_help(step: str) -> str:
    """The .txt beside a Jenkins step, which Jenkins shows as its help."""
    head, own = STEPS[step]
    given = [variable for variable in settable() if not variable.secret]
    keys = {key: text for key, text in STEP_KEYS.items() if key != "failBuild" or key in own}
    return _render("jenkins/keys.j2", head=head, own=keys, variables=given, describe=describe)


ARTEFACTS: dict[str, Callable[[], str]] = {
    "docs/variables.md": render_variables,
    "action.yml": render_action,
    "templates/fast.yml": render_component,
    "vars/fastSettings.groovy": render_keys,
    **{f"vars/{step}.txt": partial(render_help, step) for step in STEPS},
}
"""Every generated file of this repository: its path and what renders it."""


def stale_artefacts(root: Path) -> list[str]:
    """Paths of the generated files that differ from what they are made of, or are missing."""
    paths = {path: root / path for path in ARTEFACTS}
    return [
        path for path, file in paths.items() if not file.is_file() or file.read_text() != ARTEFACTS[path]()
    ]


def write_artefacts(root: Path) -> list[str]:
    """Bring every generated file below `root` up to date; returns the paths that were written."""
    stale = stale_artefacts(root)
    for path in stale:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(ARTEFACTS[path]())
    return stale

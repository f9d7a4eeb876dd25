"""Every file of this repository that is made from the table of variables, and bringing them up to date."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from fastci.config import VARIABLES, Mode, Side, Variable, render_variables
from fastci.generator.definitions import generate
from fastci.generator.jobs import PACKAGE, PATH, plan, service_script
from fastci.generator.options import DECIDED, Options, load_options
from fastci.generator.templates import render, templates_folder
from fastci.results import schema


def settable() -> list[Variable]:
    """The variables that a user sets from outside."""
    return [variable for variable in VARIABLES.values() if variable.name not in DECIDED]


def describe(variable: Variable) -> str:
    """A variable in one line of prose, for a description field."""
    default = variable.shown_default
    if not default and variable.default not in ("", (), 0, False):
        default = f"`{str(variable.default).lower()}`"
    allowed = "" if variable.kind.allowed == "any text" else f"; {variable.kind.allowed}"
    text = variable.help[0].upper() + variable.help[1:] + allowed
    return f"{text}. Default: {default}." if default else f"{text}."


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
    "rule": "The rule of the gate that failed the job, as FAST_FAIL_ON; empty where all hold",
    "vulnerabilities": "How many vulnerabilities were proven; modes run, testing and report",
    "new-vulnerabilities": "How many of them the results in `compare-with` lack; all without one",
    "verdict": "State of the test run: passed, failed or interrupted; modes run, testing and report",
    "report-dir": "Folder of the reports; modes run, testing and report",
    "sarif-file": "Path of the SARIF report, for code scanning; modes run, testing and report",
    "junit-file": "Path of the JUnit report; modes run, testing and report",
    "html-file": "Path of the HTML report; modes run, testing and report",
}
DEFAULTS = {"github-token": "${{ github.token }}"}
"""Inputs of the action that the runner fills."""


def render_action() -> str:
    """action.yml."""
    return render(
        "github/action.j2",
        variables=settable(),
        describe=describe,
        modes=MODES,
        outputs=OUTPUTS,
        defaults=DEFAULTS,
    )


def render_component() -> str:
    """templates/fast.yml, the CI/CD component of GitLab."""
    given = [variable for variable in settable() if not variable.secret]
    return render(
        "gitlab/component.j2",
        o=Options(),
        p=plan(Options()),
        PATH=PATH,
        package=PACKAGE.format(Options.repository, Options.ref),
        variables=given,
        describe=describe,
    )


_BY_SERVICE = ("FAST_RUNTIME", "FAST_IMAGE", "FAST_BASE_IMAGE", "FAST_NETWORK", "FAST_PORT", "TARGET_URI",
               "FAST_HAND_OUT", "FAST_WORKSPACE", "FAST_SHARD", "BUILD_ID")  # fmt: skip
"""Variables that a node which is a service has no use for, or that its jobs decide."""


def render_service_component() -> str:
    """templates/fast-service.yml, the component whose node is a service: no engine, nothing to install."""
    options = Options(tests='sh -ec "$FASTCI_TESTS"')
    given = [v for v in settable() if not v.secret and v.name not in _BY_SERVICE]
    return render(
        "gitlab/component-service.j2",
        o=options,
        p=plan(options),
        variables=given,
        recording=[v.name for v in given if Mode.RECORDING in v.modes and v.side is not Side.CI],
        describe=describe,
        record_script=service_script("gitlab", options),
    )


FORMER = {
    "policyId": "TEST_RUN_POLICY_ID",
    "stopOnFirstFail": "TEST_RUN_STOP_ON_FIRST_FAIL",
    "exclude": "FILE_EXTENSIONS_TO_EXCLUDE",
    "fastPort": "FAST_PORT",
    "localDockerNetwork": "FAST_NETWORK",
}
"""Fields of the Jenkins plugin for wallarm/fast that have another name here."""
NEEDLESS = ("fastName", "withoutSudo", "localDockerIp", "record")
"""Its fields that have nothing to say here; what `record` chose is chosen by the step."""
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
        ("failBuild", "merge"),
    ),
}  # fmt: skip
STEP_KEYS = {
    "credentialsId": "Secret text that holds WALLARM_API_TOKEN; only for `wallarm/fast`.",
    "failBuild": "false: vulnerabilities make the build unstable, they do not fail it. Default: true.",
    "merge": "true: does not test, but puts the results of shards in `.fast/runs` together and decides.",
    "tool": "What pip installs fastci from, on an agent that does not have it in its workspace.",
}


def render_keys() -> str:
    """vars/fastSettings.groovy: the keys of the Jenkins steps and their variables."""
    given = [variable for variable in settable() if not variable.secret]
    return render("jenkins/settings.j2", variables=given, former=FORMER, needless=NEEDLESS)


def render_help(step: str) -> str:
    """The .txt beside a Jenkins step, which Jenkins shows as its help."""
    head, own = STEPS[step]
    given = [variable for variable in settable() if not variable.secret]
    keys = {key: text for key, text in STEP_KEYS.items() if key not in ("failBuild", "merge") or key in own}
    return render("jenkins/keys.j2", head=head, own=keys, variables=given, describe=describe)


def render_example(platform: str, **chosen: object) -> str:
    """The definition of one platform for the example shop."""
    return generate(platform, dataclasses.replace(_example(), **chosen))  # type: ignore[arg-type]


def render_component_example() -> str:
    """.gitlab-ci.example.yml: the component, used for the example shop."""
    options = _example()
    return render("gitlab/example.j2", o=options, p=plan(options), variable=VARIABLES.__getitem__)


def _example() -> Options:
    return load_options(templates_folder() / "example.yml")


def render_results_schema() -> str:
    """docs/results.schema.json: what a results file holds."""
    return json.dumps(schema(), indent=1) + "\n"


ARTEFACTS: dict[str, Callable[[], str]] = {
    "docs/variables.md": render_variables,
    "docs/results.schema.json": render_results_schema,
    "action.yml": render_action,
    "templates/fast.yml": render_component,
    "templates/fast-service.yml": render_service_component,
    "vars/fastSettings.groovy": render_keys,
    **{f"vars/{step}.txt": partial(render_help, step) for step in STEPS},
    ".gitlab-ci.example.yml": render_component_example,
    "examples/github/fast.yml": partial(render_example, "github"),
    "examples/github/fast-steps.yml": partial(render_example, "github", flow="steps"),
    "examples/github/fast-jobs.yml": partial(render_example, "github", flow="jobs"),
    "examples/gitlab/fast.yml": partial(render_example, "gitlab"),
    "examples/gitlab/fast-service.yml": partial(
        render_example,
        "gitlab",
        flow="jobs",
        node="service",
        start="",
        stop="",
        tests="env SHOP_URL=http://app:5000 venv/bin/python -m pytest --quiet examples/shop/tests",
        target_image="shop:latest",
        target_port=5000,
        settings={"TEST_RUN_POLICY_ID": "examples/shop/fast-policy.yml"},
    ),
    "examples/gitlab/fast-jobs.yml": partial(render_example, "gitlab", flow="jobs"),
    "examples/jenkins/Jenkinsfile": partial(render_example, "jenkins"),
    "examples/jenkins/Jenkinsfile.scripted": partial(
        render_example, "jenkins", style="scripted", flow="steps"
    ),
}
"""Every generated file of this repository: its path and what renders it."""


def stale_artefacts(root: Path, made: Mapping[str, Callable[[], str]] = ARTEFACTS) -> list[str]:
    """Paths of the generated files that differ from what they are made of, or are missing."""
    return [
        path
        for path, render_file in made.items()
        if not (root / path).is_file() or (root / path).read_text() != render_file()
    ]


def write_artefacts(root: Path, made: Mapping[str, Callable[[], str]] = ARTEFACTS) -> list[str]:
    """Bring every generated file below `root` up to date; returns the paths that were written."""
    stale = stale_artefacts(root, made)
    for path in stale:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(made[path]())
    return stale

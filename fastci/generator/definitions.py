"""The definition for one platform, and whether a committed one is current."""

import difflib
from pathlib import Path

from fastci.config import VARIABLES
from fastci.errors import UsageError
from fastci.generator.jobs import (
    PATH,
    SHARD_GATE,
    environment,
    jenkins_keys,
    jobs,
    plan,
    recorder_environment,
    service_script,
    workflow_settings,
)
from fastci.generator.options import FLOWS, Options
from fastci.generator.templates import render

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

_BESIDE = {
    "github": (".github/workflows/fast-action.yml", "GitHub runs every file of that folder"),
    "gitlab": (".gitlab/fast.yml", "put it into yours: `include: [{local: .gitlab/fast.yml}]`"),
    "jenkins": ("Jenkinsfile.fast", "make a pipeline job of it, or take its stages over into yours"),
    "circleci": (".circleci/fast.yml", "take its jobs and the workflow over into yours"),
    "azure": ("azure-pipelines.fast.yml", "make a pipeline of it, or take its jobs over into yours"),
    "bitbucket": ("bitbucket-pipelines.fast.yml", "take its steps over into yours"),
    "bamboo": ("bamboo-specs/fast-action.yml", "Bamboo reads every file of that folder"),
}

FLOWS_OF = {
    **dict.fromkeys(("circleci", "azure", "bitbucket", "bamboo"), ("run", "jobs", "test")),
}
"""The flows of the platforms that do not have all."""
NO_SERVICES = {
    "azure": "its services need a Docker Engine on the agent, with which fastci in the job runs the node as "
    "it is; and no job can have the node's image, as the agent adds a user in it",
    "jenkins": "it has no services",
    "bamboo": "it has no services",
}
"""Platforms on which the node cannot be a service of the job, and why."""
ACTIONS = {
    "checkout": "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0",
    "upload": "actions/upload-artifact@330a01c490aca151604b8cf639adc76d48f6c5d4 # v5.0.0",
    "download": "actions/download-artifact@018cc2cf5baa6db3ef3c5f8a56943fffe632ef53 # v6.0.0",
}
"""Actions that generated workflows use, pinned by commit."""


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
    if options.node == "service" and platform in NO_SERVICES:
        others = ", ".join(name for name in PLATFORMS if name not in NO_SERVICES)
        raise UsageError(
            f"node: service is not made for {platform}",
            why=NO_SERVICES[platform],
            hint=f"only for {others}; elsewhere FAST_RUNTIME=process needs no engine either",
        )
    if options.engine == "dind" and platform != "gitlab":
        raise UsageError(
            f"engine: dind is not made for {platform}", hint="only for gitlab; leave engine out elsewhere"
        )
    name = {"jenkins": options.style, "gitlab": options.node}.get(platform, "pipeline")
    if platform == "github" and options.node == "service":
        name = "service"
    return render(
        f"{platform}/{name}.j2",
        o=options,
        p=plan(options),
        jobs=jobs(platform, options),
        environment=environment(platform, options),
        keys=jenkins_keys(options),
        settings=workflow_settings(options),
        gate=SHARD_GATE,
        record_script=service_script(platform, options),
        recorder=recorder_environment(platform, options),
        variable=VARIABLES.__getitem__,
        PATH=PATH,
        USES=ACTIONS,
    )


def beside(platform: str) -> tuple[Path, str]:
    """Where the definition goes when the platform's file is there already, and what then is to be done."""
    path, told = _BESIDE[platform]
    return Path(path), f"{PLATFORMS[platform]} is there already and stays; {path}: {told}"


def check(platform: str, options: Options, committed: str) -> list[str]:
    """A unified diff from what is committed to what would be generated; empty when it is current."""
    wanted = generate(platform, options)
    return list(
        difflib.unified_diff(
            committed.splitlines(), wanted.splitlines(), PLATFORMS[platform], "generated", lineterm=""
        )
    )

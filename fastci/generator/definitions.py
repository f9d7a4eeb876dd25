"""The definition for one platform, and whether a committed one is current."""

import difflib

from fastci.config import VARIABLES
from fastci.errors import UsageError
from fastci.generator.jobs import PATH, environment, jenkins_keys, jobs, plan
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

FLOWS_OF = {
    "jenkins": ("run", "steps", "test"),
    **dict.fromkeys(("circleci", "azure", "bitbucket", "bamboo"), ("run", "jobs", "test")),
}
"""The flows of the platforms that do not have all."""
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
    name = options.style if platform == "jenkins" else "pipeline"
    return render(
        f"{platform}/{name}.j2",
        o=options,
        p=plan(options),
        jobs=jobs(options),
        environment=environment(platform, options),
        keys=jenkins_keys(options),
        variable=VARIABLES.__getitem__,
        PATH=PATH,
        USES=ACTIONS,
    )


def check(platform: str, options: Options, committed: str) -> list[str]:
    """A unified diff from what is committed to what would be generated; empty when it is current."""
    wanted = generate(platform, options)
    return list(
        difflib.unified_diff(
            committed.splitlines(), wanted.splitlines(), PLATFORMS[platform], "generated", lineterm=""
        )
    )

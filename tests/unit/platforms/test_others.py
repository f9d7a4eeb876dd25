"""CircleCI, Azure Pipelines, Bitbucket and Bamboo: detection, context, and what they do with messages."""

import re

import pytest

from fastci.platforms import detect_platform
from fastci.platforms.azure import Azure
from fastci.platforms.platform import shard_of

CIRCLECI = {
    "CIRCLECI": "true", "CIRCLE_PROJECT_USERNAME": "team", "CIRCLE_PROJECT_REPONAME": "shop",
    "CIRCLE_SHA1": "beef", "CIRCLE_BRANCH": "main", "CIRCLE_WORKFLOW_ID": "7c2a-11",
    "CIRCLE_WORKFLOW_JOB_ID": "ab", "CIRCLE_NODE_INDEX": "1", "CIRCLE_NODE_TOTAL": "4",
    "CIRCLE_BUILD_URL": "https://circleci.example.org/12",
}  # fmt: skip
AZURE = {
    "TF_BUILD": "True", "BUILD_REPOSITORY_NAME": "team/shop", "BUILD_SOURCEVERSION": "beef",
    "BUILD_SOURCEBRANCHNAME": "main", "BUILD_BUILDID": "812", "SYSTEM_JOBID": "ab",
    "SYSTEM_COLLECTIONURI": "https://azure.example.org/", "SYSTEM_TEAMPROJECT": "shop",
    "SYSTEM_JOBPOSITIONINPHASE": "2", "SYSTEM_TOTALJOBSINPHASE": "4",
}  # fmt: skip
BITBUCKET = {
    "BITBUCKET_BUILD_NUMBER": "12", "BITBUCKET_WORKSPACE": "team", "BITBUCKET_REPO_FULL_NAME": "team/shop",
    "BITBUCKET_REPO_SLUG": "shop", "BITBUCKET_COMMIT": "beef", "BITBUCKET_BRANCH": "main",
    "BITBUCKET_STEP_UUID": "{ab}", "BITBUCKET_GIT_HTTP_ORIGIN": "https://bitbucket.example.org/team/shop",
    "BITBUCKET_PARALLEL_STEP": "1", "BITBUCKET_PARALLEL_STEP_COUNT": "4",
}  # fmt: skip
BAMBOO = {
    "bamboo_buildResultKey": "TEAM-SHOP-FAST-12", "bamboo_planKey": "TEAM-SHOP", "bamboo_buildNumber": "12",
    "bamboo_planRepository_revision": "beef", "bamboo_planRepository_branchName": "main",
    "bamboo_planRepository_repositoryUrl": "ssh://git@git.example.org/team/shop.git",
    "bamboo_buildResultsUrl": "https://bamboo.example.org/12",
}  # fmt: skip
ALL = {"circleci": CIRCLECI, "azure": AZURE, "bitbucket": BITBUCKET, "bamboo": BAMBOO}


@pytest.mark.parametrize("name", ALL)
def test_job_of_a_ci_is_known_by_its_own_variables(name: str):
    platform = detect_platform(ALL[name], print)
    assert platform.name == name
    context = platform.context()
    assert (context.repository, context.sha, context.branch) == ("team/shop", "beef", "main")
    assert context.url.startswith("https://")
    assert context.job
    assert context.job_file
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", context.build_id)
    assert context.shard == ("2/4" if name != "bamboo" else "")


@pytest.mark.parametrize("name", ALL)
def test_job_of_a_ci_that_tells_nothing_else_has_an_empty_context(name: str):
    told = {"circleci": "CIRCLECI", "azure": "TF_BUILD", "bamboo": "bamboo_buildResultKey"}
    bare = {key: ALL[name][key] for key in ALL[name] if key in told.values()}
    if name == "bitbucket":
        bare = {"BITBUCKET_BUILD_NUMBER": "1", "BITBUCKET_WORKSPACE": "team"}
    platform = detect_platform(bare, print)
    assert platform.name == name
    assert platform.context().shard == ""
    assert platform.context().repository == ""


@pytest.mark.parametrize(
    ("index", "total", "first", "shard"),
    [("1", "3", 1, "1/3"), ("0", "3", 0, "1/3"), ("2", "3", 0, "3/3"), ("3", "3", 0, ""), ("0", "3", 1, ""),
     ("", "3", 1, ""), ("1", "", 1, ""), ("x", "3", 1, ""), ("1", "0", 1, "")],
)  # fmt: skip
def test_shard_of_an_index_counts_from_one(index: str, total: str, first: int, shard: str):
    assert shard_of(index, total, first=first) == shard


def test_azure_messages_are_commands_whose_separators_are_escaped():
    lines: list[str] = []
    azure = Azure(AZURE, lines.append)
    azure.annotate("error", "50% of\nthem", title="FAST", file="a;b.py", line=3)
    azure.annotate("notice", "well")
    azure.mask("one\n\ntwo")
    with azure.group("Testing"):
        azure.outputs({"report-dir": ".fast/reports"})
    assert lines == [
        "##vso[task.logissue type=error;sourcepath=a%3Bb.py;linenumber=3;]FAST: 50%AZP25 of%0Athem",
        "notice: well",
        "##vso[task.setsecret]one",
        "##vso[task.setsecret]two",
        "##[group]Testing",
        "##vso[task.setvariable variable=FASTCI_REPORT_DIR].fast/reports",
        "##[endgroup]",
    ]


def test_azure_summary_is_a_file_that_the_agent_is_told_of(tmp_path):
    lines: list[str] = []
    Azure({**AZURE, "AGENT_TEMPDIRECTORY": str(tmp_path)}, lines.append).summary("# Found\n")
    (file,) = tmp_path.iterdir()
    assert lines == [f"##vso[task.uploadsummary]{file}"]
    assert file.read_text() == "# Found\n"

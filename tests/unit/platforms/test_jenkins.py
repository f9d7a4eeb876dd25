"""Jenkins: detection and context."""

import re

import pytest

from fastci.platforms import detect_platform
from fastci.platforms.jenkins import Jenkins

BUILD = {
    "BUILD_TAG": "jenkins-shop-front%2Fmain-12",
    "BUILD_ID": "12",
    "BUILD_NUMBER": "12",
    "JOB_NAME": "shop/front%2Fmain",
    "BUILD_URL": "https://jenkins.example.org/job/shop/12/",
    "GIT_COMMIT": "beef",
    "GIT_BRANCH": "origin/main",
    "GIT_URL": "https://token@git.example.org/shop/front.git",
}


@pytest.mark.parametrize("environ", [{"JENKINS_URL": "https://x/"}, {"BUILD_TAG": "jenkins-job-1"}])
def test_platform_in_a_build_is_jenkins(environ: dict[str, str]):
    assert detect_platform(environ, print).name == "jenkins"


def test_platform_of_a_build_with_a_tag_of_others_is_not_jenkins():
    assert detect_platform({"BUILD_TAG": "v1"}, print).name == "local"


def test_context_of_a_build_names_job_and_build_in_a_build_id_that_is_allowed():
    context = Jenkins(BUILD, print).context()
    assert context.build_id == "jenkins-shop-front-2Fmain-12"
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", context.build_id)
    assert (context.sha, context.branch, context.url) == ("beef", "main", BUILD["BUILD_URL"])
    assert context.job_file == "Jenkinsfile"


def test_context_of_builds_with_a_long_name_keeps_the_number():
    tag = "jenkins-" + "x" * 200 + "-13"
    build_id = Jenkins({"BUILD_TAG": tag}, print).context().build_id
    assert len(build_id) == 128
    assert build_id.endswith("-13")


def test_context_of_a_change_request_names_its_branch():
    environ = {**BUILD, "BRANCH_NAME": "PR-4", "CHANGE_BRANCH": "topic"}
    assert Jenkins(environ, print).context().branch == "topic"


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://token@git.example.org/shop/front.git", "shop/front"),
        ("git@git.example.org:group/shop/front.git", "group/shop/front"),
        ("ssh://git@git.example.org:22/shop/front", "shop/front"),
        ("https://git.example.org/shop/front/", "shop/front"),
        ("", ""),
    ],
)
def test_context_takes_the_repository_from_any_form_of_clone_url(url: str, repository: str):
    assert Jenkins({**BUILD, "GIT_URL": url}, print).context().repository == repository

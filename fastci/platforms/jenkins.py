"""Jenkins: who the build is; its log knows neither folding nor annotations, so messages are plain lines.

They have the form that compilers use (`file:line: level: text`), which the Warnings plugin reads. Credentials
are masked by `withCredentials` around the step.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from fastci.platforms.local import Local
from fastci.platforms.platform import Context


class Jenkins(Local):
    """A build of Jenkins, on any kind of agent."""

    name = "jenkins"

    @staticmethod
    def detect(environ: Mapping[str, str]) -> bool:
        """JENKINS_URL is only there once an administrator has set it; BUILD_TAG always is."""
        return "JENKINS_URL" in environ or environ.get("BUILD_TAG", "").startswith("jenkins-")

    def context(self) -> Context:
        """`build_id` names job and build; Jenkins' own BUILD_ID is only the number, the same in every job."""
        get = self._environ.get
        tag = get("BUILD_TAG", "") or "-".join(filter(None, (get("JOB_NAME"), get("BUILD_NUMBER"))))
        return Context(
            repository=_repository(get("GIT_URL", "")),
            sha=get("GIT_COMMIT", ""),
            branch=get("CHANGE_BRANCH", "")
            or get("BRANCH_NAME", "")
            or get("GIT_BRANCH", "").removeprefix("origin/"),
            build_id=re.sub(r"[^A-Za-z0-9._-]+", "-", tag)[-128:],
            job=tag,
            url=get("BUILD_URL", ""),
            job_file="Jenkinsfile",
        )


def _repository(url: str) -> str:
    """`owner/name` of a clone URL in its https, ssh or scp form; credentials in it are left behind."""
    path = urlsplit(url).path if "://" in url else url.partition(":")[2]
    return path.strip("/").removesuffix(".git")

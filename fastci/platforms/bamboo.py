"""Bamboo: who the build is. Messages are plain lines; it counts no parallel jobs."""

import re
from collections.abc import Mapping

from fastci.platforms.local import Local
from fastci.platforms.platform import Context


class Bamboo(Local):
    """A job of Bamboo Data Center; its variables reach a script with `_` for each dot."""

    name = "bamboo"

    @staticmethod
    def detect(environ: Mapping[str, str]) -> bool:
        return "bamboo_buildResultKey" in environ

    def context(self) -> Context:
        """`build_id` is the result of the plan, the same for all its jobs: PROJECT-PLAN-NUMBER."""
        get = self._environ.get
        result = "-".join(filter(None, (get("bamboo_planKey"), get("bamboo_buildNumber"))))
        url = get("bamboo_planRepository_repositoryUrl", "")
        return Context(
            repository="/".join(re.split(r"[/:]", url.removesuffix(".git"))[-2:]) if url else "",
            sha=get("bamboo_planRepository_revision", ""),
            branch=get("bamboo_planRepository_branchName", ""),
            build_id=result,
            job=get("bamboo_buildResultKey", ""),
            url=get("bamboo_buildResultsUrl", ""),
            job_file="bamboo-specs/fast.yml",
        )

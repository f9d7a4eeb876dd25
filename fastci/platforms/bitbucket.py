"""Bitbucket Pipelines: who the step is, and which of its parallel group. Messages are plain lines."""

from collections.abc import Mapping

from fastci.platforms.local import Local
from fastci.platforms.platform import Context, shard_of


class Bitbucket(Local):
    """A step of Bitbucket Pipelines, in the cloud or on a runner of one's own."""

    name = "bitbucket"

    @staticmethod
    def detect(environ: Mapping[str, str]) -> bool:
        return "BITBUCKET_BUILD_NUMBER" in environ and "BITBUCKET_WORKSPACE" in environ

    def context(self) -> Context:
        """`build_id` names the repository too, as each counts its pipelines; parallel steps count from 0."""
        get = self._environ.get
        number, origin = get("BITBUCKET_BUILD_NUMBER", ""), get("BITBUCKET_GIT_HTTP_ORIGIN", "")
        return Context(
            repository=get("BITBUCKET_REPO_FULL_NAME", ""),
            sha=get("BITBUCKET_COMMIT", ""),
            branch=get("BITBUCKET_BRANCH", ""),
            build_id="-".join(filter(None, (get("BITBUCKET_REPO_SLUG"), number))),
            job=get("BITBUCKET_STEP_UUID", ""),
            url=f"{origin}/pipelines/results/{number}" if origin and number else "",
            job_file="bitbucket-pipelines.yml",
            shard=shard_of(
                get("BITBUCKET_PARALLEL_STEP", ""), get("BITBUCKET_PARALLEL_STEP_COUNT", ""), first=0
            ),
        )

"""CircleCI: who the job is, and which of its parallel runs. Messages are plain lines."""

from collections.abc import Mapping

from fastci.platforms.local import Local
from fastci.platforms.platform import Context, shard_of


class CircleCI(Local):
    """A job of CircleCI, in a container or on a machine."""

    name = "circleci"

    @staticmethod
    def detect(environ: Mapping[str, str]) -> bool:
        return environ.get("CIRCLECI") == "true"

    def context(self) -> Context:
        """`build_id` is the same for all jobs of a workflow, also run again; parallel nodes count from 0."""
        get = self._environ.get
        owner, name = get("CIRCLE_PROJECT_USERNAME", ""), get("CIRCLE_PROJECT_REPONAME", "")
        return Context(
            repository="/".join(filter(None, (owner, name))),
            sha=get("CIRCLE_SHA1", ""),
            branch=get("CIRCLE_BRANCH", ""),
            build_id=get("CIRCLE_WORKFLOW_WORKSPACE_ID", "") or get("CIRCLE_WORKFLOW_ID", ""),
            job="/".join(filter(None, (get("CIRCLE_WORKFLOW_JOB_ID"), get("CIRCLE_NODE_INDEX")))),
            url=get("CIRCLE_BUILD_URL", ""),
            job_file=".circleci/config.yml",
            shard=shard_of(get("CIRCLE_NODE_INDEX", ""), get("CIRCLE_NODE_TOTAL", ""), first=0),
        )

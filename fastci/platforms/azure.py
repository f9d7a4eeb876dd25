"""Azure Pipelines: log commands of the agent (`##vso[...]`, `##[group]`), and a summary tab."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastci.platforms.local import Local
from fastci.platforms.platform import Context, Level, shard_of


class Azure(Local):
    """A job of Azure Pipelines or of Azure DevOps Server."""

    name = "azure"
    annotates = True

    @staticmethod
    def detect(environ: Mapping[str, str]) -> bool:
        return environ.get("TF_BUILD", "").lower() == "true"

    def context(self) -> Context:
        """`build_id` is the same for all jobs of a run; jobs of a `parallel` strategy count from 1."""
        get = self._environ.get
        server, project = get("SYSTEM_COLLECTIONURI", ""), get("SYSTEM_TEAMPROJECT", "")
        build = get("BUILD_BUILDID", "")
        return Context(
            repository=get("BUILD_REPOSITORY_NAME", ""),
            sha=get("BUILD_SOURCEVERSION", ""),
            branch=get("SYSTEM_PULLREQUEST_SOURCEBRANCH", "").removeprefix("refs/heads/")
            or get("BUILD_SOURCEBRANCHNAME", ""),
            build_id=build,
            job=get("SYSTEM_JOBID", ""),
            url=f"{server}{project}/_build/results?buildId={build}" if server and build else "",
            job_file="azure-pipelines.yml",
            shard=shard_of(get("SYSTEM_JOBPOSITIONINPHASE", ""), get("SYSTEM_TOTALJOBSINPHASE", ""), first=1),
        )

    def mask(self, value: str) -> None:
        for line in value.splitlines():
            if line.strip():
                self._write(f"##vso[task.setsecret]{_data(line)}")

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        self._write(f"##[group]{title}")
        try:
            yield
        finally:
            self._write("##[endgroup]")

    def annotate(self, level: Level, message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
        text = f"{title}: {message}" if title else message
        if level == "notice":
            super().annotate(level, message, title=title, file=file, line=line)
            return
        place = f"sourcepath={_property(file)};linenumber={line};" if file and line else ""
        self._write(f"##vso[task.logissue type={level};{place}]{_data(text)}")

    def summary(self, markdown: str) -> None:
        """The agent reads the file after this process has ended, so it stays in the agent's own folder."""
        folder = self._environ.get("AGENT_TEMPDIRECTORY") or None
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=folder, prefix="FAST-", suffix=".md", delete=False
        ) as file:
            file.write(markdown)
        self._write(f"##vso[task.uploadsummary]{Path(file.name)}")

    def outputs(self, values: Mapping[str, str]) -> None:
        """Variables of the job for its later steps: `verdict` becomes FASTCI_VERDICT."""
        for name, value in values.items():
            variable = f"FASTCI_{name.upper().replace('-', '_')}"
            self._write(f"##vso[task.setvariable variable={variable}]{_data(value)}")


def _data(text: str) -> str:
    return text.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return re.sub(r"[;\]]", lambda found: {";": "%3B", "]": "%5D"}[found[0]], _data(text))

"""GitLab CI: folding sections in the log, and a dotenv file for later jobs."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastci.platforms.gitlab_rest import NOTE_LIMIT, TOKEN_HINT, Notes
from fastci.platforms.platform import Context, Level, shard_of
from fastci.platforms.rest import Refused, meets_recorder, shortened

Print = Callable[[str], None]

_COLOURS = {"error": "\x1b[31;1m", "warning": "\x1b[33;1m", "notice": "\x1b[36;1m"}
_PLAIN = "\x1b[0;m"
OUTPUTS = "outputs.env"
"""File in the workspace, for `artifacts:reports:dotenv`."""


class GitLab:
    """Knows no masks at run time (variables are masked in the project's settings) and no summary page."""

    name = "gitlab"
    annotates = False

    def __init__(self, environ: Mapping[str, str], write: Print) -> None:
        self._environ = environ
        self._write = write

    @staticmethod
    def detect(environ: Mapping[str, str]) -> bool:
        return environ.get("GITLAB_CI") == "true"

    def context(self) -> Context:
        """`build_id` is the same for all jobs of a pipeline, so that one tests what another recorded."""
        get = self._environ.get
        return Context(
            repository=get("CI_PROJECT_PATH", ""),
            sha=get("CI_COMMIT_SHA", ""),
            branch=get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "") or get("CI_COMMIT_REF_NAME", ""),
            build_id=get("CI_PIPELINE_ID", ""),
            job=get("CI_JOB_ID", ""),
            url=get("CI_JOB_URL", ""),
            # `path@project` names a file of another repository: not one that a report could point into.
            job_file="" if "@" in get("CI_CONFIG_PATH", "") else get("CI_CONFIG_PATH", ""),
            shard=shard_of(get("CI_NODE_INDEX", ""), get("CI_NODE_TOTAL", ""), first=1),
        )

    def mask(self, value: str) -> None:
        pass

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        section = "fast_" + re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
        self._write(f"\x1b[0Ksection_start:{int(time.time())}:{section}\r\x1b[0K{title}")
        try:
            yield
        finally:
            self._write(f"\x1b[0Ksection_end:{int(time.time())}:{section}\r\x1b[0K")

    def annotate(self, level: Level, message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        head = f"{title}: " if title else ""
        self._write(f"{_COLOURS[level]}{place}{level}: {head}{message}{_PLAIN}")

    def summary(self, markdown: str) -> None:
        pass

    def outputs(self, values: Mapping[str, str]) -> None:
        """For jobs that need this one: `FASTCI_` and the name in upper case, each on one line of a dotenv."""
        folder = Path(self._environ.get("CI_PROJECT_DIR", "")) / (
            self._environ.get("FAST_WORKSPACE") or ".fast"
        )
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"FASTCI_{name.upper().replace('-', '_')}={' '.join(value.splitlines())}\n"
            for name, value in values.items()
        ]
        with (folder / OUTPUTS).open("a", encoding="utf-8") as file:
            file.writelines(lines)

    def publish(self, *, name: str, comment: str = "", sarif: Path | None = None) -> None:
        """A note on the merge request, by the REST API, with FAST_GITLAB_TOKEN; one for each job and name."""
        get = self._environ.get
        if sarif:
            self.annotate("notice", "no code scanning: GitLab takes the DAST report instead", title="FAST")
        if not comment:
            return
        number = get("CI_MERGE_REQUEST_IID", "")
        if not number.isdecimal():
            self.annotate("notice", "no note: this is no pipeline of a merge request", title="FAST")
            return
        marker = f"<!-- fast-action: {get('CI_JOB_NAME', '')} {name} -->"
        notes = Notes(
            url=get("CI_API_V4_URL", ""),
            token=get("FAST_GITLAB_TOKEN", ""),
            project=get("CI_MERGE_REQUEST_PROJECT_ID", "") or get("CI_PROJECT_ID", ""),
            number=int(number),
            past_proxies=meets_recorder(self._environ),
        )
        try:
            if not notes.token:
                raise Refused("there is no token in FAST_GITLAB_TOKEN", lacking=True)
            text = shortened(comment, NOTE_LIMIT - len(marker) - 1, "... cut: it is too long for a note")
            self._write(f"note: {notes.keep(marker, text)}")
        except Refused as refusal:
            self.annotate("warning", f"note: not done: {refusal}", title="FAST")
            if refusal.lacking:
                self._write(TOKEN_HINT)

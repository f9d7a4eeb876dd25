"""GitHub Actions, github.com and Enterprise Server: workflow commands and the files of the runner."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from actions_toolkit.command import Command
from actions_toolkit.file_command import prepare_key_value_message
from actions_toolkit.utils import AnnotationProperties, to_command_properties

from fastci.platforms.github_rest import COMMENT_LIMIT, Rest, permissions_block
from fastci.platforms.platform import Context, Level
from fastci.platforms.rest import Refused, meets_recorder, shortened

Print = Callable[[str], None]

_SUMMARY_LIMIT = 1_000_000
"""Bytes of a step's summary that the runner takes (it drops the whole of a larger one above 1 MiB)."""


def read_inputs(environ: Mapping[str, str]) -> dict[str, str]:
    """The inputs of the action that were given: `test-run-rps` -> `5`.

    The runner hands an input on as INPUT_ and its name in upper case, dashes kept.
    """
    prefix = "INPUT_"
    return {
        name.removeprefix(prefix).lower(): value.strip()
        for name, value in environ.items()
        if name.startswith(prefix) and value.strip()
    }


class GitHub:
    """Speaks to the runner by lines that begin with `::` and by appending to the files it names."""

    name = "github"
    annotates = True

    def __init__(self, environ: Mapping[str, str], write: Print) -> None:
        self._environ = environ
        self._write = write

    @staticmethod
    def detect(environ: Mapping[str, str]) -> bool:
        return environ.get("GITHUB_ACTIONS") == "true"

    def context(self) -> Context:
        """`build_id` is the same for all jobs of a workflow run, so that one tests what another recorded."""
        get = self._environ.get
        run, attempt = get("GITHUB_RUN_ID", ""), get("GITHUB_RUN_ATTEMPT", "")
        repository = get("GITHUB_REPOSITORY", "")
        address = f"{get('GITHUB_SERVER_URL', '')}/{repository}/actions/runs/{run}"
        # Cells of a matrix have one GITHUB_JOB, but never one runner at the same time.
        job = "/".join(filter(None, (run, attempt, get("GITHUB_JOB", ""), get("RUNNER_NAME", ""))))
        return Context(
            repository=repository,
            sha=self._head_sha() or get("GITHUB_SHA", ""),
            branch=get("GITHUB_HEAD_REF", "") or get("GITHUB_REF_NAME", ""),
            build_id=run,
            job=job,
            url=f"{address}/attempts/{attempt}" if attempt else address if run else "",
            job_file=self._workflow_file(),
        )

    def _head_sha(self) -> str:
        """The commit that a pull request proposes; GITHUB_SHA is a merge that nobody else knows."""
        with suppress(KeyError, TypeError):
            return str(self._event()["pull_request"]["head"]["sha"])
        return ""

    def _workflow_file(self) -> str:
        found = re.match(r"[^/]+/[^/]+/(.+)@", self._environ.get("GITHUB_WORKFLOW_REF", ""))
        return found[1] if found else ""

    def mask(self, value: str) -> None:
        # The runner compares line by line.
        for line in value.splitlines():
            if line.strip():
                self._command("add-mask", line)

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        self._command("group", title)
        try:
            yield
        finally:
            self._command("endgroup", "")

    def annotate(self, level: Level, message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
        place = AnnotationProperties(title=title, file=file, start_line=line)
        properties = {key: value for key, value in to_command_properties(place).items() if value}
        self._command(level, message, properties)

    def summary(self, markdown: str) -> None:
        text = markdown.rstrip() + "\n"
        limit = _SUMMARY_LIMIT * len(text) // len(text.encode())
        self._append("GITHUB_STEP_SUMMARY", shortened(text, limit, "... cut: it is too long for a summary"))

    def outputs(self, values: Mapping[str, str]) -> None:
        for name, value in values.items():
            self._append("GITHUB_OUTPUT", prepare_key_value_message(name, value) + "\n")

    def export(self, values: Mapping[str, str]) -> None:
        """Set environment variables for the later steps of the job."""
        for name, value in values.items():
            if name == "NODE_OPTIONS":
                # The runner fails a step that sets it.
                continue
            self._append("GITHUB_ENV", prepare_key_value_message(name, value) + "\n")

    def publish(self, *, name: str, comment: str = "", sarif: Path | None = None) -> None:
        """By the REST API, with FAST_GITHUB_TOKEN. There is one comment for each workflow, job and name."""
        tasks: list[tuple[str, str, Callable[[Rest], str]]] = []
        number = self._pull_request()
        if comment and not number:
            self.annotate("notice", "no comment: this run belongs to no pull request", title="FAST")
        elif comment:
            marker = (
                f"<!-- fast-action: {self._workflow_file()} {self._environ.get('GITHUB_JOB', '')} {name} -->"
            )
            text = shortened(
                comment, COMMENT_LIMIT - len(marker) - 1, "... cut: it is too long for a comment"
            )
            tasks.append(("comment", "pull-requests", lambda api: api.keep_comment(number, marker, text)))
        if sarif:
            sha, ref = self._environ.get("GITHUB_SHA", ""), self._environ.get("GITHUB_REF", "")
            upload = partial(Rest.upload_sarif, path=sarif, sha=sha, ref=ref)
            tasks.append(("code scanning", "security-events", upload))
        lacking = False
        for title, _, task in tasks:
            try:
                self._write(f"{title}: {task(self._rest())}")
            except Refused as refusal:
                lacking |= refusal.lacking
                self.annotate("warning", f"{title}: not done: {refusal}", title="FAST")
        if lacking:
            self._explain_permissions([permission for _, permission, _ in tasks])

    def _rest(self) -> Rest:
        get = self._environ.get
        if not get("FAST_GITHUB_TOKEN", ""):
            raise Refused("there is no token in FAST_GITHUB_TOKEN", lacking=True)
        return Rest(
            url=get("GITHUB_API_URL", "") or "https://api.github.com",
            token=get("FAST_GITHUB_TOKEN", ""),
            repository=get("GITHUB_REPOSITORY", ""),
            past_proxies=meets_recorder(self._environ),
        )

    def _explain_permissions(self, wanted: list[str]) -> None:
        if self._is_fork():
            self._write(
                "A pull request from a fork gets a token that may only read; the job goes on without."
            )
            return
        self._write("To allow it, give the job in the workflow file:")
        self._write("")
        for line in permissions_block(wanted):
            self._write(f"    {line}")
        self._write("")

    def _pull_request(self) -> int:
        """The number of the pull request that this run is for; 0 for none."""
        event = self._event()
        found = event.get("pull_request") or {}
        issue = event.get("issue") or {}
        number = found.get("number") or (issue.get("number") if issue.get("pull_request") else 0)
        return int(number or 0)

    def _is_fork(self) -> bool:
        with suppress(KeyError, TypeError):
            ends = self._event()["pull_request"]
            return bool(ends["head"]["repo"]["full_name"] != ends["base"]["repo"]["full_name"])
        return False

    def _event(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, KeyError):
            event = json.loads(Path(self._environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
            return event if isinstance(event, dict) else {}
        return {}

    def _command(self, command: str, message: str, properties: Mapping[str, object] | None = None) -> None:
        self._write(str(Command(command, dict(properties or {}), message)))

    def _append(self, variable: str, text: str) -> None:
        """Add to a file of the runner; a stand-in that names none has nobody to read it."""
        path = self._environ.get(variable, "")
        if path:
            with Path(path).open("a", encoding="utf-8", newline="") as file:
                file.write(text)

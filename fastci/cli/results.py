"""Results files on the command line: read, judged by the known findings and the gate, written as reports."""

import datetime
import glob
import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fastci.config import Settings
from fastci.errors import FatalError, UsageError
from fastci.lifecycle.workspace import Workspace
from fastci.reports import REPORTS, redacted, write_reports
from fastci.results import Acceptance, Run, Verdict, parse_document, to_document
from fastci.verdict.comparison import compare_runs
from fastci.verdict.gate import decide, with_verdict
from fastci.verdict.known import FILE, apply_known, load_known

if TYPE_CHECKING:
    from fastci.node.store.postgres import SharedStore

FORMATS = tuple(REPORTS)
"""The reports that are written after every test run: all of them."""


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What runs are judged by: the settings, the known findings, an earlier run.

    `secrets` are values that no report may hold, wherever they stand.
    """

    settings: Settings
    known: list[Acceptance] = field(default_factory=list)
    earlier: Run | None = None
    secrets: Sequence[str] = ()

    @classmethod
    def load(cls, settings: Settings, workspace: Workspace, secrets: Sequence[str] = ()) -> "Judging":
        """Raises UsageError for files that are named but not there, and for what is wrong in them."""
        path = known_file(settings, workspace)
        if settings.fast_known_findings and not path.is_file():
            raise UsageError(f"FAST_KNOWN_FINDINGS: there is no file {path}")
        earlier = load_run(Path(settings.fast_compare_with)) if settings.fast_compare_with else None
        return cls(settings=settings, known=known_entries(settings, path), earlier=earlier, secrets=secrets)

    def judge(self, run: Run) -> tuple[Run, Verdict]:
        """The run without secrets, known findings apart, compared, with its verdict; and that verdict."""
        today = datetime.datetime.now(datetime.UTC).date()
        settled = apply_known(redacted(run, known=self.secrets), self.known, today)
        if self.earlier is not None:
            settled = compare_runs(settled, self.earlier)
        verdict = decide(settled, self.settings)
        return with_verdict(settled, verdict), verdict


def shared_store(settings: Settings) -> "SharedStore | None":
    """The database in which workflows share what they know, if one is named."""
    if not settings.shares_store:
        return None
    from fastci.node.store.postgres import SharedStore

    return SharedStore(settings.fast_store, token=settings.wallarm_api_token)


def known_entries(settings: Settings, path: Path) -> list[Acceptance]:
    """The accepted findings of the file, then those of the shared store; the file has the last word."""
    entries = load_known(path)
    if (shared := shared_store(settings)) is not None:
        known = {entry.fingerprint for entry in entries}
        entries += [Acceptance(**e) for e in shared.known_findings() if e["fingerprint"] not in known]
        shared.close()
    return entries


def known_file(settings: Settings, workspace: Workspace) -> Path:
    return Path(settings.fast_known_findings) if settings.fast_known_findings else workspace.root / FILE


def load_run(path: Path) -> Run:
    """The run of a results file. Raises UsageError when it is none."""
    try:
        return parse_document(json.loads(path.read_text(encoding="utf-8")), source=str(path))
    except OSError as error:
        raise UsageError(
            f"the results file {path} cannot be read", why=error.strerror or str(error)
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is not a results file", why=str(error)) from error


def keep_run(run: Run, workspace: Workspace) -> None:
    """Keep the results among the runs of the workspace, for `fastci report` and `fastci findings`."""
    if run.id:
        with suppress(OSError):
            (workspace.runs / f"{run.id}.json").write_text(json.dumps(to_document(run)), encoding="utf-8")


def write_results(
    run: Run, workspace: Workspace, formats: Iterable[str] = FORMATS, *, job_file: str = ""
) -> tuple[list[Path], FatalError | None]:
    """Write the reports of a judged run, also under fixed names in the folder of the latest.

    Gives the paths of the reports, and what kept one from being made.
    """
    stem = f"{run.name}.{int(run.start_time)}"
    fault: FatalError | None = None
    try:
        paths = write_reports(run, workspace.reports, stem, formats, job_file=job_file, redact=False)
    except FatalError as error:
        paths, fault = sorted(workspace.reports.glob(f"{glob.escape(stem)}.*")), error
    _keep_latest(paths, workspace.latest)
    return paths, fault


def forget_latest(workspace: Workspace) -> None:
    """So that a job which is killed does not leave the reports of the one before as its own."""
    shutil.rmtree(workspace.latest, ignore_errors=True)


def _keep_latest(paths: Iterable[Path], folder: Path) -> None:
    """The same files under names that do not change, for CIs that want a fixed path."""
    names = {report.suffix: report.fixed for report in REPORTS.values()}
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            suffix = max((s for s in names if path.name.endswith(f".{s}")), key=len, default="")
            if not suffix:
                continue
            target = folder / names[suffix]
            target.unlink(missing_ok=True)
            try:
                target.hardlink_to(path)
            except OSError:
                shutil.copyfile(path, target)

"""Reports: one file a format, each a pure rendering of a run; the table of them, and writing them to disk."""

import contextlib
import difflib
import errno
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastci.errors import TechnicalError, UsageError
from fastci.reports import codequality, curl, gitlab, html, json, junit, markdown, pytest_file, sarif, txt
from fastci.reports.redact import redacted
from fastci.reports.view import View
from fastci.results import Run

__all__ = ["REPORTS", "Report", "redacted", "safe_name", "write_reports"]


@dataclass(frozen=True, slots=True)
class Report:
    """One format. Its file is the stem, a period and `suffix`; `fixed` is its name among the latest reports.

    `located` formats point at lines of the repository: they want to know which file to point at for a
    finding that no known test reaches.
    """

    name: str
    suffix: str
    fixed: str
    rendering: Callable[..., str]
    located: bool = False

    def render(self, run: Run, *, job_file: str = "") -> str:
        """The text of the file. `job_file` is for located formats; empty takes the format's own default."""
        return self.render_view(View(run), job_file=job_file)

    def render_view(self, view: View, *, job_file: str = "") -> str:
        """The same for a run that several formats are made of."""
        return self.rendering(view, job_file=job_file) if self.located else self.rendering(view)


REPORTS: Mapping[str, Report] = {
    report.name: report
    for report in (
        Report("txt", "txt", "report.txt", txt.render),
        Report("json", "json", "results.json", json.render),
        Report("html", "html", "report.html", html.render),
        Report("sarif", "sarif", "fast.sarif", sarif.render, located=True),
        Report("junit", "junit.xml", "junit.xml", junit.render),
        Report("gitlab", "gl-dast-report.json", "gl-dast-report.json", gitlab.render),
        Report(
            "codequality",
            "gl-code-quality-report.json",
            "gl-code-quality-report.json",
            codequality.render,
            located=True,
        ),
        Report("markdown", "md", "summary.md", markdown.render),
        Report("curl", "curl.sh", "curl.sh", curl.render),
        Report("pytest", "repro.py", "repro.py", pytest_file.render),
    )
}

_HINTS = {
    errno.EACCES: "give the user that runs this the right to write there, or choose another folder",
    errno.EPERM: "give the user that runs this the right to write there, or choose another folder",
    errno.EROFS: "the file system is read-only: mount it writable, or choose another folder",
    errno.ENOSPC: "free some room on this disk, or choose another folder",
    errno.EDQUOT: "free some of the quota, or choose another folder",
    errno.ENOTDIR: "a file is in the way: remove it, or choose another folder",
    errno.EEXIST: "a file is in the way: remove it, or choose another folder",
    errno.ENAMETOOLONG: "choose a shorter folder name",
}
_LONGEST_NAME = 255


def write_reports(
    run: Run, folder: Path, stem: str, formats: Iterable[str], *, job_file: str = "", redact: bool = True
) -> list[Path]:
    """Write the run in these formats to `<folder>/<stem>.<suffix>` and return the paths in the order asked.

    Each file appears whole or not at all. Secrets are taken out before unless `redact` is off. `job_file` is
    the repository path of the CI job for findings that no known test reaches; empty takes each format's own
    default. Raises UsageError for an unknown format before anything is written, TechnicalError when a file
    cannot be written, or when a format failed, after the others were written.
    """
    chosen = [_report(name) for name in formats]
    view = View(redacted(run) if redact else run)
    written: list[Path] = []
    broken: list[str] = []
    for report in chosen:
        try:
            text = report.render_view(view, job_file=job_file)
        except Exception as error:  # a fault in one format must not take the others from the user
            broken.append(f"{report.name}: {type(error).__name__}: {error}")
            continue
        written.append(_write(folder, safe_name(stem, report.suffix), text))
    if broken:
        raise TechnicalError(
            f"{len(broken)} of {len(chosen)} reports could not be made",
            why="; ".join(broken),
            hint="this is a fault of fast-action, please report it; the other reports are complete",
        )
    return written


def safe_name(stem: str, suffix: str) -> str:
    """A file name of that stem for every file system and artifact store: a colon, which several refuse, is a
    dot; no separators, no control characters, not too long."""
    plain = re.sub(r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+", "_", stem).replace(":", ".")
    name = plain.lstrip(".~ ") or "report"
    room = _LONGEST_NAME - len(f".{suffix}.part".encode()) - 1
    while len(name.encode()) > room:
        name = name[:-1]
    return f"{name}.{suffix}"


def _report(name: str) -> Report:
    if name in REPORTS:
        return REPORTS[name]
    near = difflib.get_close_matches(name, REPORTS, n=1)
    guess = f"perhaps you meant {near[0]}; " if near else ""
    raise UsageError(f"there is no report format {name!r}", hint=f"{guess}there are {', '.join(REPORTS)}")


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    part = folder / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text.encode("utf-8", "backslashreplace"))
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise TechnicalError(
            f"reports cannot be written to {folder}",
            why=error.strerror or str(error),
            hint=_HINTS.get(error.errno or 0, "choose another folder"),
        ) from error
    return path

"""What the CI is told of a run that ended: outputs, annotations at the functional tests, the summary page.

Where that was asked for, the pull request's comment and code scanning too.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fastci.config import Settings
from fastci.platforms import Level, Platform
from fastci.reports import REPORTS, redacted
from fastci.reports.plain import one_line
from fastci.reports.source import sources_of
from fastci.reports.summary import ordered, type_name
from fastci.results import Run, Severity

_LEVELS: dict[Severity, Level] = {"high": "error", "medium": "warning", "low": "notice"}
_SHOWN = 10
"""Annotations of one level that GitHub shows for a step."""


def announce(platform: Platform, settings: Settings, run: Run, reports: Sequence[Path], folder: Path) -> None:
    """Tell the CI of this run; `reports` are the files that were written, all in `folder`."""
    run = redacted(run)
    platform.outputs(
        {
            "verdict": run.state,
            "rule": run.verdict.rule if run.verdict else "",
            "vulnerabilities": str(len(run.findings)),
            "new-vulnerabilities": str(sum(finding.status != "unchanged" for finding in run.findings)),
            "test-record": run.record_id,
            "report-dir": str(folder),
            "sarif-file": _file(reports, "sarif"),
            "junit-file": _file(reports, "junit"),
            "html-file": _file(reports, "html"),
        }
    )
    if platform.annotates:
        annotate(platform, run)
    markdown = REPORTS["markdown"].render(run)
    platform.summary(markdown)
    sarif = _file(reports, "sarif") if settings.fast_upload_sarif else ""
    if settings.fast_comment or sarif:
        platform.publish(
            name=settings.test_run_name,
            comment=markdown if settings.fast_comment else "",
            sarif=Path(sarif) if sarif else None,
        )


def _file(reports: Iterable[Path], name: str) -> str:
    suffix = f".{REPORTS[name].suffix}"
    return next((str(path) for path in reports if path.name.endswith(suffix)), "")


def annotate(platform: Platform, run: Run) -> None:
    """One a finding, at the functional test that reaches it, else at the job's file; the worst first.

    A CI shows few of each level, so the last one shown says how many more there are.
    """
    job_file = platform.context().job_file
    for severity, level in _LEVELS.items():
        findings = [finding for finding in ordered(run.findings) if finding.severity == severity]
        shown = findings if len(findings) <= _SHOWN else findings[: _SHOWN - 1]
        for finding in shown:
            source = sources_of(finding, job_file)[0]
            where = f"{finding.place.method} {finding.route}, {finding.point}"
            platform.annotate(
                level,
                "\n".join(map(one_line, (finding.title, where, f"payload: {finding.evidence.payload}"))),
                title=f"FAST: {type_name(finding.type)} ({severity.upper()})",
                file=source.path,
                line=source.line if source.path else 0,
            )
        if len(shown) < len(findings):
            more = len(findings) - len(shown)
            platform.annotate(level, f"{more} more of this severity are in the reports", title="FAST")

"""GitLab Code Quality (artifacts:reports:codequality), shown in merge requests on every tier of GitLab.

Required of an entry: description, check_name, fingerprint, severity, location.path relative to the
repository without a leading `./`, location.lines.begin (GitLab docs: Code Quality report format).
"""

import json

from fastci.reports.plain import one_line
from fastci.reports.source import sources_of
from fastci.reports.view import View
from fastci.results import Severity

JOB_FILE = ".gitlab-ci.yml"
_SEVERITY: dict[Severity, str] = {"high": "critical", "medium": "major", "low": "minor"}


def render(view: View, *, job_file: str = "") -> str:
    """The list of findings, empty without any. `job_file`: where findings without a known test are shown."""
    entries = []
    for shown in view.findings:
        finding = shown.finding
        source = sources_of(finding, job_file or JOB_FILE)[0]
        entries.append(
            {
                "type": "issue",
                "categories": ["Security"],
                "check_name": f"fast/{finding.type}",
                "description": f"{one_line(finding.title)}: {one_line(finding.place.method, 20)} "
                f"{one_line(finding.route)}, point {one_line(finding.point)}",
                "fingerprint": shown.fingerprint + f"-{shown.ordinal}" * (shown.ordinal > 1),
                "severity": _SEVERITY[finding.severity],
                "location": {"path": source.path, "lines": {"begin": source.line}},
            }
        )
    return json.dumps(entries) + "\n"

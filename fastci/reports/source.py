"""From a finding to a file of the repository: the functional test that reaches it, else the job file."""

import re
from dataclasses import dataclass

from fastci.results import Finding

_TEST = re.compile(
    r"(?P<path>[^\s:][^:\n\r\t]{0,400}?\.[A-Za-z][A-Za-z0-9]{0,7})"
    r"(?::(?P<line>[1-9]\d{0,6})(?::\d+)?)?"
    r"(?P<name>(?:::|\s).*)?",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A line of a repository file: `path` is relative, with forward slashes; a job file has no `test`."""

    path: str
    line: int
    test: str = ""


def source_of(test: str) -> Source | None:
    """The place a test's name tells: `tests/a.py:12`, `tests/a.py::test_b`, `a.spec.ts:14:5 > logs in`.

    None for a name that is no file of a repository: a class, a sentence, an absolute path, a URL.
    """
    match = _TEST.fullmatch(test)
    if not match or not (match["line"] or match["name"]):
        return None
    path = match["path"].replace("\\", "/").removeprefix("./")
    parts = path.split("/")
    if ".." in parts or "" in parts or not path.isprintable():
        return None
    return Source(path=path, line=int(match["line"] or 1), test=test)


def sources_of(finding: Finding, job_file: str) -> list[Source]:
    """The tests that reach the flaw, each once, the one of the evidence first; else the job file."""
    found = (source_of(place.test) for place in finding.places)
    unique = dict.fromkeys(source for source in found if source)
    return list(unique) or [Source(path=job_file, line=1)]

"""Known findings: what a team has accepted, in a file of the repository that every run reads.

    findings:
      - fingerprint: 6f0a4c0e5b0e5c39...
        reason: only reachable from the office network until the rewrite
        owner: team-shop
        expires: 2026-12-31
        where: sqli GET /search, GET_q_value

Suppression happens here alone, before any report is made: an accepted finding leaves `Run.findings`.
"""

import datetime
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import yaml

from fastci.errors import TechnicalError, UsageError
from fastci.results import Acceptance, Finding, Run

FILE = "known-findings.yml"
_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_HEAD = """\
# Findings that do not fail the build. `fastci findings accept` adds one, `fastci findings forget` removes it.
# `expires` is the last day on which an entry holds; after it the finding counts again.
"""
_NAMES = tuple(field.name for field in fields(Acceptance))


def apply_known(run: Run, known: Sequence[Acceptance], today: datetime.date) -> Run:
    """The run with the accepted findings apart, and the entries that match nothing as `absent`.

    An entry holds to the end of the day it expires on. Doing it again with other entries starts anew.
    """
    entries = {entry.fingerprint: entry for entry in known}
    counting: list[Finding] = []
    accepted: list[Finding] = []
    for finding in [*run.findings, *run.accepted]:
        entry = entries.get(finding.fingerprint)
        marked = replace(finding, acceptance=entry)
        (accepted if entry and not is_expired(entry, today) else counting).append(marked)
    found = {finding.fingerprint for finding in (*counting, *accepted)}
    absent = [entry for entry in known if entry.fingerprint not in found]
    return replace(run, findings=counting, accepted=accepted, absent=absent)


def is_expired(entry: Acceptance, today: datetime.date) -> bool:
    return bool(entry.expires) and datetime.date.fromisoformat(entry.expires) < today


def acceptance_of(finding: Finding, *, reason: str, owner: str, expires: str) -> Acceptance:
    """An entry for this finding. `expires` as in the file, empty for good."""
    where = f"{finding.type} {finding.place.method} {finding.route}, {finding.point}"
    return Acceptance(
        fingerprint=finding.fingerprint, reason=reason, owner=owner, expires=expires, where=where
    )


def load_known(path: Path) -> list[Acceptance]:
    """The entries of a file, none if there is no file. Raises UsageError with every fault it has."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read", why=str(error)) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is not YAML", why=" ".join(str(error).split())) from error
    faults: list[str] = []
    entries = _entries(root, faults)
    if faults:
        raise UsageError(
            f"{path}: {len(faults)} of its entries are not usable"
            if len(faults) > 1
            else f"{path} is not usable",
            why="; ".join(faults),
            hint="an entry has a fingerprint, a reason, an owner, and expires: YEAR-MONTH-DAY or nothing",
        )
    return entries


def save_known(path: Path, entries: Iterable[Acceptance]) -> None:
    """Write the file whole or not at all. Raises TechnicalError when it cannot be written."""
    rows = [{name: value for name, value in asdict(entry).items() if value} for entry in entries]
    # PyYAML writes this line break as it is where letters may stay what they are, and reads another one back.
    plain = not any("\x85" in str(value) for row in rows for value in row.values())
    text = yaml.safe_dump({"findings": rows}, sort_keys=False, allow_unicode=plain, width=100)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(_HEAD + text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise TechnicalError(f"{path} cannot be written", why=error.strerror or str(error)) from error


def _entries(root: yaml.Node | None, faults: list[str]) -> list[Acceptance]:
    """Read from the nodes, not from values: faults have lines, and a day that is none is no error of YAML."""
    if root is None:
        return []
    rows = _members(root).get("findings")
    if not isinstance(rows, yaml.SequenceNode):
        faults.append("it has no list `findings`")
        return []
    entries: dict[str, Acceptance] = {}
    for row in rows.value:
        place = f"line {row.start_mark.line + 1}"
        entry = _entry(row, place, faults)
        if entry and entry.fingerprint in entries:
            faults.append(f"{place}: {entry.fingerprint} is there twice")
        elif entry:
            entries[entry.fingerprint] = entry
    return list(entries.values())


def _members(node: yaml.Node) -> dict[str, yaml.Node]:
    return {str(key.value): value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _entry(row: yaml.Node, place: str, faults: list[str]) -> Acceptance | None:
    if not isinstance(row, yaml.MappingNode):
        faults.append(f"{place}: an entry is a mapping")
        return None
    values = {name: _text(node) for name, node in _members(row).items()}
    before = len(faults)
    for name in values:
        if name not in _NAMES:
            near = difflib.get_close_matches(name, _NAMES, n=1)
            faults.append(
                f"{place}: there is no {name!r}" + (f", perhaps you meant {near[0]}" if near else "")
            )
    for name in ("fingerprint", "reason", "owner"):
        if not values.get(name):
            faults.append(f"{place}: the entry has no {name}")
    if values.get("fingerprint") and not _FINGERPRINT.fullmatch(values["fingerprint"]):
        faults.append(f"{place}: fingerprint {values['fingerprint'][:40]!r} is not 32 hexadecimal digits")
    if values.get("expires"):
        try:
            datetime.date.fromisoformat(values["expires"])
        except ValueError:
            faults.append(f"{place}: expires {values['expires'][:40]!r} is no day like 2026-12-31")
    return Acceptance(**values) if len(faults) == before else None


def _text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null"):
        return ""
    return str(node.value).strip()

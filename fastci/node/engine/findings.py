"""From what was found at single baselines to the findings of a run: each flaw once, with all its places."""

from collections.abc import Sequence
from typing import get_args

from fastci import results
from fastci.node.engine.check import Check, Found
from fastci.node.vulnerabilities import VULNERABILITIES

_Key = tuple[str, str, str, str, str]


def merge_findings(checks: Sequence[Check]) -> tuple[list[results.Finding], dict[str, list[str]]]:
    """The findings in the order of the record, and the ids of those of each baseline.

    One flaw is one type at one point of one route of one origin. Its evidence is of the worst that was shown
    there, by the first baseline in the record. Duplicates that were left out count as places too.
    """
    groups: dict[_Key, list[tuple[Check, Found]]] = {}
    for check in sorted(checks, key=lambda check: check.item.baseline.sequence):
        for found in check.found:
            groups.setdefault(_key(check, found), []).append((check, found))
    findings, ids = [], dict[str, list[str]]()
    for number, group in enumerate(groups.values(), 1):
        finding = _finding(f"v{number}", group)
        findings.append(finding)
        for place in finding.places:
            ids.setdefault(place.baseline, []).append(finding.id)
    return findings, ids


_SURE = get_args(results.Confidence)


def _key(check: Check, found: Found) -> _Key:
    method = check.item.place.method if found.route != "*" else "*"
    return (found.extension.type, str(check.item.target.origin), method, found.route, found.point)


def _finding(number: str, group: Sequence[tuple[Check, Found]]) -> results.Finding:
    group = sorted(group, key=lambda found: -found[1].extension.threat)
    first = group[0][1]
    extension = first.extension
    facts = VULNERABILITIES.get(extension.type)
    places = [place for check, _ in group for place in (check.item.place, *check.item.duplicates)]
    return results.Finding(
        id=number,
        type=extension.type,
        threat=extension.threat,
        code=extension.name,
        title=extension.title,
        description=extension.description,
        point=first.point,
        route=first.route,
        confidence=min((found.confidence for _, found in group), key=_SURE.index),
        evidence=first.evidence,
        places=list(dict.fromkeys(places)),
        cwe=list(extension.cwe or (facts.cwe if facts else ())),
        remediation=extension.remediation or (facts.remediation if facts else ""),
    )

"""What every built-in detect owes besides firing (tests/targets): name, texts, documentation, economy."""

import re
from pathlib import Path

import pytest

from fastci.node.dsl import Extension, builtin_extensions
from fastci.node.vulnerabilities import VULNERABILITIES
from fastci.results import severity_of

ROOT = Path(__file__).parents[3]
DETECTS = builtin_extensions()
DOCUMENT = (ROOT / "docs" / "detects.md").read_text()
SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", DOCUMENT, re.M | re.S))
DESTROYS = re.compile(
    r"\b(?:DROP|DELETE|TRUNCATE|INSERT|UPDATE|ALTER|SHUTDOWN|rm|mkfs|kill|reboot|del|OR)\b(?!_)"
)


def every(function):
    return pytest.mark.parametrize("detect", DETECTS, ids=lambda detect: detect.name)(function)


def payloads_of(detect: Extension) -> list[str]:
    return [*detect.payloads, *(text for pair in detect.oracle_options.get("pairs", ()) for text in pair)]


def test_there_are_detects_for_every_type_of_the_default_policy():
    types = {detect.type for detect in DETECTS}
    assert {"ptrav", "rce", "sqli", "xss", "xxe", "redir", "ssti"} <= types
    assert len(DETECTS) >= 25


@every
def test_detect_is_named_by_its_type_and_technique(detect: Extension):
    assert re.fullmatch(rf"{detect.type}-[a-z-]+", detect.name)
    assert detect.type in VULNERABILITIES
    assert detect.builtin


@every
def test_detect_has_its_own_title_description_and_cwe(detect: Extension):
    assert detect.title != detect.name
    assert len(detect.description) > 40
    assert detect.cwe
    assert detect.remediation


@every
def test_detect_has_a_section_of_the_fixed_shape_with_true_numbers(detect: Extension):
    section = SECTIONS[detect.name]
    labels = re.findall(r"^- \*\*(.+?)\*\*", section, re.M)
    assert labels == ["Looks at", "Proof", "Payloads", "Rating"]
    count = len(detect.oracle_options.get("pairs", ())) or len(detect.payloads)
    assert f"- **Payloads** {count} " in section
    cwe = ", ".join(f"CWE-{number}" for number in detect.cwe)
    assert f"- **Rating** threat {detect.threat} ({severity_of(detect.threat)}), {cwe}\n" in section


def test_every_section_is_about_a_detect_that_exists():
    assert sorted(SECTIONS) == sorted(detect.name for detect in DETECTS)


@every
def test_payloads_destroy_nothing(detect: Extension):
    assert [text for text in payloads_of(detect) if DESTROYS.search(text)] == []


@every
def test_payloads_have_a_marker_unless_a_file_or_a_message_is_the_proof(detect: Extension):
    by_content = detect.type in ("ptrav", "xxe") or detect.name.endswith(("-error", "-stacktrace", "-type"))
    assert by_content or all("_MARKER" in text or "^" in text for text in payloads_of(detect))


@every
def test_detect_names_no_application(detect: Extension):
    text = " ".join((detect.title, detect.description, *payloads_of(detect))).lower()
    assert not re.search(r"dvwa|juice|dvna|vampi|webgoat|bwapp|mutillidae", text)

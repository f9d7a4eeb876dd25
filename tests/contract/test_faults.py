"""docs/faults.md promises: each of its rows names a test that there is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_fault_that_is_documented_is_tried():
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    known = set(re.findall(r"^def (test_\w+)\(", "\n".join(sources), re.M))
    page = (ROOT / "docs" / "faults.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    named = [re.fullmatch(r"\|.*\| `(test_\w+)` \|", row) for row in rows]
    assert all(named), [row for row, match in zip(rows, named, strict=True) if not match]
    assert {match[1] for match in named if match} - known == set()

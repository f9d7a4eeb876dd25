"""What is generated equals what is committed."""

from pathlib import Path

from fastci.config import render_variables

ROOT = Path(__file__).parents[2]


def test_variables_doc_equals_the_table():
    assert (ROOT / "docs" / "variables.md").read_text() == render_variables()

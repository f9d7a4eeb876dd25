"""What the documentation shows of workflows, as files that linters read."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]


def documented_workflows(folder: Path) -> list[Path]:
    """Every workflow of README and docs in a file of its own; parts get the rest around them."""
    made = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S):
            if "uses: " not in block:
                continue
            if block.startswith("- "):
                steps = textwrap.indent(block, " " * 6)
                block = f"permissions: {{}}\njobs:\n  fast:\n    runs-on: ubuntu-latest\n    steps:\n{steps}"
            made.append(folder / f"{page.stem}-{len(made)}.yml")
            made[-1].write_text(block if block.startswith("on:") else f"on: push\n{block}")
    assert len(made) >= 3
    return made

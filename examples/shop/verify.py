"""Compares the newest results of a workspace with ground-truth.yml: python verify.py .fast

Exit status 0 when every planted vulnerability was found and nothing else was reported, 1 otherwise.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

TRUTH = Path(__file__).with_name("ground-truth.yml")


def matches(truth: dict[str, Any], finding: dict[str, Any]) -> bool:
    """Whether this finding is that flaw: same type, method, route, and a point that counts as the same."""
    route = re.sub(r"\{\w+\}", "{}", truth["path"])
    place = finding["places"][0]
    if (truth["type"], truth["method"], route) != (finding["type"], place["method"], finding["route"]):
        return False
    same = truth.get("same")
    return finding["point"] == truth.get("point") or bool(same and re.fullmatch(same, finding["point"]))


def newest_run(workspace: Path) -> dict[str, Any]:
    results = [path for path in workspace.glob("runs/tr_*.json") if path.stat().st_size]
    run: dict[str, Any] = json.loads(max(results, key=lambda path: path.stat().st_mtime).read_bytes())["run"]
    return run


def main(workspace: str) -> int:
    truth = yaml.safe_load(TRUTH.read_text(encoding="utf-8"))
    run = newest_run(Path(workspace))
    planted, consequences = truth["vulnerabilities"], truth.get("consequences", [])
    missed = [flaw for flaw in planted if not any(matches(flaw, finding) for finding in run["findings"])]
    known = [*planted, *consequences]
    false = [finding for finding in run["findings"] if not any(matches(flaw, finding) for flaw in known)]
    for flaw in missed:
        print(f"not found: {flaw['id']}: {flaw['type']} at {flaw['method']} {flaw['path']} {flaw['point']}")
    for finding in false:
        place = finding["places"][0]
        print(f"false alarm: {finding['type']} at {place['method']} {finding['route']} {finding['point']}")
    neighbours = len(truth["neighbours"])
    print(
        f"Ground truth: {len(planted) - len(missed)} of {len(planted)} planted vulnerabilities found, "
        f"{len(false)} false alarms beside {neighbours} repaired neighbours"
    )
    return 1 if missed or false else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

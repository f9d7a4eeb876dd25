"""The SARIF report before the validator of the format's makers, with the rules of GitHub code scanning."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from clients import npm_install
from made_runs import judged_run

from fastci.reports import REPORTS, redacted
from fastci.results import Run, parse_document

GOLDEN = Path(__file__).parents[1] / "golden" / "reports"


@pytest.fixture(scope="module")
def program() -> Path:
    package = "@microsoft/sarif-multitool-linux"
    return npm_install(f"{package}@5.7.0") / package / "Sarif.Multitool"


@pytest.fixture(scope="module")
def sample() -> Run:
    text = (GOLDEN / "sample.results.json").read_text()
    return redacted(parse_document(json.loads(text), source="sample"))


def complaints(program: Path, folder: Path, **texts: str) -> dict[str, set[str]]:
    """The rules that each of these logs breaks, all looked at in one go."""
    for name, text in texts.items():
        (folder / f"{name}.sarif").write_text(text, encoding="utf-8", errors="backslashreplace")
    command = [program, "validate", *(f"{name}.sarif" for name in texts), "--rule-kind", "Sarif;Ghas"]
    environ = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    done = subprocess.run(
        [*command, "--output", "out.json", "--log", "ForceOverwrite"], cwd=folder, env=environ, timeout=120,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (folder / "out.json").is_file(), done.stdout + done.stderr
    broken: dict[str, set[str]] = {name: set() for name in texts}
    for result in json.loads((folder / "out.json").read_text())["runs"][0]["results"]:
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        name = Path(place.get("uri") or "").stem
        broken[name].add(result["ruleId"])
    return broken


def test_sarif_has_nothing_that_its_makers_or_github_object_to(program: Path, sample: Run, tmp_path: Path):
    render = REPORTS["sarif"].render
    empty = replace(sample, findings=[], checks=[], complete=False, state="interrupted")
    logs = {"sample": render(sample), "judged": render(judged_run(sample)), "empty": render(empty)}
    assert complaints(program, tmp_path, **logs) == {"sample": set(), "judged": set(), "empty": set()}


def test_validator_notices_what_is_taken_out(program: Path, sample: Run, tmp_path: Path):
    def without(change: str) -> str:
        log = json.loads(REPORTS["sarif"].render(sample))
        first = log["runs"][0]["results"][0]
        if change == "locations":
            first["locations"] = []
        elif change == "message":
            del first["message"]
        else:
            del log["runs"][0]["tool"]["driver"]["name"]
        return json.dumps(log)

    names = ("locations", "message", "name")
    broken = complaints(program, tmp_path, **{name: without(name) for name in names})
    assert all(broken[name] for name in names), broken

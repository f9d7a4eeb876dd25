"""action.yml, its two scripts and the table of variables belong together."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from entrypoint import COMMANDS
from fastci.generator.artefacts import MODES

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
SCRIPTS = [ROOT / "action" / "main.js", ROOT / "action" / "post.js"]


def test_action_runs_its_scripts_on_node_24_and_post_always():
    runs = ACTION["runs"]
    assert runs["using"] == "node24"
    assert [ROOT / runs["main"], ROOT / runs["post"]] == SCRIPTS
    assert "post-if" not in runs, "always() is the default; anything less leaks after a cancel"


def test_action_mode_describes_every_mode_and_has_a_known_default():
    mode = ACTION["inputs"]["mode"]
    assert set(re.findall(r"`([a-z]+)` ", mode["description"])) >= set(MODES)
    assert mode["default"] in MODES


def test_action_inputs_and_outputs_all_have_a_description():
    for kind in ("inputs", "outputs"):
        for name, fields in ACTION[kind].items():
            assert re.fullmatch(r"[a-z][a-z-]+", name)
            assert fields["description"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_is_thin_and_needs_nothing_but_node(script: Path):
    text = script.read_text()
    assert text.count("\n") < 60
    modules = re.findall(r"require\('([^']+)'\)", text)
    assert modules
    assert all(name.startswith("node:") for name in modules)
    assert subprocess.run(["node", "--check", str(script)], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_never_uses_a_shell_nor_reads_an_input(script: Path):
    text = script.read_text()
    assert not re.search(r"\bexec(Sync|File|FileSync)?\(|shell:|\beval\(|INPUT_", text)


def test_action_folder_holds_no_dependencies():
    assert {path.name for path in (ROOT / "action").iterdir()} == {"main.js", "install.py", "post.js"}


def test_action_modes_are_the_commands_of_its_program():
    assert set(MODES) == set(COMMANDS)


def test_action_documents_exactly_the_outputs_that_are_set():
    trees = [ast.parse(path.read_text()) for path in (ROOT / "fastci" / "cli").glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = [
        call.args[0] for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "outputs"
    ]
    names = {
        key.value
        for each in given
        if isinstance(each, ast.Dict)
        for key in each.keys
        if isinstance(key, ast.Constant)
    }
    assert names == set(ACTION["outputs"])

"""Who may import whom: the table in ARCHITECTURE.md, held against the code."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "fastci").rglob("*.py"))
DOORS = {
    "docker": {f"fastci/lifecycle/{name}.py" for name in ("engine", "image", "container")},
    "actions_toolkit": {"fastci/platforms/github.py"},
    "jinja2": {"fastci/generator/templates.py", "fastci/reports/html.py"},
}


def table() -> dict[str, set[str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    section = text.split("## Who may import whom")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z_.]+)` \|[^|]*\|([^|]*)\|$", section, re.M)
    return {module: {name for name in re.split(r"[,\s]+", allowed) if name} for module, allowed in rows}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(part for part in parts if part != "__init__")


def room(module: str, rooms: dict[str, set[str]]) -> str | None:
    """The row that a dotted name below fastci falls under."""
    return next((r for r in sorted(rooms, key=len, reverse=True) if (module + ".").startswith(r + ".")), None)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            if (ROOT / Path(*node.module.split("."))).is_dir():
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_imports_only_what_its_row_names(path: Path):
    rooms = table()
    module = dotted(path)
    here = room(module, rooms)
    if here is None:
        assert module in ("", "node", "verdict", "__main__"), f"{module} has no row in ARCHITECTURE.md"
        allowed = {"cli"} if module == "__main__" else set()
    else:
        allowed = rooms[here]
    for name in imports(path):
        if not name.startswith("fastci."):
            continue
        there = room(name.removeprefix("fastci."), rooms)
        assert there is None or there == here or there in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_uses_no_door_of_another(path: Path):
    relative = str(path.relative_to(ROOT))
    packages = {name.split(".")[0] for name in imports(path)}
    for package, doors in DOORS.items():
        assert package not in packages or relative in doors, f"{relative} imports {package}"
    text = path.read_text()
    # The plugin runs in the user's pytest: it is an entry of its own.
    if not relative.startswith("fastci/cli/") and relative != "fastci/pytest_plugin.py":
        assert not re.search(r"\bos\.(environ|getenv)\b", text), f"{relative} reads the environment"
    if relative != "fastci/cli/__init__.py":
        assert not re.search(r"\bsys\.exit\(", text), f"{relative} exits"
    assert not re.search(r"\byaml\.(unsafe_)?load\(|shell=True|\beval\(", text), relative


def test_modules_import_in_no_circle():
    modules = {f"fastci.{dotted(path)}".rstrip("."): path for path in SOURCES}
    # A package that a module lies in is imported before it in any case; it hands names on, no more.
    graph = {
        name: {i for i in imports(path) if i in modules and not f"{name}.".startswith(f"{i}.")}
        for name, path in modules.items()
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_table_names_every_module_that_exists():
    missing = [module for module in table() if not exists(module)]
    assert missing == []


def exists(module: str) -> bool:
    path = ROOT / "fastci" / Path(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_vague_module_names_do_not_appear():
    vague = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
    assert [str(path) for path in SOURCES if path.stem in vague or path.parent.name in vague] == []


def test_command_is_imported_when_it_is_called():
    asked = "import sys; from fastci.cli import cli, main; "
    asked += "loaded = lambda: sorted(n for n in sys.modules if n.startswith('fastci.')); print(*loaded()); "
    asked += "cli.get_command(None, 'generate'); print(*loaded())"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    before, after = (set(line.split()) for line in done.stdout.splitlines())
    assert before == {"fastci.cli", "fastci.errors"}
    assert "fastci.cli.generate" in after
    assert "fastci.cli.steps" not in after


def test_testing_node_begins_without_what_only_others_need():
    asked = "import sys; import fastci.node.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "fastci.node.engine.run" in done.stdout.split()
    assert not {"pydantic", "jinja2", "cryptography", "fastci.node.proxy"} & set(done.stdout.split())


def test_step_of_a_job_begins_without_what_only_reports_need():
    asked = "import sys; from fastci.cli import cli; cli.get_command(None, 'stop'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert "fastci.cli.job" in done.stdout.split()
    assert not {"pydantic", "jinja2", "cryptography", "docker"} & set(done.stdout.split())

"""What the action and the image install is what pyproject.toml asks for, nothing else, and by hashes."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from fastci.config import parse_settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = {
    "action.txt": PROJECT["dependencies"],
    "image.txt": [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"]],
    "uv.txt": ["uv"],
}


def read(name: str) -> dict[str, Requirement]:
    """The locked requirements of a file by their names; fails where one has no hash or no version."""
    text = re.sub(r"^#.*\n", "", (ROOT / "locked" / name).read_text(), flags=re.MULTILINE)
    found = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        line, *hashes = re.split(r"\s*\\\n\s*", entry)
        assert hashes, f"{line} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), entry
        requirement = Requirement(line)
        assert [each.operator for each in requirement.specifier] == ["=="], line
        found[canonicalize_name(requirement.name)] = requirement
    return found


def closure(requirements: list[Requirement]) -> set[str]:
    """The names of what these need here, as what is installed says it; uv itself is not."""
    found: set[str] = set()
    todo = list(requirements)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if name in found and not requirement.extras:
            continue
        found.add(name)
        if name == "uv":
            continue
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            extras = [{"extra": extra} for extra in ("", *requirement.extras)]
            if not needed.marker or any(needed.marker.evaluate(extra) for extra in extras):
                needed.marker = None
                todo.append(needed)
    return found


def test_base_image_is_the_same_wherever_it_is_named():
    (named,) = re.findall(r"^ARG BASE_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert parse_settings({}).fast_base_image == named, "run scripts/pin-base"


@pytest.mark.parametrize("name", WANTED)
def test_locked_versions_are_those_that_the_project_asks_for(name: str):
    locked = read(name)
    for line in WANTED[name]:
        wanted = Requirement(line)
        (pin,) = locked[canonicalize_name(wanted.name)].specifier
        assert Version(pin.version) in wanted.specifier, f"{line}: run scripts/lock"


@pytest.mark.parametrize("name", WANTED)
def test_locked_list_is_whole_and_holds_nothing_else(name: str):
    locked = read(name)
    here = {key for key, each in locked.items() if not each.marker or each.marker.evaluate()}
    assert here == closure([Requirement(line) for line in WANTED[name]]), "run scripts/lock"

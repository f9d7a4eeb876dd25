"""docs/extensions.md says what is so: its extensions load, its first one makes the requests it shows."""

import re
from pathlib import Path

import pytest
from dsl_kit import answer, load

from fastci.node.dsl import MarkerSource, parse_extension
from fastci.node.message import parse_request
from fastci.node.points import list_points

GUIDE = (Path(__file__).parents[4] / "docs" / "extensions.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.M | re.S)
EXTENSIONS = {text.partition("\n")[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "yaml"}


def block(kind: str) -> str:
    return next(text for found, text in BLOCKS if found == kind)


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extension_of_the_guide_loads(name: str):
    assert name.endswith(".yaml")
    load(EXTENSIONS[name], name)


def test_first_extension_makes_the_requests_that_the_guide_shows():
    extension = load(EXTENSIONS["search-syntax.yaml"], "search-syntax.yaml")
    baseline = parse_request(block("http").replace("\n", "\r\n").encode() + b"\r\n")
    points = list_points(baseline)
    assert extension.collects(points, None)  # type: ignore[arg-type]
    assert extension.matches(points)
    assert not extension.matches(list_points(baseline.with_target(b"/shop/search?q=tea")))
    (point,) = extension.targets(points)
    attacks = list(extension.attacks(baseline, point, MarkerSource(1)))
    lines = [
        attack.request.head().split(b"\r\n")[0].decode().replace(attack.markers.text, "STR_MARKER")
        for attack in attacks
    ]
    assert lines == block("text").splitlines()
    assert extension.detect(attacks[0], answer("QueryParseError: unexpected ) in line 1")) is not None
    assert extension.detect(attacks[0], answer("nothing found")) is None


def test_faults_that_the_guide_shows_are_what_the_loader_says():
    shown = block("").splitlines()
    text = (
        "meta-info:\n  type: info\ngenerate:\n- payload: [a]\n- method:\n         - sufix\n"
        "detect:\n- response:\n    - body:   'near('\n"
    )
    _, faults = parse_extension(text, "search.yaml")
    assert faults == shown

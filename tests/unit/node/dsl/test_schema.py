"""The schema that editors complete by says of a file what the loader says."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from dsl_kit import faults_of, load
from jsonschema import Draft202012Validator
from test_loader import BROKEN, LISTS, MAPPING

from fastci.node.dsl import extension_schema

SCHEMA = Draft202012Validator(extension_schema())
BUILTIN = sorted(Path(str(files("fastci.node") / "detects")).glob("*.yaml"))
GUIDE = (Path(__file__).parents[4] / "docs" / "extensions.md").read_text()

# What needs a look at regular expressions, at two places of the file at once, or at YAML itself.
BEYOND = (
    "4:11: ", "5:7: ", "3:10: ", "3:17: ", "1:1: the oracle time needs", "3:19: testrun", "3:11: generate has no",
    "3:12: uniq needs points", "3:18: the tag", "2:7: not YAML", "3:1: detect is given twice",
)  # fmt: skip


def document(text: str) -> Any:
    """As an editor sees it: binary values are text, tags of others are only words."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("tag:yaml.org,2002:binary", lambda loader, node: str(node.value))
    Loader.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))
    return yaml.load(text, Loader=Loader)


@pytest.mark.parametrize("path", BUILTIN, ids=lambda path: path.stem)
def test_built_in_extension_is_as_the_schema_says(path: Path):
    assert [error.message for error in SCHEMA.iter_errors(document(path.read_text()))] == []


def test_extensions_of_the_guide_are_as_the_schema_says():
    blocks = re.findall(r"^```yaml\n(# \S+\.yaml\n.*?)^```", GUIDE, re.M | re.S)
    assert len(blocks) > 5
    for block in blocks:
        assert [error.message for error in SCHEMA.iter_errors(document(block))] == [], block


GOOD = [
    MAPPING, LISTS, "meta-info: {type: rce}\ndetect: [response]", "meta-info: [type: rce]\ndetect: oob",
    "meta-info: {type: rce, applicable_for: [fast], additional: {x: 1}}\ndetect: {oob: [dns], response: [body: x]}",
    "meta-info: {type: rce, threat: '80'}\ndetect: [delayed_oob: [dns]]",
    "meta-info: {type: rce}\nmatch: [{GET_a: null}, {ACTION_EXT: php}]\nmodify: {GET_b: ''}\ndetect: [response]",
    "meta-info: {type: rce}\ngenerate: {payload: x, into: [GET, POST], method: [random]}\ndetect: [oob, response]",
    "meta-info: {type: rce}\ncollect: [uniq: [[URI], [GET_a, GET_b]]]\ndetect: {response: {status: [500, '4..']}}",
    "meta-info: {type: rce}\ncollect: {uniq: testrun}\ndetect: [response: [headers: [{Location: [a, b]}, x]]]",
    "meta-info: {type: rce}\ndetect: [response: [{strict_type: html}, {body: [html: [tag, attr: [a, b], js: x]]}]]",
    "meta-info: {type: rce}\ndetect: [response: [body: [html]]]",
    "meta-info: {type: rce}\nsend: [{method: get, url: /}, [method: POST, url: /a, headers: [A: b], body: x]]\ndetect: [oob]",
    "meta-info: {type: sqli}\ndetect: [{oracle: boolean, pairs: [[a, b]]}]",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_the_loader_takes_the_schema_takes(text: str):
    load(text)
    assert [error.message for error in SCHEMA.iter_errors(document(text))] == []


@pytest.mark.parametrize(("text", "fault"), BROKEN, ids=[fault[:50] for _, fault in BROKEN])
def test_what_the_loader_refuses_the_schema_refuses(text: str, fault: str):
    assert faults_of(text)
    if not fault.startswith(BEYOND):
        assert not SCHEMA.is_valid(document(text))

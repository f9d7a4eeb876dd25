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
    "4:11: ", "5:7: ", "3:10: ", "3:17: ", "1:1: the oracle time needs", "3:19: testrun",
    "3:11: generate has no",
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


RCE = "meta-info: {type: rce}\n"
GOOD = [
    MAPPING,
    LISTS,
    RCE + "detect: [response]",
    "meta-info: [type: rce]\ndetect: oob",
    "meta-info: {type: rce, tags: [a], additional: {x: 1}}\ndetect: {oob: [dns], response: [body: x]}",
    "meta-info: {type: rce, threat: '80'}\ndetect: [delayed_oob: [dns]]",
    RCE + "match: [{GET_a: null}, {ACTION_EXT: php}]\nmodify: {GET_b: ''}\ndetect: [response]",
    RCE + "generate: {payload: x, into: [GET, POST], method: [random]}\ndetect: [oob, response]",
    RCE + "collect: [uniq: [[URI], [GET_a, GET_b]]]\ndetect: {response: {status: [500, '4..']}}",
    RCE + "collect: {uniq: testrun}\ndetect: [response: [headers: [{Location: [a, b]}, x]]]",
    RCE + "detect: [response: [{strict_type: html}, {body: [html: [tag, attr: [a, b], js: x]]}]]",
    RCE + "detect: [response: [body: [html]]]",
    RCE + "send: [{method: get, url: /}, [method: PUT, url: /a, headers: [A: b], body: x]]\ndetect: [oob]",
    "meta-info: {type: sqli}\ndetect: [{oracle: boolean, pairs: [[a, b]]}]",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_the_loader_takes_the_schema_takes(text: str):
    load(text)
    assert [error.message for error in SCHEMA.iter_errors(document(text))] == []


@pytest.mark.parametrize(("text", "fault"), BROKEN, ids=[fault[:50] for _, fault in BROKEN])
def test_what_the_loader_refuses_the_schema_refuses(text: str, fault: str):
    assert faults_of(text)
    if not fault.startswith(BEYOND):
        assert not SCHEMA.is_valid(document(text))

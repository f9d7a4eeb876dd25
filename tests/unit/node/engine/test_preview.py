"""The order of the phases over the baselines of a record, seen without sending anything."""

from collections.abc import Sequence

import pytest

from fastci.config import parse_settings
from fastci.node.dsl import Credentials, parse_extension
from fastci.node.engine.preview import Preview, preview
from fastci.node.engine.scheduler import Task
from fastci.node.message import Field, Origin, Request, Response
from fastci.node.policy import load_policy
from fastci.node.store import Baseline

HOST = Field.of(b"Host", b"shop.example")
ORIGIN = Origin(scheme="http", host="shop.example", port=80)


def foreseen(section: str, targets: Sequence[str]) -> Preview:
    text = f"meta-info: {{type: info}}\ndetect: [response]\n{section}"
    extension, faults = parse_extension(text, "own.yaml")
    assert extension is not None, faults
    baselines = [
        Baseline(
            sequence=number, origin=ORIGIN, started=0, duration=0, connection=1, test="", truncated=False,
            request=Request(method=b"GET", target=target.encode(), fields=(HOST,)),
            response=Response(status=200),
        )
        for number, target in enumerate(targets, 1)
    ]  # fmt: skip
    task = Task(
        settings=parse_settings({"CI_MODE": "testing", "FAST_SKIP_DUPLICATES": "false"}),
        policy=load_policy("default", None),
        extensions=[extension],
        credentials=Credentials(),
    )
    return preview(task, baselines)


@pytest.mark.parametrize(
    ("section", "targets", "tested"),
    [
        ("", ["/a", "/b"], ["bl_1", "bl_2"]),
        ("collect: [uniq: [[GET_uid]]]", ["/?uid=1", "/demo?uid=1", "/?uid=2"], ["bl_1", "bl_3"]),
        # What is collected is remembered, whatever the later phases say.
        ("collect: [uniq: [[GET_u]]]\nmatch: {ACTION_NAME: b}", ["/a?u=1", "/b?u=1", "/b?u=2"], ["bl_3"]),
        # Once in a run counts only where a request is made.
        ("collect: [uniq: [testrun]]\nmatch: {ACTION_NAME: b}", ["/a", "/b", "/b?x=1"], ["bl_2"]),
        ("collect: [uniq: testrun]\ngenerate: {payload: x, into: GET}", ["/a", "/b?x=1", "/c?x=1"], ["bl_2"]),
        ("match: {GET_q: tea}\nmodify: {GET_q: coffee}", ["/?q=tea", "/?q=coffee"], ["bl_1"]),
        ("generate: {payload: x, into: HEADER_HOST}", ["/a"], []),
    ],
)  # fmt: skip
def test_phases_come_in_their_order(section: str, targets: list[str], tested: list[str]):
    assert [each.place.baseline for each in foreseen(section, targets).tested] == tested


def test_fixed_requests_go_to_each_host_once():
    found = foreseen("send: [{method: GET, url: /x}, {method: GET, url: /y}]", ["/a", "/b"])
    assert [(each.place.baseline, each.requests) for each in found.tested] == [("bl_1", 3)]
    assert found.skipped[0].coverage[0].reason == "no extension applies to it"


def test_requests_are_payloads_times_methods_at_each_point():
    section = "generate: {payload: [a, b], method: [prefix, replace], into: GET_.*}"
    (test_set,) = foreseen(section, ["/?x=1&y=2"]).tested
    assert test_set.requests == 1 + 2 * 2 * 2
    assert test_set.points == {"info": ["GET_x_value", "GET_y_value"]}
    assert test_set.idle == ["URI_value", "ACTION_NAME_value"]

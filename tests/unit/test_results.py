import json
import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fastci.errors import UsageError
from fastci.node.route import route_template
from fastci.results import (
    BaselineCheck,
    Evidence,
    Exchange,
    Finding,
    Place,
    PointCoverage,
    Run,
    curl_line,
    parse_document,
    schema,
    severity_of,
    to_document,
)


def finding(request: bytes = b"GET /a?b=%27 HTTP/1.1\r\nHost: t\r\n\r\n", **changes: object) -> Finding:
    facts: dict[str, object] = {
        "id": "v1", "type": "sqli", "threat": 90, "code": "sqli-error", "title": "t", "description": "d",
        "point": "GET_b_value", "route": "/a", "confidence": "confirmed",
        "evidence": Evidence(
            payload="'", matched="m",
            attack=Exchange(request=request, response=b"HTTP/1.1 500 x\r\n\r\n", status=500, elapsed=0.1),
        ),
        "places": [Place(baseline="bl_1", method="GET", url="http://t/a?b=1", test="test_a.py::test_b")],
        **changes,
    }  # fmt: skip
    return Finding(**facts)  # type: ignore[arg-type]


def run(**changes: object) -> Run:
    facts: dict[str, object] = {
        "id": "tr_0001", "name": "n", "state": "failed", "record_id": "rec_0001", "record_name": "r",
        "policy": "default", "target": "http://t", "start_time": 10.0, "end_time": 12.0,
        "findings": [finding()],
        "checks": [
            BaselineCheck(
                baseline="bl_1", method="GET", url="http://t/a", route="/a", state="failed", requests=10,
                coverage=[PointCoverage(point="GET_b_value", type="sqli", state="tested", requests=10)],
            ),
            BaselineCheck(
                baseline="bl_2", method="GET", url="http://t/b", route="/b", state="passed", requests=4
            ),
        ],
        **changes,
    }  # fmt: skip
    return Run(**facts)  # type: ignore[arg-type]


def test_document_written_and_read_same_run():
    given_run = run()
    document = json.loads(json.dumps(to_document(given_run)))
    assert parse_document(document, source="x.json") == given_run


@given(st.binary(max_size=60))
def test_document_any_evidence_bytes_survive(data: bytes):
    given_run = run(findings=[finding(request=data)])
    assert parse_document(json.loads(json.dumps(to_document(given_run))), source="x") == given_run


def test_blob_that_looks_like_base64_marker_survives():
    given_run = run(findings=[finding(request=b"base64:QUJD")])
    assert parse_document(json.loads(json.dumps(to_document(given_run))), source="x") == given_run


def test_document_has_the_documented_counters():
    document = to_document(run())
    expected = {
        "state": "failed", "baseline_count": 2, "baseline_check_all_terminated_count": 2,
        "baseline_check_fail_count": 1, "baseline_check_passed_count": 1, "baseline_check_tech_fail_count": 0,
        "sended_requests_count": 14, "avg_rps": 7.0, "start_time": 10, "end_time": 12,
        "test_record_id": "rec_0001", "recording": False,
    }  # fmt: skip
    assert {key: document[key] for key in expected} == expected
    assert document["vulns"][0]["tests"] == ["test_a.py::test_b"]


@pytest.mark.parametrize("document", [None, [], {}, {"format": "fast-results/0", "run": {}}])
def test_parse_document_of_other_format_refused(document: object):
    with pytest.raises(UsageError, match=r"x\.json is not a results file"):
        parse_document(document, source="x.json")


def test_parse_document_damaged_says_where():
    document = to_document(run())
    document["run"]["checks"][0]["state"] = "sleeping"
    with pytest.raises(UsageError, match="is damaged") as caught:
        parse_document(document, source="x.json")
    assert caught.value.why.startswith("checks.0.state:")


def test_fingerprint_survives_host_id_and_test_but_not_point():
    first = finding()
    moved = [Place(baseline="bl_9", method="GET", url="https://elsewhere/a?b=2")]
    assert finding(id="v7", places=moved, code="sqli-time").fingerprint == first.fingerprint
    assert finding(point="GET_c_value").fingerprint != first.fingerprint
    assert finding(type="xss").fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("threat", "level"), [(1, "low"), (33, "low"), (34, "medium"), (66, "medium"), (67, "high")]
)
def test_severity_of_threat_levels(threat: int, level: str):
    assert severity_of(threat) == level


def test_curl_line_is_one_command_with_the_attack_bytes():
    request = b"POST /a?b=it's HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nX-A: $(id)\r\n\r\na'b\""
    words = shlex.split(curl_line("https://t:8443/other", request))
    assert words[:8] == ["curl", "-sS", "-i", "--path-as-is", "-g", "-X", "POST", "https://t:8443/a?b=it's"]
    assert words[8:] == ["-H", "Host: t", "-H", "X-A: $(id)", "--data-raw", "a'b\""]


def test_curl_line_with_control_bytes_is_harmless_to_a_terminal():
    line = curl_line("http://t/", b"POST /\x1b[2J HTTP/1.1\r\nHost: t\r\n\r\n\x1b[2J\x00")
    assert line.isprintable()
    assert "base64 -d" in line


@settings(deadline=None)
@given(
    host=st.sampled_from(["a.test", "b.test:81", "[::1]:8080"]),
    ids=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
    index=st.integers(0, 50),
    order=st.permutations(["bl_1", "bl_2", "bl_3"]),
)
def test_fingerprint_of_the_same_flaw_found_again_is_the_same(
    host: str, ids: tuple[int, int], index: int, order: list[str]
):
    """On another host, with other ids, by another test or detect, in another sequence."""
    known = finding(route="/orders/{}/lines/{}", point="POST_JSON_DOC_HASH_lines_ARRAY_0_HASH_sku_value")
    places = [
        Place(baseline=name, method="GET", url=f"http://{host}/orders/{ids[0]}/lines/{ids[1]}", test=name)
        for name in order
    ]
    again = replace(
        known, id=f"v{ids[0]}", title="said otherwise", threat=40, code="another-detect", places=places,
        route=route_template(b"GET", f"/orders/{ids[0]}/lines/{ids[1]}".encode()),
        point=f"POST_JSON_DOC_HASH_lines_ARRAY_{index}_HASH_sku_value",
    )  # fmt: skip
    assert again.fingerprint == known.fingerprint


SCHEMA = Draft202012Validator(schema())


def test_schema_takes_what_is_written():
    document = json.loads(json.dumps(to_document(run())))
    assert [error.message for error in SCHEMA.iter_errors(document)] == []


@pytest.mark.parametrize(
    "path",
    [
        "format", "state", "baseline_count", "sended_requests_count", "vulns", "vulns.0.fingerprint", "run",
        "vulns.0.curl", "run.id", "run.findings.0.evidence", "run.findings.0.evidence.attack.request",
        "run.findings.0.places.0.url", "run.checks.0.state", "run.checks.0.coverage.0.type",
    ],
)  # fmt: skip
def test_schema_misses_what_is_taken_out(path: str):
    document = json.loads(json.dumps(to_document(run())))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    holder = document
    for part in parents:
        holder = holder[part]
    del holder[last]
    assert not SCHEMA.is_valid(document)


def test_schema_refuses_a_state_that_is_none():
    document = to_document(run())
    assert not SCHEMA.is_valid({**document, "state": "fine"})

"""Each format against what its reader documents: required fields, limits, escapes."""

import base64
import copy
import gzip
import io
import json
import random
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import junitparser
import lxml.html
import pytest
from jsonschema import Draft202012Validator
from lxml import etree
from markdown_it import MarkdownIt

from fastci.reports import REPORTS, sarif
from fastci.reports.curl import with_secrets
from fastci.reports.exchange import read_message
from fastci.results import Place, PointCoverage, Run

GOLDEN = Path(__file__).parents[2] / "golden" / "reports"
SCHEMAS = {
    name: json.loads((GOLDEN / f"{name}.schema.json").read_text())
    for name in ("sarif", "gitlab", "codequality")
}


def faults(name: str, document: Any) -> list[str]:
    validator = Draft202012Validator(SCHEMAS[name])
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
@pytest.mark.parametrize("run", ["sample", "hostile", "empty"])
def test_json_format_obeys_its_reader(name: str, run: str, request: pytest.FixtureRequest):
    assert faults(name, json.loads(REPORTS[name].render(request.getfixturevalue(run)))) == []


MISSING = {
    "sarif": [
        "version", "runs.0.tool.driver.name", "runs.0.tool.driver.rules.0.help.markdown",
        "runs.0.tool.driver.rules.0.properties.security-severity", "runs.0.automationDetails.id",
        "runs.0.tool.driver.rules.0.properties.tags", "runs.0.tool.driver.rules.0.properties.precision",
        "runs.0.results.0.locations", "runs.0.results.0.message.text",
        "runs.0.results.0.locations.0.physicalLocation.artifactLocation.uri", "runs.0.results.0.ruleId",
        "runs.0.results.0.locations.0.physicalLocation.region.startLine", "runs.0.invocations",
        "runs.0.results.0.partialFingerprints.primaryLocationLineHash",
        "runs.0.tool.driver.rules.0.shortDescription", "runs", "$schema", "runs.0.tool", "runs.0.results",
        "runs.0.tool.driver.rules.0.shortDescription.text", "runs.0.tool.driver.rules.0.fullDescription.text",
        "runs.0.tool.driver.rules.0.help.text", "runs.0.tool.driver.rules.0.id", "runs.0.automationDetails",
        "runs.0.tool.driver.rules.0.defaultConfiguration.level", "runs.0.results.0.ruleIndex",
        "runs.0.results.0.level", "runs.0.results.0.partialFingerprints", "runs.0.results.0.message",
        "runs.0.results.1.relatedLocations.0.id", "runs.0.results.1.relatedLocations.0.message",
        "runs.0.invocations.0.executionSuccessful",
    ],
    "gitlab": [
        "version", "scan", "vulnerabilities",
        *(f"scan.{name}" for name in (
            "analyzer", "scanner", "type", "start_time", "end_time", "status", "scanned_resources",
        )),
        *(f"scan.{tool}.{name}" for tool in ("analyzer", "scanner")
          for name in ("id", "name", "version", "vendor", "vendor.name")),
        *(f"scan.scanned_resources.0.{name}" for name in ("method", "url", "type")),
        "scan.messages.0.level", "scan.messages.0.value",
        *(f"vulnerabilities.0.{name}" for name in (
            "id", "name", "severity", "solution", "identifiers", "location", "evidence",
        )),
        *(f"vulnerabilities.0.identifiers.0.{name}" for name in ("type", "name", "value")),
        *(f"vulnerabilities.0.location.{name}" for name in ("hostname", "method", "param", "path")),
        "vulnerabilities.0.links.0.url",
        *(f"vulnerabilities.0.{message}.{name}" for message in (
            "evidence", "evidence.supporting_messages.0", "evidence.supporting_messages.2",
          ) for name in (
            "request.headers", "request.method", "request.url", "request.headers.0.name",
            "request.headers.0.value", "response.headers", "response.reason_phrase",
            "response.status_code", "response.headers.0.name", "response.headers.0.value",
        )),
        "vulnerabilities.0.evidence.request", "vulnerabilities.0.evidence.response",
        *(f"vulnerabilities.0.evidence.supporting_messages.{n}.name" for n in (0, 1)),
        *(f"vulnerabilities.0.details.{item}.{name}" for item in ("payload", "curl")
          for name in ("name", "type", "value")),
    ],
    "codequality": [
        "0.description", "0.check_name", "0.fingerprint", "0.severity", "0.location", "0.location.path",
        "0.location.lines", "0.location.lines.begin",
    ],
}  # fmt: skip


def holder_of(document: Any, path: str) -> tuple[Any, Any]:
    """Where the last step of a path like `runs.0.tool` is, and that step."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        document = document[part]
    return document, last


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, paths in MISSING.items() for path in paths]
)
def test_json_format_without_a_required_field_is_noticed(sample: Run, name: str, path: str):
    document = copy.deepcopy(json.loads(REPORTS[name].render(sample)))
    holder, last = holder_of(document, path)
    del holder[last]
    assert faults(name, document)


VULNERABILITY = "vulnerabilities.0"
RULE, RESULT = "runs.0.tool.driver.rules.0", "runs.0.results.0"
PLACE = f"{RESULT}.locations.0.physicalLocation"
SPOILT = [
    ("gitlab", "version", "14.1.3"), ("gitlab", "scan.type", "sast"), ("gitlab", "scan.status", "ok"),
    ("gitlab", "scan.start_time", "2026-11-23T13:59:14Z"), ("gitlab", "scan.end_time", "2026-11-23 13:59:14"),
    ("gitlab", "scan.analyzer.id", ""), ("gitlab", "scan.scanner.version", ""),
    ("gitlab", "scan.analyzer.vendor", "me"), ("gitlab", "scan.scanned_resources.0.url", ""),
    ("gitlab", "scan.scanned_resources.0.type", "file"), ("gitlab", "scan.messages.0.level", "error"),
    ("gitlab", "scan.messages.0.value", ""), ("gitlab", f"{VULNERABILITY}.id", "v1"),
    ("gitlab", f"{VULNERABILITY}.name", "x" * 256), ("gitlab", f"{VULNERABILITY}.solution", "x" * 7_001),
    ("gitlab", f"{VULNERABILITY}.description", "x" * 1_048_577),
    ("gitlab", f"{VULNERABILITY}.severity", "high"), ("gitlab", f"{VULNERABILITY}.identifiers", []),
    ("gitlab", f"{VULNERABILITY}.identifiers.0.value", ""),
    ("gitlab", f"{VULNERABILITY}.identifiers.1.url", "cwe.mitre.org"),
    ("gitlab", f"{VULNERABILITY}.links.0.url", "javascript:x"),
    ("gitlab", f"{VULNERABILITY}.location.hostname", "shop.test"),
    ("gitlab", f"{VULNERABILITY}.location.path", "search"),
    ("gitlab", f"{VULNERABILITY}.evidence.request.method", ""),
    ("gitlab", f"{VULNERABILITY}.evidence.request.headers.0.name", ""),
    ("gitlab", f"{VULNERABILITY}.evidence.response.status_code", "200"),
    ("gitlab", f"{VULNERABILITY}.evidence.supporting_messages.0.name", ""),
    ("gitlab", f"{VULNERABILITY}.details.payload.type", "payload"),
    ("codequality", "0.severity", "high"), ("codequality", "0.location.path", "./tests/a.py"),
    ("codequality", "0.location.path", "/tests/a.py"), ("codequality", "0.location.lines.begin", 0),
    ("codequality", "0.location.lines.begin", "9"), ("codequality", "0.fingerprint", ""),
    ("codequality", "0.description", ""),
    ("sarif", "version", "2.0.0"), ("sarif", "runs", []), ("sarif", f"{PLACE}.region.startLine", 0),
    ("sarif", f"{PLACE}.artifactLocation.uri", "https://shop.test/search"),
    ("sarif", f"{PLACE}.artifactLocation.uri", ""), ("sarif", f"{PLACE}.artifactLocation.uri", "/tests/a.py"),
    ("sarif", f"{PLACE}.artifactLocation.uri", "../a.py"), ("sarif", f"{RESULT}.locations", []),
    ("sarif", f"{RESULT}.message.text", ""), ("sarif", f"{RESULT}.level", "high"),
    ("sarif", f"{RULE}.properties.security-severity", 9.8),
    ("sarif", f"{RULE}.properties.security-severity", "11.0"),
    ("sarif", f"{RULE}.properties.precision", "confirmed"), ("sarif", f"{RULE}.properties.tags", ["xss"]),
    ("sarif", f"{RULE}.properties.tags", ["security", *(f"external/cwe/cwe-{n:03}" for n in range(20))]),
    ("sarif", f"{RULE}.fullDescription.text", "x" * 1_025), ("sarif", f"{RULE}.name", "x" * 256),
    ("sarif", f"{RULE}.help.markdown", ""), ("sarif", "runs.0.automationDetails.id", "fast"),
    ("sarif", "runs.0.invocations.0.startTimeUtc", "2026-11-23"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "value"), SPOILT, ids=[f"{n}-{p}" for n, p, _ in SPOILT])
def test_json_format_beyond_a_limit_of_its_reader_is_noticed(sample: Run, name: str, path: str, value: Any):
    document = copy.deepcopy(json.loads(REPORTS[name].render(sample)))
    holder, last = holder_of(document, path)
    assert last in holder if isinstance(last, str) else last < len(holder)
    holder[last] = value
    assert faults(name, document)


# SARIF


def sarif_run(run: Run, **options: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(REPORTS["sarif"].render(run, **options))["runs"][0]
    return log


def test_sarif_results_stand_at_the_functional_test_or_the_job_file(sample: Run):
    places = [
        (place["artifactLocation"]["uri"], place["region"]["startLine"])
        for result in sarif_run(sample)["results"]
        for place in [result["locations"][0]["physicalLocation"]]
    ]
    assert places == [
        ("tests/test_labels.py", 9), ("tests/test_catalogue.py", 41), (".github/workflows/fast.yml", 1),
        ("tests/test_reviews.py", 1), ("tests/test_account.py", 12),
    ]  # fmt: skip
    job = sarif_run(sample, job_file="ci/x y.yml")["results"][2]["locations"][0]["physicalLocation"]
    assert job["artifactLocation"]["uri"] == "ci/x%20y.yml"


def test_sarif_other_tests_that_reach_it_are_related_locations(sample: Run):
    related = sarif_run(sample)["results"][1]["relatedLocations"]
    assert [r["physicalLocation"]["region"]["startLine"] for r in related] == [58]


def test_sarif_fingerprint_is_the_findings_own(sample: Run):
    result = sarif_run(sample)["results"][0]
    fingerprint = next(f.fingerprint for f in sample.findings if f.id == "v5")
    assert result["partialFingerprints"] == {
        "fastFinding/v1": fingerprint,
        "primaryLocationLineHash": f"{fingerprint[:16]}:1",
    }


def test_sarif_rules_have_one_entry_a_type_and_results_name_it(sample: Run):
    run = sarif_run(
        replace(
            sample, findings=[*sample.findings, replace(sample.findings[0], id="v9", point="GET_z_value")]
        )
    )
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["ptrav", "rce", "redir", "sqli", "xss"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert rules[3]["properties"]["tags"] == ["security", "external/cwe/cwe-089"]
    assert rules[2]["properties"]["precision"] == "high"


@pytest.mark.parametrize(
    ("threat", "score"),
    [(1, "0.1"), (33, "3.3"), (34, "4.0"), (66, "6.6"), (67, "7.0"), (85, "8.5"), (90, "9.0"), (100, "10.0")],
)
def test_security_severity_on_githubs_scale(threat: int, score: str):
    assert sarif.security_severity(threat) == score


def test_sarif_of_cut_run_says_so(sample: Run):
    invocation = sarif_run(replace(sample, complete=False))["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert any("cut short" in n["message"]["text"] for n in invocation["toolExecutionNotifications"])
    assert any("Auth failed" in n["message"]["text"] for n in invocation["toolExecutionNotifications"])


def test_sarif_of_too_many_findings_keeps_the_worst_within_the_limit(
    sample: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sarif, "_MOST_RESULTS", 2)
    run = sarif_run(sample)
    assert [result["ruleId"] for result in run["results"]] == ["rce", "sqli"]
    assert "3 findings were left out" in json.dumps(run["invocations"])


def test_sarif_of_the_most_findings_stays_below_ten_megabytes_compressed(
    sample: Run, monkeypatch: pytest.MonkeyPatch
):
    """A twentieth of GitHub's 25,000 results, with as much of the room; bodies that do not compress."""
    noise = random.Random(7)
    monkeypatch.setattr(sarif, "_BODIES", sarif._BODIES // 20)
    evidence = sample.findings[0].evidence
    many = []
    for number in range(1_250):
        body = base64.b64encode(noise.randbytes(3_000))
        attack = replace(evidence.attack, response=b"HTTP/1.1 200 OK\r\n\r\n" + body)
        found = replace(sample.findings[0], id=f"v{number}", point=f"GET_{noise.random()}_value")
        many.append(replace(found, evidence=replace(evidence, attack=attack)))
    text = REPORTS["sarif"].render(replace(sample, findings=many))
    assert len(gzip.compress(text.encode())) < 10_000_000 / 20


def test_sarif_message_has_no_placeholder_and_no_link(sample: Run):
    finding = replace(sample.findings[0], title="see [this](http://x) at {}", route="/{}/x")
    text = sarif_run(replace(sample, findings=[finding]))["results"][0]["message"]["text"]
    assert text.startswith(r"see \[this\](http://x) at *: POST /*/x, point ")


def test_sarif_of_a_judged_run_tells_new_unchanged_and_suppressed(judged: Run):
    run = sarif_run(judged)
    facts = [(r["ruleId"], r["baselineState"], len(r.get("suppressions", []))) for r in run["results"]]
    assert facts == [
        ("rce", "unchanged", 0), ("sqli", "new", 0), ("ptrav", "unchanged", 0), ("xss", "unchanged", 0),
        ("redir", "new", 1),
    ]  # fmt: skip
    assert run["results"][-1]["suppressions"] == [
        {
            "kind": "external",
            "status": "accepted",
            "justification": "office network only (team-shop, until 2027-03-31)",
        }
    ]
    assert run["properties"]["verdict"]["rule"] == "FAST_FAIL_ON"
    assert faults("sarif", json.loads(REPORTS["sarif"].render(judged))) == []


# GitLab


@pytest.mark.parametrize("name", ["gitlab", "codequality", "curl", "pytest"])
def test_accepted_finding_is_in_no_report_that_cannot_say_so(judged: Run, name: str):
    (accepted,) = judged.accepted
    assert accepted.title in REPORTS["txt"].render(judged)
    text = REPORTS[name].render(judged)
    assert accepted.point not in text
    assert judged.findings[0].point in text


def test_gitlab_ids_survive_another_run_and_differ_between_findings(sample: Run):
    first = json.loads(REPORTS["gitlab"].render(sample))["vulnerabilities"]
    moved = [
        replace(f, id="other", places=[replace(f.place, url=f.place.url.replace("shop.test", "stage.test"))])
        for f in sample.findings
    ]
    second = json.loads(REPORTS["gitlab"].render(replace(sample, findings=moved)))["vulnerabilities"]
    assert [v["id"] for v in first] == [v["id"] for v in second]
    assert len({v["id"] for v in first}) == len(first)


def test_two_places_of_one_fingerprint_have_names_of_their_own(sample: Run):
    """The same flaw at two elements of an array."""
    found = next(f for f in sample.findings if "ARRAY_0" in f.point)
    run = replace(
        sample, findings=[found, replace(found, id="v9", point=found.point.replace("ARRAY_0", "ARRAY_1"))]
    )
    gitlab = json.loads(REPORTS["gitlab"].render(run))["vulnerabilities"]
    quality = json.loads(REPORTS["codequality"].render(run))
    hashes = [r["partialFingerprints"]["primaryLocationLineHash"] for r in sarif_run(run)["results"]]
    assert len({v["id"] for v in gitlab}) == len({q["fingerprint"] for q in quality}) == len(set(hashes)) == 2
    assert quality[0]["fingerprint"] == found.fingerprint


def test_gitlab_page_shows_the_answer_to_the_control_beside_that_to_the_attack(sample: Run):
    """It looks for the message called Recorded (ee/vulnerabilities, details.vue) that has headers."""
    finding = next(f for f in sample.findings if f.id == "v1")
    assert finding.evidence.control
    report = json.loads(REPORTS["gitlab"].render(replace(sample, findings=[finding])))
    messages = {m["name"]: m for m in report["vulnerabilities"][0]["evidence"]["supporting_messages"]}
    assert list(messages) == ["Unmodified", "Recorded", "Confirmation"]
    control = read_message(finding.evidence.control.response)
    assert messages["Recorded"]["response"]["body"] == control.body.decode()
    assert messages["Recorded"]["response"]["headers"][0]["value"] == control.fields[0][1]


def test_gitlab_lengths_of_huge_finding_are_cut(sample: Run):
    huge = "x" * 2_000_000
    attack = replace(sample.findings[0].evidence.attack, response=b"HTTP/1.1 200 OK\r\n\r\n" + huge.encode())
    finding = replace(
        sample.findings[0], title=huge, description=huge, remediation=huge,
        evidence=replace(sample.findings[0].evidence, attack=attack),
    )  # fmt: skip
    text = REPORTS["gitlab"].render(replace(sample, findings=[finding]))
    assert faults("gitlab", json.loads(text)) == []
    assert len(text) < 200_000


@pytest.mark.parametrize(
    ("state", "complete", "status"),
    [
        ("failed", True, "success"),
        ("passed", True, "success"),
        ("failed", False, "failure"),
        ("interrupted", True, "failure"),
    ],
)
def test_gitlab_scan_status(sample: Run, state: str, complete: bool, status: str):
    run = replace(sample, state=state, complete=complete)  # type: ignore[arg-type]
    assert json.loads(REPORTS["gitlab"].render(run))["scan"]["status"] == status


def test_gitlab_compressed_answer_is_readable(sample: Run):
    body = gzip.compress(b"<p>plain words</p>")
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    evidence = sample.findings[0].evidence
    finding = replace(
        sample.findings[0],
        evidence=replace(evidence, attack=replace(evidence.attack, response=head + chunked)),
    )
    (vulnerability,) = json.loads(REPORTS["gitlab"].render(replace(sample, findings=[finding])))[
        "vulnerabilities"
    ]
    assert vulnerability["evidence"]["response"]["body"] == "<p>plain words</p>"


# JUnit


def junit(run: Run) -> Any:
    return etree.fromstring(REPORTS["junit"].render(run).encode())


@pytest.mark.parametrize("run", ["sample", "hostile", "empty"])
def test_junit_is_xml_whose_counts_are_right(run: str, request: pytest.FixtureRequest):
    root = junit(request.getfixturevalue(run))
    for element in (root, *root.iter("testsuite")):
        for count, tag in (
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert int(element.get(count)) == len(list(element.iter(tag)))
    assert all(case.get("classname") and case.get("name") for case in root.iter("testcase"))


JUNIT = etree.XMLSchema(etree.parse(str(GOLDEN / "junit.xsd")))


@pytest.mark.parametrize("run", ["sample", "hostile", "empty", "judged"])
def test_junit_obeys_its_readers(run: str, request: pytest.FixtureRequest):
    JUNIT.assertValid(junit(request.getfixturevalue(run)))


@pytest.mark.parametrize(
    "path",
    [
        "@tests", "@failures", "@name", "testsuite/@name", "testsuite/@tests", "testsuite/@failures",
        "testsuite/@errors", "testsuite/@skipped", "testsuite/@time", "testsuite/@timestamp",
        "testsuite/testcase/@classname", "testsuite/testcase/@name", "testsuite/testcase/failure/@message",
        "testsuite/testcase/failure/@type", "testsuite/testcase/error/@message",
        "testsuite/testcase/skipped/@message",
    ],
)  # fmt: skip
def test_junit_without_a_required_attribute_is_noticed(sample: Run, path: str):
    root = junit(sample)
    elements, _, attribute = path.rpartition("@")
    element = root.find(elements.rstrip("/")) if elements else root
    del element.attrib[attribute]
    assert not JUNIT.validate(root)


def test_junit_read_by_a_consumer_has_every_finding_as_a_failure(sample: Run):
    suites = junitparser.JUnitXml.fromfile(io.BytesIO(REPORTS["junit"].render(sample).encode()))
    failed = [
        (case.name, r.type) for suite in suites for case in suite for r in case.result if r._tag == "failure"
    ]
    assert sorted(failed) == sorted((f"{f.point} {f.type}", f.type) for f in sample.findings)


def test_junit_case_points_at_the_functional_test(sample: Run):
    case = next(c for c in junit(sample).iter("testcase") if c.get("name") == "GET_q_value sqli")
    assert (case.get("file"), case.get("line")) == ("tests/test_catalogue.py", "41")
    assert case.find("failure").text.splitlines()[0] == "threat: HIGH (90), confirmed"


def test_junit_states_become_their_elements(sample: Run):
    root = junit(sample)
    assert {s.get("message") for s in root.iter("skipped")} >= {
        "the value is not XML",
        "a number cannot hold it",
    }
    assert {e.get("message") for e in root.iter("error")} == {
        "Auth failed: recorded 200, now 302 to /login",
        "Connection failed: the target closed the connection",
    }


def test_junit_accepted_finding_is_skipped_with_the_reason_and_no_failure(judged: Run):
    root = junit(judged)
    (accepted,) = judged.accepted
    name = f"{accepted.point} {accepted.type}"
    case = next(c for c in root.iter("testcase") if c.get("name") == name)
    assert [e.tag for e in case] == ["skipped"]
    assert case[0].get("message") == "accepted: office network only (team-shop, until 2027-03-31)"
    assert int(root.get("failures")) == len(judged.findings)


def test_junit_interrupted_baseline_is_not_counted_as_tested(sample: Run):
    check = replace(sample.checks[0], state="waiting", coverage=[], findings=[], error="")
    root = junit(replace(sample, checks=[check], findings=[]))
    assert [s.get("message") for s in root.iter("skipped")] == ["this baseline did not get to its end"]


def test_junit_baseline_skipped_as_a_whole_says_so(sample: Run):
    whole = PointCoverage(point="*", type="*", state="skipped", reason="duplicate of bl_1")
    check = replace(sample.checks[0], state="passed", coverage=[whole], findings=[])
    (case,) = junit(replace(sample, checks=[check], findings=[])).iter("testcase")
    assert (case.get("name"), case.find("skipped").get("message")) == (
        "whole request All types",
        "duplicate of bl_1",
    )


def test_junit_finding_of_unknown_baseline_is_not_lost(sample: Run):
    root = junit(replace(sample, checks=[]))
    assert len(list(root.iter("failure"))) == len(sample.findings)


# Markdown


def test_markdown_of_many_findings_stays_small(sample: Run):
    many = [replace(f, id=f"{f.id}-{n}", point=f"{f.point}{n}") for f in sample.findings for n in range(400)]
    text = REPORTS["markdown"].render(replace(sample, findings=many))
    assert len(text.encode()) < 1_000_000
    assert "1,950 more are in the HTML and JSON reports." in text


def test_markdown_hostile_text_stays_in_its_code_span(hostile: Run):
    page = lxml.html.fromstring(
        MarkdownIt("commonmark").enable("table").render(REPORTS["markdown"].render(hostile))
    )
    assert {element.tag for element in page.iter()} <= {
        "div", "h2", "blockquote", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "details",
        "summary", "ul", "li", "a", "pre",
    }  # fmt: skip
    assert all(link.get("href").startswith("https://cwe.mitre.org/") for link in page.iter("a"))
    for code in list(page.iter("code")):
        code.text = ""
    assert not re.search(r"@some|#12", page.xpath("string()"))
    (_, findings, coverage, timeline) = page.iter("table")
    assert {len(row) for row in findings.iter("tr")} == {5}
    assert {len(row) for row in coverage.iter("tr")} == {7}
    assert {len(row) for row in timeline.iter("tr")} == {4}


def test_markdown_code_span_with_backticks_cannot_be_left(sample: Run):
    finding = replace(sample.findings[0], point="a`b``c| d`")
    text = REPORTS["markdown"].render(replace(sample, findings=[finding]))
    assert "| ``` a`b``c\\| d` ``` |" in text


# curl and pytest


def test_curl_script_reads_secrets_from_the_environment_in_any_quotes():
    command = """curl -H 'Cookie: a=REDACTED-1' http://t/REDACTED-2 --data-raw 'it'"'"'s REDACTED-3'"""
    words = shlex.split(with_secrets(command))
    assert words == [
        "curl", "-H", "Cookie: a=${FAST_SECRET_1:?the secret REDACTED-1}",
        "http://t/${FAST_SECRET_2:?the secret REDACTED-2}", "--data-raw",
        "it's ${FAST_SECRET_3:?the secret REDACTED-3}",
    ]  # fmt: skip
    assert "'\"${FAST_SECRET_1" in with_secrets(command)


@pytest.mark.parametrize("run", ["sample", "hostile", "empty"])
def test_pytest_file_is_python_with_one_test_a_finding(run: str, request: pytest.FixtureRequest):
    given = request.getfixturevalue(run)
    text = REPORTS["pytest"].render(given)
    names: dict[str, Any] = {}
    exec(compile(text, "repro", "exec"), names)
    assert len([name for name in names if name.startswith("test_")]) == len(given.findings)


def test_pytest_file_checks_what_only_the_attack_shows(sample: Run):
    text = REPORTS["pytest"].render(sample)
    assert re.findall(r"assert (.*)", text) == [
        "b'30431' not in answer",
        "b'sqlite3.OperationalError: unrecognized token' not in answer",
        "b'root:x:0:0:root:/root:/bin/bash' not in answer",
        "b'<img src=x onerror=alert(4711)>' not in answer",
        "b'Location: https://f8a1.fast.test/' not in answer",
    ]


def evidence_of(sample: Run, **changes: Any) -> str:
    finding = sample.findings[0]
    evidence = replace(finding.evidence, matched="described, not quoted", **changes)
    text = REPORTS["pytest"].render(replace(sample, findings=[replace(finding, evidence=evidence)]))
    found = re.findall(r"assert (.*)|(pytest\.skip.*)", text.split("def test_", 1)[1])
    return "".join(found[0])


def test_pytest_file_without_quoted_evidence_takes_what_attack_and_confirmation_share(sample: Run):
    base = sample.findings[0].evidence
    page = b"HTTP/1.1 200 OK\r\nDate: now\r\n\r\n"
    assert base.control
    assert base.confirmation
    assert evidence_of(
        sample,
        attack=replace(base.attack, response=page + b"mark1\nORA-00933: not ended\nshop"),
        confirmation=replace(base.confirmation, response=page + b"mark2\nORA-00933: not ended\nshop"),
        control=replace(base.control, response=page + b"shop"),
    ) == "b'ORA-00933: not ended' not in answer"  # fmt: skip


def test_pytest_file_of_time_based_finding_measures_time(sample: Run):
    base = sample.findings[0].evidence
    assert base.control
    same = b"HTTP/1.1 200 OK\r\n\r\nshop"
    assert evidence_of(
        sample, attack=replace(base.attack, response=same, elapsed=5.1),
        control=replace(base.control, response=same, elapsed=0.1, status=base.attack.status),
        confirmation=None,
    ) == "seconds < 3.6"  # fmt: skip


def test_pytest_file_of_evidence_outside_the_answer_is_skipped(sample: Run):
    base = sample.findings[0].evidence
    assert evidence_of(sample, control=base.attack, confirmation=None).startswith("pytest.skip")


def test_markdown_and_txt_name_every_place_that_reaches_it(sample: Run):
    places = [Place(baseline=f"b{n}", method="GET", url="http://t/", test=f"t{n}.py::t") for n in range(3)]
    run = replace(sample, findings=[replace(sample.findings[0], places=places)])
    assert "`t0.py::t` +2" in REPORTS["markdown"].render(run)
    assert all(f"t{n}.py::t" in REPORTS["txt"].render(run) for n in range(3))

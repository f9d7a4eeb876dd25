"""What a CI is told of a run, seen by a platform that only listens."""

from dataclasses import replace
from pathlib import Path

import pytest

from fastci.cli.announce import announce
from fastci.config import parse_settings
from fastci.platforms import Context
from fastci.results import Evidence, Exchange, Finding, Place, Run


class Listening:
    name = "listening"
    annotates = True

    def __init__(self):
        self.told = {}
        self.annotations = []
        self.pages = []
        self.published = []

    def context(self):
        return Context(job_file=".github/workflows/fast.yml")

    def outputs(self, values):
        self.told |= values

    def annotate(self, level, message, *, title="", file="", line=0):
        self.annotations.append((level, message, file, line))

    def summary(self, markdown):
        self.pages.append(markdown)

    def publish(self, **what):
        self.published.append(what)


def finding(number, threat=80, *, test=""):
    exchange = Exchange(request=b"GET / HTTP/1.1\r\n\r\n", response=b"", status=200, elapsed=0.1)
    return Finding(
        id=f"v{number}", type="xss", threat=threat, code="c", title="A value comes back as markup",
        description="", point=f"GET_q{number}_value", route="/items/{}", confidence="confirmed",
        evidence=Evidence(payload="<i>", matched="m", attack=exchange),
        places=[Place(baseline="bl_1", method="GET", url="http://app/items/1", test=test)],
    )  # fmt: skip


def told(*findings, reports=(), **environ):
    platform = Listening()
    run = Run(
        id="tr_0001", name="n", state="failed" if findings else "passed", record_id="rec_0007",
        record_name="", policy="default", target="", start_time=0, end_time=1, findings=list(findings),
    )  # fmt: skip
    announce(platform, parse_settings(environ), run, list(reports), Path("/r"))
    return platform


def test_outputs_name_the_run_and_its_files():
    reports = [Path(f"/r/n.1.{suffix}") for suffix in ("txt", "json", "html", "sarif", "junit.xml")]
    assert told(finding(1), reports=reports).told == {
        "rule": "",
        "verdict": "failed",
        "vulnerabilities": "1",
        "new-vulnerabilities": "1",
        "test-record": "rec_0007",
        "report-dir": "/r",
        "sarif-file": "/r/n.1.sarif",
        "junit-file": "/r/n.1.junit.xml",
        "html-file": "/r/n.1.html",
    }


def test_outputs_count_as_new_what_the_earlier_results_lack():
    compared = [replace(finding(1), status="new"), replace(finding(2), status="unchanged")]
    outputs = told(*compared).told
    assert (outputs["vulnerabilities"], outputs["new-vulnerabilities"]) == ("2", "1")


def test_outputs_of_a_report_that_was_not_made_are_empty():
    assert told(reports=[Path("/r/n.1.html")]).told["sarif-file"] == ""


@pytest.mark.parametrize(
    ("test", "place"),
    [
        ("tests/shop.spec.ts:14:5 > logs in", ("tests/shop.spec.ts", 14)),
        ("ShopTest logs in", (".github/workflows/fast.yml", 1)),
        ("", (".github/workflows/fast.yml", 1)),
    ],
)
def test_annotation_stands_at_the_functional_test_else_at_the_job_file(test, place):
    ((level, message, *where),) = told(finding(1, test=test)).annotations
    assert (level, tuple(where)) == ("error", place)
    assert "GET /items/{}, GET_q1_value" in message


def test_annotations_of_many_findings_end_with_how_many_more_there_are():
    platform = told(*(finding(number) for number in range(25)), finding(99, 20))
    levels = [level for level, *_ in platform.annotations]
    assert levels == ["error"] * 10 + ["notice"]
    assert platform.annotations[9][1] == "16 more of this severity are in the reports"


def test_annotations_that_all_fit_are_all_shown():
    assert len(told(*(finding(number) for number in range(10))).annotations) == 10


def test_annotation_shows_what_would_act_in_a_log():
    evidence = replace(finding(1).evidence, payload="\x1b[2J\n::error::x")
    ((_, message, *_),) = told(replace(finding(1), evidence=evidence)).annotations
    assert message.splitlines()[-1] == r"payload: \x1b[2J\n::error::x"


def test_log_without_annotations_is_not_told_every_finding_twice(monkeypatch):
    monkeypatch.setattr(Listening, "annotates", False)
    assert told(finding(1)).annotations == []


def test_nothing_is_published_that_nobody_asked_for():
    platform = told(finding(1), reports=[Path("/r/n.1.sarif")])
    assert platform.published == []
    assert "1 vulnerability found" in platform.pages[0]


def test_comment_and_code_scanning_are_published_where_they_are_asked_for():
    platform = told(
        finding(1), reports=[Path("/r/n.1.sarif")], FAST_COMMENT="true", FAST_UPLOAD_SARIF="true",
        TEST_RUN_NAME="chrome",
    )  # fmt: skip
    assert platform.published == [
        {"name": "chrome", "comment": platform.pages[0], "sarif": Path("/r/n.1.sarif")}
    ]

"""The sample run in each format, as a person read and approved it; FAST_UPDATE_GOLDEN=1 writes them anew."""

import json
from collections.abc import Callable

import pytest

from fastci.reports import REPORTS, redacted
from fastci.results import Run

Golden = Callable[[str, str], None]


@pytest.mark.parametrize("name", ["txt", "junit", "markdown", "curl"])
def test_report_of_sample_equals_golden(sample: Run, golden: Golden, name: str):
    golden(f"sample.{REPORTS[name].suffix}", REPORTS[name].render(redacted(sample)))


@pytest.mark.parametrize("name", ["txt", "markdown"])
def test_report_of_a_judged_run_equals_golden(judged: Run, golden: Golden, name: str):
    golden(f"judged.{REPORTS[name].suffix}", REPORTS[name].render(redacted(judged)))


def test_pytest_file_of_sample_equals_golden(sample: Run, golden: Golden):
    golden("sample.repro.py.txt", REPORTS["pytest"].render(redacted(sample)))


@pytest.mark.parametrize("name", ["sarif", "gitlab", "codequality"])
def test_json_report_of_sample_equals_golden(sample: Run, golden: Golden, name: str):
    document = json.loads(REPORTS[name].render(redacted(sample)))
    golden(f"sample.{REPORTS[name].suffix}", json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def test_txt_of_empty_run_equals_golden(empty: Run, golden: Golden):
    golden("empty.txt", REPORTS["txt"].render(empty))

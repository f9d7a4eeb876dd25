from dataclasses import replace

import pytest

from fastci.reports.source import Source, source_of, sources_of
from fastci.results import Place, Run


@pytest.mark.parametrize(
    ("test", "path", "line"),
    [
        ("tests/test_a.py:42", "tests/test_a.py", 42),
        ("tests/test_a.py::test_b", "tests/test_a.py", 1),
        ("tests/test_a.py::TestB::test_c[x:1]", "tests/test_a.py", 1),
        ("tests/test_a.py:42::test_b", "tests/test_a.py", 42),
        ("./e2e/login.spec.ts:14:5 > signs in", "e2e/login.spec.ts", 14),
        ("tests\\win\\test_a.py::test_b", "tests/win/test_a.py", 1),
        ("my tests/a b.py:3", "my tests/a b.py", 3),
    ],
)
def test_source_of_a_test_file_is_its_place(test: str, path: str, line: int):
    assert source_of(test) == Source(path=path, line=line, test=test)


@pytest.mark.parametrize(
    "test",
    [
        "", "signs in", "com.shop.CartTest#checkout", "com.shop.CartTest", "tests/test_a.py",
        "/abs/test_a.py:3", "../other/test_a.py:3", "a/../../b.py:3", "http://shop.test/x.py:80",
        "10.0.0.1:8080", "C:\\tests\\a.py:3",
        "a//b.py:3", "tests/a\x1b.py:3", "x" * 5000, "test_a.py:0",
    ],
)  # fmt: skip
def test_source_of_what_is_no_repository_file_is_none(test: str):
    assert source_of(test) is None


def test_sources_of_finding_each_test_once_first_first(sample: Run):
    places = [
        Place(baseline="b", method="GET", url="http://t/", test=test)
        for test in ("b.py:2", "", "a.py:1", "b.py:2", "words")
    ]
    finding = replace(sample.findings[0], places=places)
    assert [source.path for source in sources_of(finding, "job.yml")] == ["b.py", "a.py"]


def test_sources_of_finding_without_a_test_is_the_job_file(sample: Run):
    finding = replace(sample.findings[0], places=[Place(baseline="b", method="GET", url="http://t/")])
    assert sources_of(finding, "job.yml") == [Source(path="job.yml", line=1)]

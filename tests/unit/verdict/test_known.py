"""Known findings: the file, and what it does to a run."""

import datetime
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_runs import finding, run

from fastci.errors import UsageError
from fastci.results import Acceptance
from fastci.verdict.known import acceptance_of, apply_known, load_known, save_known

TODAY = datetime.date(2026, 6, 15)


def entry(fingerprint: str, expires: str = "") -> Acceptance:
    return Acceptance(fingerprint=fingerprint, reason="r", owner="o", expires=expires)


def test_known_finding_leaves_the_ones_that_count():
    first, second = finding(), finding(point="GET_r_value")
    judged = apply_known(run(first, second), [entry(first.fingerprint)], TODAY)
    assert [f.point for f in judged.findings] == ["GET_r_value"]
    assert [f.acceptance for f in judged.accepted] == [entry(first.fingerprint)]
    assert judged.absent == []


@pytest.mark.parametrize(
    ("expires", "counts"), [("", False), ("2026-06-15", False), ("2026-06-16", False), ("2026-06-14", True)]
)
def test_known_finding_holds_to_the_end_of_its_last_day(expires: str, counts: bool):
    one = finding()
    judged = apply_known(run(one), [entry(one.fingerprint, expires)], TODAY)
    assert bool(judged.findings) is counts
    assert [f.acceptance for f in (*judged.findings, *judged.accepted)] == [entry(one.fingerprint, expires)]


def test_known_finding_that_vanished_is_absent():
    gone = entry("f" * 32)
    assert apply_known(run(finding()), [gone], TODAY).absent == [gone]


def test_known_findings_applied_again_start_anew():
    one = finding()
    judged = apply_known(run(one), [entry(one.fingerprint)], TODAY)
    again = apply_known(judged, [], TODAY)
    assert [f.fingerprint for f in again.findings] == [one.fingerprint]
    assert again.accepted == []
    assert again.findings[0].acceptance is None


def test_known_file_written_and_read_same_entries(tmp_path: Path):
    path = tmp_path / "deep" / "known.yml"
    entries = [
        acceptance_of(finding(), reason='until: the "rewrite" #1\nü', owner="- x", expires="2026-12-31"),
        entry("a" * 32),
    ]
    save_known(path, entries)
    assert load_known(path) == entries
    assert path.read_text().startswith("# Findings that do not fail the build.")


@settings(deadline=None)
@given(reason=st.text(min_size=1), owner=st.text(min_size=1))
@example(reason="0", owner="0\x850")
def test_known_file_any_words_survive(tmp_path_factory: pytest.TempPathFactory, reason: str, owner: str):
    path = tmp_path_factory.getbasetemp() / "known.yml"
    one = replace(entry("b" * 32), reason=reason, owner=owner)
    if not reason.strip() or not owner.strip():
        return
    save_known(path, [one])
    assert load_known(path) == [replace(one, reason=reason.strip(), owner=owner.strip())]


def test_known_file_that_is_not_there_holds_nothing(tmp_path: Path):
    assert load_known(tmp_path / "none.yml") == []


def test_known_file_faults_are_told_all_at_once(tmp_path: Path):
    path = tmp_path / "known.yml"
    path.write_text(
        "findings:\n- fingerprint: xyz\n  reson: typo\n  owner: o\n  expires: 2026-13-01\n- 7\n"
        + f"- {{fingerprint: {'c' * 32}, reason: r, owner: o}}\n" * 2
    )
    with pytest.raises(UsageError) as caught:
        load_known(path)
    assert caught.value.why.split("; ") == [
        "line 2: there is no 'reson', perhaps you meant reason",
        "line 2: the entry has no reason",
        "line 2: fingerprint 'xyz' is not 32 hexadecimal digits",
        "line 2: expires '2026-13-01' is no day like 2026-12-31",
        "line 6: an entry is a mapping",
        f"line 8: {'c' * 32} is there twice",
    ]


@pytest.mark.parametrize("text", ["[1, 2]", "findings: 3", "a: [", "\x00"])
def test_known_file_of_another_kind_is_refused_by_name(tmp_path: Path, text: str):
    path = tmp_path / "known.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"known\.yml"):
        load_known(path)

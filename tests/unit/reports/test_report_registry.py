import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

import fastci.reports
from fastci.errors import ExitStatus, TechnicalError, UsageError
from fastci.reports import REPORTS, Report, safe_name, write_reports
from fastci.reports.view import View
from fastci.results import Run, parse_document


def test_registry_every_format_writes_its_file_of_one_stem(sample: Run, tmp_path: Path):
    paths = write_reports(sample, tmp_path / "deep" / "er", "TestRun Nov 23.1795442530", REPORTS)
    assert [path.name for path in paths] == [
        f"TestRun Nov 23.1795442530.{r.suffix}" for r in REPORTS.values()
    ]
    assert sorted(path.name for path in (tmp_path / "deep" / "er").iterdir()) == sorted(p.name for p in paths)
    assert all(path.stat().st_size for path in paths)


def test_registry_names_documented_for_fast_are_txt_and_json(sample: Run, tmp_path: Path):
    names = [path.name for path in write_reports(sample, tmp_path, "n.1", ("txt", "json"))]
    assert names == ["n.1.txt", "n.1.json"]


def test_write_reports_file_can_be_read_by_others(sample: Run, tmp_path: Path):
    (path,) = write_reports(sample, tmp_path, "n", ["txt"])
    probe = tmp_path / "probe"
    probe.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(probe.stat().st_mode)


def test_write_reports_json_read_back_is_the_redacted_run(sample: Run, tmp_path: Path):
    (path,) = write_reports(sample, tmp_path, "n", ["json"])
    run = parse_document(json.loads(path.read_text()), source="n")
    assert run == fastci.reports.redacted(sample) != sample


def test_write_reports_redaction_off_keeps_everything(sample: Run, tmp_path: Path):
    (path,) = write_reports(sample, tmp_path, "n", ["json"], redact=False)
    assert parse_document(json.loads(path.read_text()), source="n") == sample


@pytest.mark.parametrize("run", ["sample", "judged", "hostile", "empty"])
def test_every_report_made_again_of_the_results_file_is_the_same(
    run: str, tmp_path: Path, request: pytest.FixtureRequest
):
    # Pydantic replaces halves of characters in keys; the recorder's are kinds and hosts.
    given = replace(request.getfixturevalue(run), seen={"upgrade shop.test": 2})
    paths = write_reports(given, tmp_path, "n", REPORTS)
    first = {path.name: path.read_bytes() for path in paths}
    again = parse_document(json.loads(first["n.json"]), source="n")
    assert {path.name: path.read_bytes() for path in write_reports(again, tmp_path, "n", REPORTS)} == first


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_report_of_an_empty_cut_run_is_written(empty: Run, name: str, tmp_path: Path):
    (path,) = write_reports(empty, tmp_path, "n", [name])
    assert path.stat().st_size


@pytest.mark.parametrize("name", sorted(set(REPORTS) - {"json"}))
def test_report_rendered_twice_is_the_same(sample: Run, name: str):
    render = REPORTS[name].render
    assert render(sample) == render(replace(sample, findings=sample.findings[::-1]))


@pytest.mark.parametrize("name", sorted(set(REPORTS) - {"json", "html"}))
def test_report_of_hostile_run_has_nothing_that_acts_on_a_terminal(hostile: Run, name: str):
    text = REPORTS[name].render(hostile)
    assert not [c for c in text if c not in "\n\t" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0)]
    assert not [c for c in "\u202e\u2028\u200b\ufffe\udc80\ud800" if c in text]


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_report_of_hostile_run_is_written_as_utf_8(hostile: Run, name: str, tmp_path: Path):
    (path,) = write_reports(hostile, tmp_path, "n", [name])
    path.read_text(encoding="utf-8")


def test_write_reports_unknown_format_refused_before_anything_is_written(sample: Run, tmp_path: Path):
    with pytest.raises(UsageError, match="no report format 'sarrif'") as caught:
        write_reports(sample, tmp_path, "n", ["txt", "sarrif"])
    assert "perhaps you meant sarif" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("TestRun Sep 24 12:31 UTC.1", "TestRun Sep 24 12.31 UTC.1.txt"),
        ("../../etc/passwd", "_.._etc_passwd.txt"),
        ("a/b\\c\x00d\x1b\n", "a_b_c_d_.txt"),
        ("..", "report.txt"),
        ("", "report.txt"),
        (".hidden", "hidden.txt"),
        ("\ud800", "_.txt"),
    ],
)
def test_safe_name_of_any_stem_stays_in_the_folder(stem: str, name: str):
    assert safe_name(stem, "txt") == name


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_safe_name_of_long_stem_fits_a_file_system(character: str, sample: Run, tmp_path: Path):
    (path,) = write_reports(sample, tmp_path, character * 400, ["gitlab"])
    assert path.name.startswith(character * 20)
    assert path.name.endswith(".gl-dast-report.json")


def test_write_reports_folder_is_a_file_says_what_to_do(sample: Run, tmp_path: Path):
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(TechnicalError) as caught:
        write_reports(sample, tmp_path / "reports", "n", ["txt"])
    assert caught.value.lines() == [
        f"error: reports cannot be written to {tmp_path / 'reports'}",
        "  why: File exists",
        "  to do: a file is in the way: remove it, or choose another folder",
    ]
    assert caught.value.status is ExitStatus.TECHNICAL


def test_write_reports_failed_write_leaves_the_old_file_whole(sample: Run, tmp_path: Path):
    write_reports(sample, tmp_path, "n", ["txt"])
    before = (tmp_path / "n.txt").read_text()
    (tmp_path / ".n.txt.part").mkdir()
    with pytest.raises(TechnicalError, match="cannot be written"):
        write_reports(replace(sample, name="other"), tmp_path, "n", ["txt"])
    assert (tmp_path / "n.txt").read_text() == before


def test_write_reports_new_file_does_not_change_under_a_reader_of_the_old_one(sample: Run, tmp_path: Path):
    (path,) = write_reports(sample, tmp_path, "n", ["txt"])
    with path.open() as old:
        first = old.read(20)
        write_reports(replace(sample, name="other"), tmp_path, "n", ["txt"])
        assert "5. LOW (30) Open redirect" in first + old.read()
    assert path.read_text().startswith("other: ")


def test_write_reports_broken_format_does_not_take_the_others(
    sample: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(view: View) -> str:
        raise KeyError(view.run.id)

    monkeypatch.setattr(fastci.reports, "REPORTS", {**REPORTS, "new": Report("new", "new", "new", broken)})
    with pytest.raises(TechnicalError, match="1 of 3 reports could not be made") as caught:
        write_reports(sample, tmp_path, "n", ["txt", "new", "json"])
    assert "new: KeyError: 'tr_0001'" in caught.value.why
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.json", "n.txt"]


def test_write_reports_job_file_reaches_the_formats_that_point_at_lines(sample: Run, tmp_path: Path):
    write_reports(sample, tmp_path, "n", ["sarif", "codequality"], job_file="ci/nightly.yml")
    assert '"ci/nightly.yml"' in (tmp_path / "n.sarif").read_text()
    assert '"ci/nightly.yml"' in (tmp_path / "n.gl-code-quality-report.json").read_text()

"""`fastci policy list` and `fastci policy check`; `explain` is in tests/e2e, held against a run."""

from pathlib import Path

import pytest

from fastci import cli


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["policy", *arguments])
    return int(caught.value.code or 0)


def test_list_shows_shipped_policies_and_those_of_the_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "shop.yml").write_text(
        "name: Shop\ntags: [nightly]\nattacks: {types: [xss, sqli]}"
    )
    assert ended("list", "--workspace", str(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["default", "quick", "shop", "thorough"]
    assert lines[2].split(None, 1)[1] == "Shop: sqli, xss  [nightly]"


def test_check_names_every_fault_of_every_file_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("good.yml").write_text("name: Good")
    Path("bad.yml").write_text("nam: Bad\nattacks: {types: [xsss]}")
    Path("worse.yml").write_text("tags: [a\n")
    assert ended("check", "good.yml", "bad.yml", "worse.yml") == 2
    assert [line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "good.yml:", "bad.yml:1:", "bad.yml:2:", "worse.yml:2:",
    ]  # fmt: skip
    assert ended("check", "good.yml") == 0


def test_explain_without_a_record_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert ended("explain", "--workspace", str(tmp_path)) == 2
    assert "there is no test record" in capsys.readouterr().err

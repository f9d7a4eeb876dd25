"""GIT_EXTENSIONS: a real repository, read at its root only."""

import subprocess
from pathlib import Path

import pytest

from fastci.errors import TechnicalError
from fastci.node.dsl import clone_extensions

EXTENSION = "meta-info: {type: info}\ndetect: {response: [{status: 599}]}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "extensions"
    (folder / "below").mkdir(parents=True)
    (folder / "one.yaml").write_text(EXTENSION)
    (folder / "below" / "two.yaml").write_text(EXTENSION)
    (folder / "broken.yml").write_text("meta-info: {type: nonsense}\ndetect: {response: [{status: 599}]}\n")
    (folder / "README.md").write_text("not an extension\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t.test", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "extensions"]):
        subprocess.run([*git, *words], check=True)
    return folder


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_repository_gives_the_extensions_of_its_root_and_names_broken_ones(repository: Path, form: str):
    extensions, faults = clone_extensions(form.format(repository))
    assert [extension.name for extension in extensions] == ["one"]
    assert [fault.split(":")[0] for fault in faults] == ["broken.yml"]


@pytest.mark.parametrize("url", ["/nowhere/at/all", "http://127.0.0.1:1/x.git"])
def test_repository_that_cannot_be_had_is_a_technical_error(url: str):
    with pytest.raises(TechnicalError, match="GIT_EXTENSIONS cannot be cloned"):
        clone_extensions(url)

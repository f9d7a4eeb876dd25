import io
import tarfile

import pytest

from fastci.lifecycle.image import build_context, image_tag


@pytest.fixture
def source(tmp_path):
    for name in (
        "lifecycle/context/Dockerfile",
        "lifecycle/context/image.txt",
        "cli.py",
        "node/detects/a.yaml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def names(context):
    return tarfile.open(fileobj=io.BytesIO(context)).getnames()


def test_context_holds_what_the_dockerfile_copies(source):
    (source / "templates").mkdir()
    (source / "templates/example.yml").write_text("not copied")
    assert names(build_context(source)) == [
        "Dockerfile", "fastci/cli.py", "fastci/lifecycle/context/Dockerfile",
        "fastci/lifecycle/context/image.txt", "fastci/node/detects/a.yaml", "locked/image.txt",
    ]  # fmt: skip


def test_context_leaves_compiled_files_out(source):
    (source / "__pycache__").mkdir()
    (source / "__pycache__/cli.pyc").write_text("x")
    (source / "old.pyc").write_text("x")
    assert not [name for name in names(build_context(source)) if name.endswith(".pyc")]


def test_context_of_touched_but_equal_files_is_the_same(source):
    before = build_context(source)
    (source / "cli.py").write_text("cli.py")
    (source / "cli.py").chmod(0o755)
    assert build_context(source) == before


def test_tag_changes_with_source_and_base(source):
    before = image_tag(build_context(source), "python:3.13")
    assert image_tag(build_context(source), "python:3.12") != before
    (source / "cli.py").write_text("changed")
    assert image_tag(build_context(source), "python:3.13") != before

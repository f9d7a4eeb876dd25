import io
import tarfile

import pytest

from fastci.lifecycle.image import build_context, image_tag, source_root


@pytest.fixture
def source(tmp_path):
    for name in ("Dockerfile", "locked/image.txt", "fastci/cli.py", "fastci/node/detects/a.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def names(context):
    return tarfile.open(fileobj=io.BytesIO(context)).getnames()


def test_context_holds_what_the_dockerfile_copies(source):
    (source / "README.md").write_text("not copied")
    assert names(build_context(source)) == [
        "Dockerfile", "fastci/cli.py", "fastci/node/detects/a.yaml", "locked/image.txt",
    ]  # fmt: skip


def test_context_leaves_compiled_files_out(source):
    (source / "fastci/__pycache__").mkdir()
    (source / "fastci/__pycache__/cli.pyc").write_text("x")
    (source / "fastci/old.pyc").write_text("x")
    assert "fastci/__pycache__/cli.pyc" not in names(build_context(source))
    assert "fastci/old.pyc" not in names(build_context(source))


def test_context_of_touched_but_equal_files_is_the_same(source):
    before = build_context(source)
    (source / "fastci/cli.py").write_text("fastci/cli.py")
    (source / "fastci/cli.py").chmod(0o755)
    assert build_context(source) == before


def test_tag_changes_with_source_and_base(source):
    before = image_tag(build_context(source), "python:3.13")
    assert image_tag(build_context(source), "python:3.12") != before
    (source / "fastci/cli.py").write_text("changed")
    assert image_tag(build_context(source), "python:3.13") != before


def test_source_root_of_a_checkout_is_where_the_dockerfile_lies():
    root = source_root()
    assert root is not None
    assert (root / "Dockerfile").is_file()

import io
import tarfile
from pathlib import PurePosixPath

import pytest

from fastci.lifecycle.archive import pack, unpack
from fastci.lifecycle.runtime import NodeFile, Place

FOLDERS = {place: PurePosixPath(place) for place in (Place.RECORDS, Place.REPORTS)}


def chunks_of(archive, size=100):
    content = archive.getvalue()
    return iter([content[at : at + size] for at in range(0, len(content), size)])


def entry(name, content=b"", **facts):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for fact, value in facts.items():
        setattr(info, fact, value)
    return info, io.BytesIO(content)


def tar_of(*entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, content in entries:
            archive.addfile(info, content)
    return buffer


def test_packed_files_belong_to_the_node_and_are_for_it_alone(tmp_path):
    (tmp_path / "rec_0001.sqlite").write_bytes(b"record")
    file = NodeFile(place=Place.RECORDS, source=tmp_path / "rec_0001.sqlite")
    with pack([file], FOLDERS, owner=10001) as stream, tarfile.open(fileobj=stream) as archive:
        facts = {m.name: (m.uid, m.gid, m.mode, m.isdir()) for m in archive}
        assert archive.extractfile("records/rec_0001.sqlite").read() == b"record"
    assert facts["records"] == (10001, 10001, 0o755, True)
    assert facts["records/rec_0001.sqlite"] == (10001, 10001, 0o600, False)


def test_unpacked_files_are_written_whole_from_chunks_of_any_size(tmp_path):
    content = bytes(range(256)) * 1000
    archive = tar_of(entry("reports/a.json", content), entry("reports/b.txt", b"b"))
    paths = unpack(chunks_of(archive, 777), tmp_path)
    assert [path.name for path in paths] == ["a.json", "b.txt"]
    assert (tmp_path / "a.json").read_bytes() == content


def test_unpacked_archive_brings_only_plain_files_of_the_top(tmp_path):
    outside = tmp_path / "outside"
    folder = tmp_path / "in"
    folder.mkdir()
    archive = tar_of(
        entry("reports", type=tarfile.DIRTYPE),
        entry("reports/deep/a.txt", b"a"),
        entry("reports/../outside", b"evil"),
        entry("../outside", b"evil"),
        entry("/reports/../../outside", b"evil"),
        entry("reports/link", type=tarfile.SYMTYPE, linkname=str(outside)),
        entry("reports/empty", b""),
        entry("reports/good.txt", b"good"),
    )
    assert [path.name for path in unpack(chunks_of(archive), folder)] == ["good.txt"]
    assert not outside.exists()


def test_unpacked_file_replaces_a_link_instead_of_writing_through_it(tmp_path):
    (tmp_path / "precious").write_text("precious")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").symlink_to(tmp_path / "precious")
    unpack(chunks_of(tar_of(entry("reports/a.txt", b"new"))), folder)
    assert (folder / "a.txt").read_text() == "new"
    assert (tmp_path / "precious").read_text() == "precious"


def test_unpacked_archive_cut_short_is_an_error(tmp_path):
    archive = tar_of(entry("reports/a.txt", b"x" * 5000))
    cut = iter([archive.getvalue()[:2000]])
    with pytest.raises(tarfile.TarError):
        unpack(cut, tmp_path)

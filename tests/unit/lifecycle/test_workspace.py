import pytest

from fastci.config import parse_settings
from fastci.errors import ExitStatus, FatalError, UsageError
from fastci.lifecycle.runtime import Place
from fastci.lifecycle.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / ".fast")
    made.prepare()
    return made


def names(files):
    return [(file.place, file.source.name) for file in files]


def test_prepare_where_a_file_is_in_the_way_names_folder_and_variable(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(FatalError) as caught:
        Workspace(tmp_path / ".fast", reports=tmp_path / "out").prepare()
    assert caught.value.status is ExitStatus.TECHNICAL
    assert str(tmp_path / "out") in caught.value.what
    assert "FAST_REPORTS" in caught.value.hint


def test_prepare_leaves_no_trace_of_its_trial(workspace):
    assert [path.name for path in workspace.reports.iterdir()] == []


def test_reserved_records_are_never_the_same(workspace):
    assert [workspace.reserve_record(), workspace.reserve_record()] == ["rec_0001", "rec_0002"]


def test_reserved_record_follows_the_highest_even_across_gaps(workspace):
    (workspace.records / "rec_0041.sqlite").write_text("x")
    assert workspace.reserve_record() == "rec_0042"


def test_reservation_given_up_is_free_again_but_a_record_stays(workspace):
    first = workspace.reserve_record()
    workspace.give_up(record_id=first)
    assert workspace.reserve_record() == first
    (workspace.records / f"{first}.sqlite").write_text("content")
    workspace.give_up(record_id=first)
    assert workspace.has_record(first)


def test_giving_nothing_up_removes_nothing(workspace):
    workspace.give_up()
    assert workspace.records.is_dir()


def test_record_files_bring_the_log_that_a_killed_node_left(workspace):
    for name in ("rec_0001.sqlite", "rec_0001.sqlite-wal", "rec_0002.sqlite", "rec_0010.sqlite"):
        (workspace.records / name).write_text("x")
    assert names(workspace.record_files("rec_0001")) == [
        (Place.RECORDS, "rec_0001.sqlite"),
        (Place.RECORDS, "rec_0001.sqlite-wal"),
    ]
    assert len(workspace.record_files()) == 4


def test_record_files_without_the_record_name_the_known_ones(workspace):
    (workspace.records / "rec_0002.sqlite").write_text("x")
    (workspace.records / "rec_0003.sqlite").write_text("")
    with pytest.raises(UsageError) as caught:
        workspace.record_files("rec_0001")
    assert "rec_0001" in caught.value.what
    assert caught.value.why == "known records: rec_0002"


def test_job_key_tells_workspaces_and_jobs_apart(tmp_path):
    one, other = Workspace(tmp_path / "a"), Workspace(tmp_path / "b")
    assert len({one.job_key(""), other.job_key(""), one.job_key("job 2")}) == 3
    assert one.job_key("") == Workspace(tmp_path / "a").job_key("")


def test_given_files_are_those_of_the_workspace(workspace):
    for name in ("extensions/a.yaml", "extensions/b.yml", "extensions/notes.txt", "auths/login.yaml"):
        (workspace.root / name).parent.mkdir(exist_ok=True)
        (workspace.root / name).write_text("x")
    assert names(workspace.given_files(parse_settings({}), set())) == [
        (Place.EXTENSIONS, "a.yaml"),
        (Place.EXTENSIONS, "b.yml"),
        (Place.AUTHS, "login.yaml"),
    ]


def test_given_files_of_a_named_folder_take_the_place_of_the_workspaces(workspace, tmp_path):
    (workspace.root / "extensions").mkdir()
    (workspace.root / "extensions/a.yaml").write_text("x")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/c.yaml").write_text("x")
    environ = {"FAST_EXTENSIONS": str(tmp_path / "own")}
    files = workspace.given_files(parse_settings(environ), set(environ))
    assert names(files) == [(Place.EXTENSIONS, "c.yaml")]


def test_given_policy_file_is_brought_and_its_variable_follows(workspace, tmp_path):
    (tmp_path / "mine.yml").write_text("x")
    environ = {"TEST_RUN_POLICY_ID": str(tmp_path / "mine.yml")}
    (file,) = workspace.given_files(parse_settings(environ), set(environ))
    assert (file.place, file.variable) == (Place.POLICIES, "TEST_RUN_POLICY_ID")


@pytest.mark.parametrize(
    "environ",
    [{"FAST_AUTHS": "/nowhere"}, {"FAST_EXTENSIONS": "/nowhere"}, {"TEST_RUN_POLICY_ID": "/nowhere.yml"}],
)
def test_given_file_that_is_not_there_is_named_with_its_variable(workspace, environ):
    with pytest.raises(UsageError) as caught:
        workspace.given_files(parse_settings(environ), set(environ))
    assert caught.value.what.startswith(f"{next(iter(environ))}: ")


def test_authority_files_are_brought_with_their_variables(workspace, tmp_path):
    for name in ("ca.crt", "ca.key"):
        (tmp_path / name).write_text("x")
    environ = {"CA_CERT": str(tmp_path / "ca.crt"), "CA_KEY": str(tmp_path / "ca.key")}
    files = workspace.authority_files(parse_settings(environ))
    assert [(file.place, file.variable) for file in files] == [
        (Place.AUTHORITY, "CA_CERT"),
        (Place.AUTHORITY, "CA_KEY"),
    ]


def test_written_environment_is_quoted_for_a_shell_and_plain_for_others(workspace):
    workspace.write_environment({"HTTP_PROXY": "http://127.0.0.1:9", "JAVA_TOOL_OPTIONS": "-Da=b -Dc='d'"})
    assert workspace.environment_file.read_text() == "HTTP_PROXY=http://127.0.0.1:9\n"
    assert "export JAVA_TOOL_OPTIONS='-Da=b -Dc='\"'\"'d'\"'\"''\n" in workspace.script_file.read_text()

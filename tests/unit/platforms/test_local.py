from fastci.platforms import PLATFORMS, detect_platform
from fastci.platforms.local import Local


def test_local_is_what_is_left_when_no_ci_is_known():
    assert detect_platform({}, lambda line: None).name == "local"
    assert PLATFORMS[-1] is Local


def test_local_annotation_names_file_and_line_as_compilers_do():
    lines = []
    Local({}, lines.append).annotate("error", "sqli at GET_q_value", title="FAST", file="tests/a.py", line=7)
    assert lines == ["tests/a.py:7: error: FAST: sqli at GET_q_value"]


def test_local_group_is_its_title():
    lines = []
    platform = Local({"BUILD_ID": "b1"}, lines.append)
    with platform.group("testing"):
        lines.append("inside")
    assert lines == ["testing", "inside"]
    assert platform.context().build_id == "b1"

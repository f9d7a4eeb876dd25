from pathlib import Path

import pytest

from fastci.errors import ConfigurationError, UsageError
from fastci.node.dsl import load_credentials
from fastci.node.message import parse_request

REQUEST = parse_request(
    b"POST /a?token=old HTTP/1.1\r\nHost: h\r\nAuthorization: Basic old\r\nCookie: sid=old; lang=en\r\n"
    b"Content-Type: application/json\r\nContent-Length: 16\r\n\r\n",
    b'{"user": "anna"}',
)


def write(folder: Path, text: str, name: str = "auth.yaml") -> Path:
    (folder / name).write_text(text)
    return folder


def test_credentials_replace_what_the_request_has(tmp_path: Path):
    folder = write(
        tmp_path,
        "modify:\n"
        "  - HEADER_AUTHORIZATION_value: Bearer new\n"
        "  - HEADER_COOKIE_COOKIE_sid_value: new\n"
        "  - GET_token_value: new\n"
        "  - POST_JSON_DOC_HASH_user_value: bert\n",
    )
    changed = load_credentials(folder).apply(REQUEST)
    assert changed.get(b"authorization") == b"Bearer new"
    assert changed.get(b"cookie") == b"sid=new; lang=en"
    assert (changed.target, changed.body) == (b"/a?token=new", b'{"user": "bert"}')


def test_credentials_add_a_header_and_a_cookie_that_are_absent(tmp_path: Path):
    folder = write(tmp_path, "modify: {HEADER_X-Api-Key_value: a}\n")
    assert load_credentials(folder).apply(REQUEST).get(b"x-api-key") == b"a"
    write(tmp_path, "modify: {HEADER_Cookie_COOKIE_jwt_value: b}\n")
    assert load_credentials(folder).apply(REQUEST).get(b"cookie") == b"sid=old; lang=en; jwt=b"
    bare = REQUEST.with_header(b"Cookie", None)
    assert load_credentials(folder).apply(bare).get(b"cookie") == b"jwt=b"


def test_credentials_never_add_a_parameter(tmp_path: Path):
    folder = write(tmp_path, "modify: {GET_absent_value: x}\n")
    assert load_credentials(folder).apply(REQUEST) == REQUEST


def test_credentials_absent_folder_or_file_change_nothing(tmp_path: Path):
    assert load_credentials(tmp_path / "nothing").apply(REQUEST) is REQUEST
    assert load_credentials(tmp_path).apply(REQUEST) is REQUEST


def test_credentials_two_files_refused(tmp_path: Path):
    write(write(tmp_path, "modify: {GET_a: b}\n"), "modify: {GET_a: b}\n", "other.yml")
    with pytest.raises(UsageError, match="more than one credentials file"):
        load_credentials(tmp_path)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("modify: [", "auth.yaml:"),
        ("detect: {}\n", "auth.yaml:1:1"),
        ("modify:\n  'GET_(': x\n", "auth.yaml:2:3"),
        ("", "auth.yaml:1:1: the file is empty"),
    ],
)
def test_credentials_broken_file_ends_the_run_with_its_place(tmp_path: Path, text: str, fault: str):
    with pytest.raises(ConfigurationError) as caught:
        load_credentials(write(tmp_path, text))
    assert caught.value.faults[0].startswith(fault)

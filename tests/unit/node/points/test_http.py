import pytest
from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, named, post, values

from fastci.node.points import list_points

NASTY = b"../\r\nX: y\0'\"<&%41\xff"


def test_path_parts_name_and_extension_are_told_apart():
    found = values(get(b"/main/login/index.php?x=1"))
    assert found["URI_value"] == b"/main/login/index.php"
    assert found["PATH_0_value"] == b"main"
    assert found["PATH_1_value"] == b"login"
    assert found["ACTION_NAME_value"] == b"index"
    assert found["ACTION_EXT_value"] == b"php"
    assert "PATH_2_value" not in found


def test_path_of_root_has_no_parts_and_an_empty_action():
    found = values(get(b"/"))
    assert found["ACTION_NAME_value"] == b""
    assert not [name for name in found if name.startswith(("PATH", "ACTION_EXT"))]


@pytest.mark.parametrize(
    ("target", "name", "ext"),
    [(b"/a/b.tar.gz", b"b", b"tar.gz"), (b"/a.b/", b"", None), (b"/.env", b"", b"env"), (b"/x.", b"x", b"")],
)
def test_action_splits_at_the_first_period(target: bytes, name: bytes, ext: bytes | None):
    found = values(get(target))
    assert found["ACTION_NAME_value"] == name
    assert found.get("ACTION_EXT_value") == ext


def test_target_in_absolute_form_path_begins_at_its_slash():
    request = get(b"http://shop.example/a/b?c=d")
    assert values(request)["URI_value"] == b"/a/b"
    assert values(request)["PATH_0_value"] == b"a"
    assert named(request)["PATH_0_value"].write(b"z").target == b"http://shop.example/z/b?c=d"


@pytest.mark.parametrize("target", [b"*", b"shop.example:443", b"http://shop.example"])
def test_target_without_path_has_no_path_points(target: bytes):
    assert not [p for p in list_points(get(target)) if p.name.startswith(("URI", "PATH", "ACTION"))]


def test_path_part_is_decoded_and_written_encoded():
    point = named(get(b"/a%20b/c"))["PATH_0_value"]
    assert point.value == b"a b"
    assert point.write(b"../etc/pass wd?x#%41").target == b"/..%2Fetc%2Fpass%20wd%3Fx%23%2541/c"
    assert point.write(b"../etc", raw=True).target == b"/../etc/c"


def test_path_part_keeps_the_recorded_spelling_of_what_stays():
    point = named(get(b"/%61%2fb/c"))["PATH_0_value"]
    assert point.write(point.value + b"'x y").target == b"/%61%2fb'x%20y/c"


def test_uri_keeps_what_a_target_may_hold_and_stays_rooted():
    point = named(get(b"/shop/a?q=1"))["URI_value"]
    assert point.write(b"/shop/a?&set").target == b"/shop/a?&set?q=1"
    assert point.write(b"assets/%2e%2e/z").target == b"/assets/%2e%2e/z?q=1"
    assert point.write(b'/a b<"\r\n').target == b"/a%20b%3C%22%0D%0A?q=1"


def test_method_written_only_with_characters_of_a_method():
    point = named(get(b"/"))["METHOD_value"]
    assert point.write(b"PURGE").method == b"PURGE"
    assert point.write(b"GET / HTTP/1.1\r\n").method == b"GET%20%2F%20HTTP%2F1.1%0D%0A"


def test_header_repeated_gets_an_index_and_is_found_by_either_case():
    found = values(get(b"/", b"X-Id: 1", b"x-id: 2", b"Accept: */*"), "HEADER")
    assert found == {
        "HEADER_X-Id_ARRAY_0_value": b"1",
        "HEADER_x-id_ARRAY_1_value": b"2",
        "HEADER_Accept_value": b"*/*",
    }


def test_header_written_changes_only_its_line():
    request = get(b"/", b"Host:  a ", b"X-A:1", b"x-a: 2")
    changed = named(request)["HEADER_x-a_ARRAY_1_value"].write(b"z")
    assert changed.head() == b"GET / HTTP/1.1\r\nHost:  a \r\nX-A:1\r\nx-a: z\r\n\r\n"


def test_header_line_ends_only_when_raw():
    point = named(get(b"/", b"X-A: 1"))["HEADER_X-A_value"]
    assert point.write(b"a\r\nB: c\0").head().count(b"\n") == 3
    assert b"X-A: a%0D%0AB: c%00\r\n" in point.write(b"a\r\nB: c\0").head()
    assert b"X-A: a\r\nB: c\r\n" in point.write(b"a\r\nB: c", raw=True).head()


def test_header_name_is_a_place_of_its_own():
    changed = named(get(b"/", b"X-A: 1"))["HEADER_X-A_name"].write(b"X B:\r\n'")
    assert changed.head() == b"GET / HTTP/1.1\r\nX%20B%3A%0D%0A': 1\r\n\r\n"


def test_body_is_one_document_and_absent_when_empty():
    point = named(post(b"plain text"))["POST_value"]
    assert (point.value, point.kind, point.layers) == (b"plain text", "document", ("POST",))
    assert point.write(b"longer than before").get(b"content-length") == b"18"
    assert not [p for p in list_points(post(b"")) if p.name.startswith("POST")]


def test_request_line_never_broken_by_an_escaped_write():
    for point in list_points(get(b"/a/b.c?d=e&f", b"Cookie: g=h", b"X: 1")):
        changed = point.write(NASTY)
        assert changed.head().count(b"\r\n") == 4, point.name
        assert b"\0" not in changed.head(), point.name
        assert b" " not in changed.target, point.name


segments = st.text(st.characters(codec="ascii", exclude_characters=" ?#\r\n"), max_size=12)


@given(
    st.lists(segments, max_size=4),
    st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"").strip()), max_size=3),
)
def test_any_request_round_trips(parts: list[str], headers: list[bytes]):
    lines = [b"X-%d: " % i + value for i, value in enumerate(headers)]
    assert_round_trip(get(b"/" + "/".join(parts).encode(), *lines))


@given(st.binary(max_size=30).filter(lambda v: b"." not in v))
def test_path_part_reads_back_what_was_written(value: bytes):
    written = named(get(b"/a/b"))["PATH_0_value"].write(value)
    assert values(written)["PATH_0_value"] == value

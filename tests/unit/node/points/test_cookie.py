from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, named, values


def test_cookies_are_found_in_their_header_only():
    found = values(get(b"/", b'Cookie: sid=abc; theme="dark red" ;n=', b"X: sid=abc"), "HEADER")
    assert found == {
        "HEADER_Cookie_value": b'sid=abc; theme="dark red" ;n=',
        "HEADER_Cookie_COOKIE_sid_value": b"abc",
        "HEADER_Cookie_COOKIE_theme_value": b"dark red",
        "HEADER_Cookie_COOKIE_n_value": b"",
        "HEADER_X_value": b"sid=abc",
    }


def test_cookie_written_changes_nothing_around_it():
    request = get(b"/", b'Cookie:a=1;  b="x";c = 3')
    assert (
        named(request)["HEADER_Cookie_COOKIE_b_value"].write(b"y z").get(b"cookie") == b'a=1;  b="y z";c = 3'
    )
    assert named(request)["HEADER_Cookie_COOKIE_c_value"].write(b"y").get(b"cookie") == b'a=1;  b="x";c = y'


def test_cookie_escapes_what_would_end_it():
    request = get(b"/", b"Cookie: a=1; b=2")
    changed = named(request)["HEADER_Cookie_COOKIE_a_value"].write(b"' or 1=1; -- \r\n")
    assert changed.get(b"cookie") == b"a=' or 1=1%3B -- %0D%0A; b=2"


def test_cookie_name_is_a_place_of_its_own():
    request = get(b"/", b"Cookie: a=1")
    assert named(request)["HEADER_Cookie_COOKIE_a_name"].write(b"x;y=").get(b"cookie") == b"x%3By%3D=1"


def test_cookie_holding_json_parses_on():
    request = get(b"/", b"Cookie: cart=%7B%22id%22%3A1%7D")
    point = named(request)["HEADER_Cookie_COOKIE_cart_PERCENT_JSON_DOC_HASH_id_value"]
    assert point.layers == ("HEADER", "COOKIE", "PERCENT", "JSON_DOC")
    assert point.write(b"a;b").get(b"cookie") == b"cart=%7B%22id%22%3A%22a%3Bb%22%7D"


@given(st.binary(max_size=60).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"").strip()))
def test_any_cookie_header_round_trips(value: bytes):
    assert_round_trip(get(b"/", b"Cookie: " + value))


@given(st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=20))
def test_cookie_reads_back_what_was_written(value: str):
    written = named(get(b"/", b"Cookie: a=1; b=2"))["HEADER_Cookie_COOKIE_a_value"].write(value.encode())
    assert values(written)["HEADER_Cookie_COOKIE_a_value"] == value.encode()

from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, named, post, values

from fastci.node.points import list_points

FORM = b"application/x-www-form-urlencoded"


def test_query_hash_and_array_are_named():
    found = values(get(b"/?id[user]=a&id[]=b&id[]=c&n=1&n=2&m[x][]=d&plain=e"), "GET")
    assert found == {
        "GET_id_HASH_user_value": b"a",
        "GET_id_ARRAY_0_value": b"b",
        "GET_id_ARRAY_1_value": b"c",
        "GET_n_ARRAY_0_value": b"1",
        "GET_n_ARRAY_1_value": b"2",
        "GET_m_HASH_x_ARRAY_0_value": b"d",
        "GET_plain_value": b"e",
    }


def test_query_brackets_are_read_in_their_encoded_form_too():
    assert values(get(b"/?u%5Bmail%5D=x"), "GET") == {"GET_u_HASH_mail_value": b"x"}


def test_form_body_is_named_like_the_query():
    found = values(post(b"id[]=01234&id[]=56789&u[a]=1&Uid=x%20y+z", FORM), "POST_FORM")
    assert found == {
        "POST_FORM_URLENCODED_id_ARRAY_0_value": b"01234",
        "POST_FORM_URLENCODED_id_ARRAY_1_value": b"56789",
        "POST_FORM_URLENCODED_u_HASH_a_value": b"1",
        "POST_FORM_URLENCODED_Uid_value": b"x y z",
    }


def test_write_escapes_everything_that_could_end_a_value():
    request = get(b"/?a=1&b=2")
    assert (
        named(request)["GET_a_value"].write(b"x&b=3#%41 +;'").target
        == b"/?a=x%26b%3D3%23%2541%20%2B%3B%27&b=2"
    )
    assert named(request)["GET_a_value"].write(b"x&y", raw=True).target == b"/?a=x&y&b=2"


def test_write_keeps_the_spelling_of_other_parameters():
    request = post(b"a=%7e~+%20&b=1&&c", FORM)
    changed = named(request)["POST_FORM_URLENCODED_b_value"].write(b"22")
    assert changed.body == b"a=%7e~+%20&b=22&&c"
    assert changed.get(b"content-length") == b"18"


def test_write_keeps_the_spelling_of_the_unchanged_ends_of_a_value():
    point = named(get(b"/?a=%7e+%2fend%7E"))["GET_a_value"]
    assert point.value == b"~ /end~"
    assert point.write(b"~ /" + b"'" + b"end~").target == b"/?a=%7e+%2f%27end%7E"
    assert point.write(point.value + b" x").target == b"/?a=%7e+%2fend%7E%20x"


def test_parameter_without_equals_sign_gets_one_with_a_value():
    request = get(b"/?debug&a=1")
    assert values(request)["GET_debug_value"] == b""
    assert named(request)["GET_debug_value"].write(b"on").target == b"/?debug=on&a=1"


def test_parameter_name_is_a_place_of_its_own():
    request = get(b"/?id[user]=a")
    point = named(request)["GET_id_HASH_user_name"]
    assert point.value == b"id[user]"
    assert point.write(b"x'=").target == b"/?x%27%3D=a"


def test_invalid_escapes_are_kept_as_they_are():
    request = get(b"/?a=%zz%4&b=%")
    assert values(request)["GET_a_value"] == b"%zz%4"
    assert_round_trip(request)
    changed = named(request)["GET_a_value"].write(b"%zz%41")
    assert values(changed)["GET_a_value"] == b"%zz%41"


def test_unfinished_brackets_are_a_plain_name():
    assert list(values(get(b"/?a[b=1&[c]=2&d]=3"), "GET")) == [
        "GET_a[b_value",
        "GET_[c]_value",
        "GET_d]_value",
    ]


def test_undeclared_body_is_recognised_only_when_it_is_a_form():
    assert "POST_FORM_URLENCODED_a_value" in values(post(b"a=1&b=2"))
    assert "POST_FORM_URLENCODED_a_value" in values(post(b"a=1&b=2", b"text/plain"))
    assert not [p for p in list_points(post(b"x = y, and <b>", b"text/plain")) if "FORM" in p.name]


def test_names_that_are_not_utf8_are_shown_escaped():
    assert "GET_\\xff_value" in values(get(b"/?%ff=1"))


@given(st.binary(max_size=60).map(lambda b: b.replace(b" ", b"+")))
def test_any_body_round_trips(body: bytes):
    assert_round_trip(post(body, FORM))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_value_reads_back_what_was_written(old: bytes, new: bytes):
    request = post(b"k=" + old.replace(b"&", b"") + b"&z=1", FORM)
    written = named(request)["POST_FORM_URLENCODED_k_value"].write(new)
    assert values(written)["POST_FORM_URLENCODED_k_value"] == new
    assert values(written)["POST_FORM_URLENCODED_z_value"] == b"1"

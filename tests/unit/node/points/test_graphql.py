import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, named, post, values

from fastci.node.points import list_points

DOCUMENT = """
# signing in
mutation Login($device: String = "web", $n: [Int!]!) @trace(level: 3) {
  s: login(email: "joe\\"s", tries: 3, options: {tags: ["a", "b"], mode: FAST}, d: $device) @skip(if: true) {
    ...on User { orders(first: 10, open: true, since: null) { id } }
    ...Names
  }
}
fragment Names on User { name(form: \"\"\"long
 "text" \"\"\") }
"""


def graphql(document: str) -> bytes:
    return json.dumps({"query": document, "variables": {"device": "x"}}).encode()


def test_arguments_are_named_by_operation_field_and_argument():
    found = values(post(graphql(DOCUMENT), b"application/json"), "POST_JSON_DOC_HASH_query_GRAPHQL_")
    short = {name.removeprefix("POST_JSON_DOC_HASH_query_GRAPHQL_"): value for name, value in found.items()}
    assert short.pop("Login_value").startswith(b"mutation Login(")
    assert short.pop("Names_value").startswith(b"fragment Names")
    assert short == {
        "Login_login_email_value": b'joe"s',
        "Login_login_tries_value": b"3",
        "Login_login_options_HASH_tags_ARRAY_0_value": b"a",
        "Login_login_options_HASH_tags_ARRAY_1_value": b"b",
        "Login_login_options_HASH_mode_value": b"FAST",
        "Login_login_orders_first_value": b"10",
        "Login_login_orders_open_value": b"true",
        "Login_login_orders_since_value": b"null",
        "Names_name_form_value": b'long\n "text" ',
    }


def test_operation_without_a_name_is_called_by_its_type():
    assert values(get(b"/?query=%7Bme(id:1)%7Bname%7D%7D"))["GET_query_GRAPHQL_query_me_id_value"] == b"1"
    body = b"subscription { chat(room: 7) { text } }"
    assert values(post(body, b"application/graphql"))["POST_GRAPHQL_subscription_chat_room_value"] == b"7"


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("login_email", b'"\n', '"joe\\"s"', '"\\"\\n"'),
        ("login_tries", b"4", "tries: 3", "tries: 4"),
        ("login_tries", b"4'", "tries: 3", 'tries: "4\'"'),
        ("login_orders_open", b"x", "open: true", 'open: "x"'),
        ("login_options_HASH_mode", b"x y", "FAST", '"x y"'),
    ],
)
def test_write_escapes_for_graphql_and_for_what_is_around(name: str, value: bytes, old: str, new: str):
    request = post(graphql(DOCUMENT), b"application/json")
    changed = named(request)[f"POST_JSON_DOC_HASH_query_GRAPHQL_Login_{name}_value"].write(value)
    assert json.loads(changed.body)["query"] == DOCUMENT.replace(old, new)


def test_write_in_a_block_string_cannot_end_it():
    request = post(graphql(DOCUMENT), b"application/json")
    changed = named(request)["POST_JSON_DOC_HASH_query_GRAPHQL_Names_name_form_value"].write(b'a"""b')
    assert '"""a\\"""b"""' in json.loads(changed.body)["query"]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}x",
        "query {",
        "{a(b:)}",
        "{a(b 1)}",
        "query of love",
        "{a{b}",
        "{a(b:$)}",
        "{a(b:1}",
        "fragment F {a}}",
    ],
)
def test_what_is_no_graphql_is_opaque(text: str):
    assert not [p for p in list_points(post(text.encode(), b"application/graphql")) if "GRAPHQL" in p.layers]


def test_depth_is_bounded():
    assert not [p for p in list_points(post(b"{a" * 5000 + b"}" * 5000, b"x")) if "GRAPHQL" in p.layers]


@given(st.text(st.sampled_from('{}()[]:,"$@.#ab1 \n')))
def test_any_document_round_trips(text: str):
    assert_round_trip(post(b"{" + text.encode(), b"application/graphql"))

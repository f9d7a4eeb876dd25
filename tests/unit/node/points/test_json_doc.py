import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, named, post, values

from fastci.node.points import list_points

JSON = b"application/json"


def test_members_items_and_the_whole_are_named():
    body = b'{"posts": [{"title": "a"}, 2], "user": {"email": "b"}}'
    assert values(post(body, JSON), "POST_JSON") == {
        "POST_JSON_DOC_value": body,
        "POST_JSON_DOC_HASH_posts_ARRAY_0_HASH_title_value": b"a",
        "POST_JSON_DOC_HASH_posts_ARRAY_1_value": b"2",
        "POST_JSON_DOC_HASH_user_HASH_email_value": b"b",
    }


def test_kinds_tell_json_types_apart():
    found = named(post(b'{"t":"1","n":1,"b":true,"z":null}', JSON))
    assert [found[f"POST_JSON_DOC_HASH_{k}_value"].kind for k in "tnbz"] == [
        "text",
        "number",
        "boolean",
        "null",
    ]
    assert found["POST_JSON_DOC_value"].kind == "document"


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        (b"1", b"' or 1=1", b'"\' or 1=1"'),
        (b"1", b"-2.5e3", b"-2.5e3"),
        (b"1", b"01", b'"01"'),
        (b"true", b"x", b'"x"'),
        (b"null", b"7", b"7"),
        (b'"1"', b"2", b'"2"'),
        (b'"a"', b'q"\\\n\x01\xc3\xa9\xff', b'"q\\"\\\\\\n\\u0001\xc3\xa9\xff"'),
    ],
)
def test_write_keeps_types_honest(old: bytes, value: bytes, new: bytes):
    request = post(b'{"k" : ' + old + b' ,"z":1.0}', JSON)
    changed = named(request)["POST_JSON_DOC_HASH_k_value"].write(value)
    assert changed.body == b'{"k" : ' + new + b' ,"z":1.0}'
    assert changed.get(b"content-length") == b"%d" % len(changed.body)


def test_write_raw_puts_a_token():
    request = post(b'{"k":"a"}', JSON)
    assert (
        named(request)["POST_JSON_DOC_HASH_k_value"].write(b'{"$ne":1}', raw=True).body == b'{"k":{"$ne":1}}'
    )


def test_write_keeps_escapes_of_what_stays():
    request = post(b'{"k":"\\u00e9\\/\\ud83d\\ude00 end"}', JSON)
    point = named(request)["POST_JSON_DOC_HASH_k_value"]
    assert point.value == "é/😀 end".encode()
    assert point.write(point.value + b'"').body == b'{"k":"\\u00e9\\/\\ud83d\\ude00 end\\""}'
    assert point.write(b"'" + point.value).body == b'{"k":"\'\\u00e9\\/\\ud83d\\ude00 end"}'


def test_member_name_is_a_place_of_its_own():
    request = post(b'{"a":{"b":1}}', JSON)
    assert named(request)["POST_JSON_DOC_HASH_a_name"].write(b'x"').body == b'{"x\\"":{"b":1}}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1', b'{"a":1,}', b"[1,]", b"[,1]", b'{"a" 1}', b"{a:1}", b"{'a':1}", b'{"a":01}', b'{"a":NaN}',
        b'{"a":"\n"}', b'{"a":"\\x"}', b'{"a":"\\u12"}', b'{"a":1}}', b'{"a":1} x', b"[1 2]", b'{"a"}', b"[",
        b"]", b'{"a":[}]', b"[1}", b'{,}', b"[tru]",
    ],
)  # fmt: skip
def test_broken_json_is_one_opaque_body(body: bytes):
    request = post(body, JSON)
    assert not [p for p in list_points(request) if "JSON" in p.name]
    assert values(request)["POST_value"] == body


def test_json_without_content_type_is_recognised():
    assert values(post(b'  {"a":1}'))["POST_JSON_DOC_HASH_a_value"] == b"1"
    assert values(get(b'/?f={"a":[1]}'))["GET_f_JSON_DOC_HASH_a_ARRAY_0_value"] == b"1"


def test_json_declared_as_a_form_is_json():
    request = post(b'{"a":"b=c"}', b"application/x-www-form-urlencoded")
    assert values(request)["POST_JSON_DOC_HASH_a_value"] == b"b=c"


def test_json_inside_json_escapes_for_both():
    request = post(json.dumps({"inner": json.dumps({"k": "v"})}).encode(), JSON)
    point = named(request)["POST_JSON_DOC_HASH_inner_JSON_DOC_HASH_k_value"]
    assert point.layers == ("POST", "JSON_DOC", "JSON_DOC")
    assert json.loads(json.loads(point.write(b'a"b').body)["inner"]) == {"k": 'a"b'}


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(leaves(v) for v in value.values())
    return sum(leaves(v) for v in value) if isinstance(value, list) else 1


@given(documents, st.booleans(), st.sampled_from([None, 1]))
def test_any_document_round_trips_and_lists_every_scalar(value: Any, ascii_only: bool, indent: int | None):
    body = json.dumps({"root": value}, ensure_ascii=ascii_only, indent=indent).encode(
        "utf-8", "surrogatepass"
    )
    request = post(body, JSON)
    assert_round_trip(request)
    found = [
        p for p in list_points(request) if p.layers == ("POST", "JSON_DOC") and p.name.endswith("_value")
    ]
    assert len([p for p in found if p.kind != "document"]) == leaves(value)


@given(st.text(), st.text())
def test_text_reads_back_what_was_written(old: str, new: str):
    request = post(json.dumps({"k": old, "z": [1]}).encode(), JSON)
    changed = named(request)["POST_JSON_DOC_HASH_k_value"].write(new.encode("utf-8", "surrogatepass"))
    assert json.loads(changed.body.decode("utf-8", "surrogatepass")) == {"k": new, "z": [1]}


@given(st.binary(max_size=40))
def test_any_bytes_are_read_like_the_json_module_reads_them(body: bytes):
    text = b"[" + body + b"]"
    try:
        json.loads(text.decode("latin-1"), parse_constant=lambda _: 1 / 0)
        valid = True
    except (ValueError, ZeroDivisionError):
        valid = False
    assert any("JSON_DOC" in p.layers for p in list_points(post(text, JSON))) == valid

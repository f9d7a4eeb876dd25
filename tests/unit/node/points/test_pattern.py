import pickle
import time

import pytest
from points_kit import get, post

from fastci.node.message import Request
from fastci.node.points import compile_point, list_points
from fastci.node.points.model import PointName

JSON = b"application/json"


def selected(pattern: str, request: Request) -> list[str]:
    return [point.name for point in compile_point(pattern).select(list_points(request))]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("URI_value", "URI_value", True),
        ("URI", "URI_value", True),
        (r"PATH_\d_value", "PATH_7_value", True),
        (r"PATH_\d_value", "PATH_17_value", False),
        ("PATH_.*", "PATH_17_value", True),
        ("GET_b*_value", "GET_bbb_value", True),
        ("GET_b*_value", "GET__value", True),
        ("GET_.*", "POST_GET_value", False),
        ("GET_uid", "GET_uid_value", True),
        ("GET_Uid_value", "GET_uid_value", False),
        ("'GET_uid_value'", "GET_uid_value", True),
        ('"GET_uid_value"', "GET_uid_value", True),
        ("HEADER_A.*_value", "HEADER_Accept_value", True),
        ("HEADER_A.*_value", "HEADER_X-A_value", False),
        ("HEADER_CONTENT-TYPE_value", "HEADER_Content-Type_value", True),
        ("HEADER_content-TYPE", "HEADER_Content-Type_value", True),
        ("HEADER_Cookie_COOKIE_SID_value", "HEADER_Cookie_COOKIE_sid_value", False),
        ("HEADER_COOKIE_COOKIE_sid_value", "HEADER_Cookie_COOKIE_sid_value", True),
        ("POST_JSON_DOC_JSON_OBJ_a_JSON_ARRAY_0_value", "POST_JSON_DOC_HASH_a_ARRAY_0_value", True),
        ("POST_JSON_DOC_HASH_a_JSON_ARRAY_.*", "POST_JSON_DOC_HASH_a_ARRAY_0_value", True),
        ("POST_JSON_DOC_HASH_JSON_OBJ_value", "POST_JSON_DOC_HASH_JSON_OBJ_value", True),
        ("POST_XML_DTD_value", "POST_XML_XML_DTD_value", True),
        ("POST_XML_TAG_a", "POST_XML_XML_TAG_a_value", True),
        ("POST_XML_XML_TAG_a_XML_TAG_ARRAY_1_value", "POST_XML_XML_TAG_a_ARRAY_1_value", True),
        ("HEADER_.*_JWT_PAYLOAD_HASH_sub", "HEADER_Authorization_JWT_PAYLOAD_JSON_DOC_HASH_sub_value", True),
        ("POST_MULTIPART_.*_FILE", "POST_MULTIPART_doc_FILE_value", True),
        ("POST_MULTIPART_.*_FILE_value", "POST_MULTIPART_doc_FILENAME_value", False),
        ("(GET|POST)_.*", "POST_value", True),
        ("GET_.*_(name|value)", "GET_a_name", True),
        ("GET_.*", "GET_a_name", False),
        (".*", "GET_a_name", False),
        ("GET_username", "GET_username_name", False),
        ("GET_.*_name", "GET_a_name", True),
        ("POST_XML_XML_PI_0_name", "POST_XML_XML_PI_0_name", True),
        ("^GET_.*$", "GET_a_value", True),
    ],
)
def test_pattern_against_a_name(pattern: str, name: str, matches: bool):
    assert compile_point(pattern).matches(name) is matches


def test_pattern_without_service_word_means_everything_below_and_nothing_beside():
    request = get(b"/?id=MDEyMzQ%3D&id_token=1&i=2")
    assert selected("GET_id", request) == ["GET_id_value", "GET_id_BASE64_value"]
    assert selected("GET", request) == [
        "GET_id_value",
        "GET_id_BASE64_value",
        "GET_id_token_value",
        "GET_i_value",
    ]
    assert selected("GET_id_value", request) == ["GET_id_value"]


def test_pattern_of_a_bare_parser_means_its_points():
    request = post(b'{"a":[1],"b":"x"}', JSON, b"authorization: x")
    assert selected("POST_JSON_DOC_HASH_a", request) == ["POST_JSON_DOC_HASH_a_ARRAY_0_value"]
    assert len(selected("POST", request)) == 4
    assert selected("HEADER_AUTHORIZATION", request) == ["HEADER_authorization_value"]
    assert selected("PATH", request) == []


def test_element_of_a_reserved_name_is_tried_last():
    assert selected("GET_user_name", get(b"/?user=a&user_name=b")) == ["GET_user_name"]
    assert selected("GET_user_name", get(b"/?user_name=b")) == ["GET_user_name_value"]
    assert selected("GET_value", get(b"/?value=b")) == ["GET_value_value"]
    assert selected("POST_JSON_DOC_HASH_name", post(b'{"name":"a"}', JSON)) == [
        "POST_JSON_DOC_HASH_name_value"
    ]


def test_first_of_repeated_elements_is_found_without_its_index():
    request = get(b"/?a=1&a=2", b"X: 1", b"x: 2")
    assert selected("GET_a_value", request) == ["GET_a_ARRAY_0_value"]
    assert selected("GET_a", request) == ["GET_a_ARRAY_0_value", "GET_a_ARRAY_1_value"]
    assert selected("HEADER_X_value", request) == ["HEADER_X_ARRAY_0_value"]


def test_xml_elements_are_found_by_index_and_by_path():
    request = post(b"<o><i>1</i><p><i>2</i><i>3</i></p></o>", b"text/xml")
    assert selected("POST_XML_XML_TAG_i_ARRAY_0_value", request) == ["POST_XML_XML_TAG_i_value"]
    assert selected("POST_XML_XML_TAG_o_XML_TAG_i_value", request) == ["POST_XML_XML_TAG_i_value"]
    assert selected("POST_XML_XML_TAG_o_XML_TAG_p_XML_TAG_i_value", request) == [
        "POST_XML_XML_TAG_i_ARRAY_1_value"
    ]
    assert selected("POST_XML_XML_TAG_o_XML_TAG_p_XML_TAG_i_ARRAY_1_value", request) == [
        "POST_XML_XML_TAG_i_ARRAY_2_value"
    ]


def test_digits_in_brackets_are_found_as_hash_too():
    request = get(b"/?a[3]=x")
    assert (
        selected("GET_a_ARRAY_3_value", request)
        == selected("GET_a_HASH_3_value", request)
        == ["GET_a_ARRAY_3_value"]
    )


@pytest.mark.parametrize("pattern", ["", "''", "GET_(", "GET_[a", "GET_(?P<a>x)", "GET_(?~a)", "GET_\\"])
def test_pattern_that_is_none_is_refused_with_the_reason(pattern: str):
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        compile_point(pattern)


def test_pattern_that_never_ends_times_out():
    with pytest.raises(TimeoutError):
        compile_point("(a|a|aa)+$").matches("a" * 4000 + "b")


def test_pattern_that_never_ended_is_not_tried_again():
    pattern = compile_point("(a|a|aa)+$")
    with pytest.raises(TimeoutError):
        pattern.matches("a" * 4000 + "b")
    started = time.process_time()
    for number in range(100):
        with pytest.raises(TimeoutError):
            pattern.matches("a" * 4000 + f"c{number}")
    assert time.process_time() - started < 0.5


def test_pattern_keeps_apart_names_that_are_spelt_alike():
    joined = PointName.of(("GET", "id_token"), "value")
    parted = PointName.of(("GET", "id", "token"), "value")
    pattern = compile_point("GET_id")
    assert [pattern.matches(name) for name in (joined, parted, joined)] == [False, True, False]
    other = compile_point("GET_id_token")
    assert [other.matches(name) for name in (joined, parted)] == [True, True]


def test_pattern_sent_to_another_process_says_the_same():
    pattern, other = compile_point("GET_a"), compile_point("GET_b")
    name = PointName.of(("GET", "a"), "value")
    assert (pattern.matches(name), other.matches(name)) == (True, False)
    copy = pickle.loads(pickle.dumps(other))
    assert [copy.matches(PointName.of(("GET", word), "value")) for word in "ab"] == [False, True]

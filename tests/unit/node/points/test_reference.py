"""The names of docs/policies.md, one by one: what each word refers to, and what may follow what."""

import gzip
import re
from pathlib import Path

import pytest
from points_kit import get, post, values

from fastci.node.message import Request
from fastci.node.points import compile_point, list_points
from fastci.node.points.limits import (
    MAX_BRACKETS,
    MAX_DECODED,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_LAYERS,
    MAX_PARSED,
)
from fastci.node.policy import load_policy

JSON, FORM, XML = b"application/json", b"application/x-www-form-urlencoded", b"text/xml"
PARTS = b"multipart/form-data; boundary=b"
GUIDE = (Path(__file__).parents[4] / "docs" / "policies.md").read_text()
NESTED = b'{"user": {"email": "e"}, "posts": [{"title": "t"}, 7], "list": [[1, {"a": 2}]]}'
DOCUMENT = b"""<?xml version="1.0"?><!DOCTYPE r SYSTEM "r.dtd" [<!ENTITY e "inside">]><?go now?><!-- note -->
<r><item id="1">one</item><item>&e;</item></r>"""


def multipart(*parts: tuple[bytes, bytes]) -> bytes:
    return (
        b"".join(b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % p for p in parts)
        + b"--b--\r\n"
    )


FILE = (
    b'--b\r\nContent-Disposition: form-data; name="doc"; filename="a.bin"\r\n'
    b"Content-Type: %b\r\n\r\n%b\r\n--b--\r\n"
)
SQUEEZED = gzip.compress(b"{}", mtime=0)
QUERY = get(
    b"/main/login/index.php?uid=MDEyMzQ%3D&id[user]=u&id[]=0&id[]=1&n=a&n=b", b"Accept: x", b"X: 1", b"x: 2"
)


@pytest.mark.parametrize(
    ("request_", "point", "value"),
    [
        (QUERY, "METHOD_value", b"GET"),
        (QUERY, "URI_value", b"/main/login/index.php"),
        (QUERY, "PATH_0_value", b"main"),
        (QUERY, "PATH_1_value", b"login"),
        (QUERY, "ACTION_NAME_value", b"index"),
        (QUERY, "ACTION_EXT_value", b"php"),
        (QUERY, "GET_uid_value", b"MDEyMzQ="),
        (QUERY, "GET_uid_BASE64_value", b"01234"),
        (QUERY, "GET_id_HASH_user_value", b"u"),
        (QUERY, "GET_id_ARRAY_1_value", b"1"),
        (QUERY, "GET_n_ARRAY_1_value", b"b"),
        (QUERY, "GET_n_value", b"a"),
        (QUERY, "HEADER_Accept_value", b"x"),
        (QUERY, "HEADER_ACCEPT_value", b"x"),
        (QUERY, "'HEADER_accept_value'", b"x"),
        (QUERY, "HEADER_X_ARRAY_1_value", b"2"),
        (QUERY, "GET_uid_name", b"uid"),
        (QUERY, "HEADER_Accept_name", b"Accept"),
        (get(b"/", b"Cookie: sid=s; cart=%7B%22id%22%3A1%7D"), "HEADER_Cookie_COOKIE_sid_value", b"s"),
        (get(b"/", b"Cookie: sid=s"), "HEADER_COOKIE_COOKIE_sid_name", b"sid"),
        (get(b"/", b"Cookie: c=%7B%22id%22%3A1%7D"), "HEADER_Cookie_COOKIE_c_PERCENT_JSON_DOC_HASH_id", b"1"),
        (post(b"plain", b"text/plain"), "POST_value", b"plain"),
        (post(b"a=1&u[x]=2&l[]=3", FORM), "POST_FORM_URLENCODED_a_value", b"1"),
        (post(b"a=1&u[x]=2&l[]=3", FORM), "POST_FORM_URLENCODED_u_HASH_x_value", b"2"),
        (post(b"a=1&u[x]=2&l[]=3", FORM), "POST_FORM_URLENCODED_l_ARRAY_0_value", b"3"),
        (post(b"a=1", FORM), "POST_FORM_URLENCODED_a_name", b"a"),
        (post(multipart((b"a[x]", b"1"), (b"b[]", b"2")), PARTS), "POST_MULTIPART_a_HASH_x_value", b"1"),
        (post(multipart((b"a[x]", b"1"), (b"b[]", b"2")), PARTS), "POST_MULTIPART_b_ARRAY_0_value", b"2"),
        (post(multipart((b"a", b"1")), PARTS), "POST_MULTIPART_a_name", b"a"),
        (post(FILE % (b"x/y", b"z"), PARTS), "POST_MULTIPART_doc_FILE_value", b"z"),
        (post(FILE % (b"x/y", b"z"), PARTS), "POST_MULTIPART_doc_FILENAME_value", b"a.bin"),
        (post(FILE % (b"x/y", b"z"), PARTS), "POST_MULTIPART_doc_TYPE_value", b"x/y"),
        (post(FILE % (JSON, NESTED), PARTS), "POST_MULTIPART_doc_FILE_JSON_DOC_HASH_user_HASH_email", b"e"),
        (post(FILE % (XML, DOCUMENT), PARTS), "POST_MULTIPART_doc_FILE_XML_XML_TAG_item_value", b"one"),
        (post(FILE % (b"x/y", SQUEEZED), PARTS), "POST_MULTIPART_doc_FILE_GZIP_value", b"{}"),
        (post(NESTED, JSON), "POST_JSON_DOC_HASH_user_HASH_email_value", b"e"),
        (post(NESTED, JSON), "POST_JSON_DOC_JSON_OBJ_posts_JSON_ARRAY_0_HASH_title_value", b"t"),
        (post(NESTED, JSON), "POST_JSON_DOC_HASH_list_ARRAY_0_ARRAY_1_JSON_OBJ_a_value", b"2"),
        (post(NESTED, JSON), "POST_JSON_DOC_value", NESTED),
        (post(NESTED, JSON), "POST_JSON_DOC_HASH_user_name", b"user"),
        (post(b"[5]", JSON), "POST_JSON_DOC_ARRAY_0_value", b"5"),
        (post(DOCUMENT, XML), "POST_XML_DTD_value", b"r.dtd"),
        (post(DOCUMENT, XML), "POST_XML_XML_DTD_value", b"r.dtd"),
        (post(DOCUMENT, XML), "POST_XML_XML_DTD_ENTITY_0_value", b"inside"),
        (post(DOCUMENT, XML), "POST_XML_XML_DTD_ENTITY_0_name", b"e"),
        (post(DOCUMENT, XML), "POST_XML_XML_PI_0_value", b"now"),
        (post(DOCUMENT, XML), "POST_XML_XML_PI_0_name", b"go"),
        (post(DOCUMENT, XML), "POST_XML_XML_COMMENT_0_value", b"note"),
        (post(DOCUMENT, XML), "POST_XML_XML_TAG_item_value", b"one"),
        (post(DOCUMENT, XML), "POST_XML_XML_TAG_item_ARRAY_1_value", b"inside"),
        (post(DOCUMENT, XML), "POST_XML_XML_TAG_item_XML_TAG_ARRAY_1_value", b"inside"),
        (post(DOCUMENT, XML), "POST_XML_XML_TAG_item_XML_ATTR_id_value", b"1"),
        (post(DOCUMENT, XML), "POST_XML_value", DOCUMENT.partition(b"?>")[2]),
        (post(gzip.compress(NESTED), JSON), "POST_GZIP_JSON_DOC_HASH_user_HASH_email_value", b"e"),
        (get(b"/?p=%2541b"), "GET_p_PERCENT_value", b"Ab"),
        (
            post(b'{"query": "query Login { user(id: 7) { name } }"}', JSON),
            "POST_JSON_DOC_HASH_query_GRAPHQL_Login_user_id_value",
            b"7",
        ),
        (
            get(b"/", b"Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzIjoiam9lIn0.x"),
            "HEADER_Authorization_JWT_PAYLOAD_HASH_s_value",
            b"joe",
        ),
    ],
)  # fmt: skip
def test_name_means_its_part(request_: Request, point: str, value: bytes):
    assert [p.value for p in compile_point(point).select(list_points(request_))] == [value]


@pytest.mark.parametrize(
    ("into", "points"),
    [
        ("GET", ["GET_a_value", "GET_b_value"]),
        ("PATH", ["PATH_0_value"]),
        ("URI", ["URI_value"]),
        ("ACTION_NAME", ["ACTION_NAME_value"]),
        ("ACTION_EXT", ["ACTION_EXT_value"]),
        ("HEADER_AUTHORIZATION", ["HEADER_Authorization_value"]),
        ("POST", ["POST_value", "POST_MULTIPART_doc_FILE_value", "POST_MULTIPART_doc_FILENAME_value",
                  "POST_MULTIPART_doc_TYPE_value"]),
        ("POST_MULTIPART_.*_FILE", ["POST_MULTIPART_doc_FILE_value"]),
        ("POST_MULTIPART_.*_FILE_value", ["POST_MULTIPART_doc_FILE_value"]),
    ],
)  # fmt: skip
def test_name_without_element_or_service_word_means_every_point_under_it(into: str, points: list[str]):
    request = post(FILE % (b"x/y", b"z"), PARTS, b"Authorization: a b c").with_target(
        b"/dir/name.ext?a=1&b=2"
    )
    assert [p.name for p in compile_point(into).select(list_points(request))] == points


@pytest.mark.parametrize(
    "pattern",
    ["GET_.*_name", "HEADER_.*_name", "POST_FORM_URLENCODED_.*_name", "HEADER_Cookie_COOKIE_.*_name"],
)
def test_names_of_elements_are_for_the_policy_thorough_only(pattern: str):
    request = post(b"f=1", FORM, b"Cookie: c=1").with_target(b"/p?q=1")
    names = [p.name for p in compile_point(pattern).select(list_points(request))]
    assert names
    assert not any(
        load_policy(policy, None).admits(name) for policy in ("default", "quick") for name in names
    )
    wire = ("HEADER_Host_name", "HEADER_Content-Length_name")  # no message without these
    assert all(load_policy("thorough", None).admits(name) for name in names if name not in wire)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": ', b'{"a": "\xff\xfe"}', b"--b\r\nContent-Disp", b"<a><b></a>", b"%zz=%4&%",
        b"\x1f\x8b\x08\x00", b"query {",
        b'<!DOCTYPE a [<!ENTITY b "&b;">]><a>&b;</a>', b"PK\x03\x04\x00", b"\x00" * 50, b"eyJ.eyJ.",
    ],
)  # fmt: skip
@pytest.mark.parametrize("media", [JSON, FORM, XML, PARTS, b"application/graphql", b""])
def test_body_that_does_not_parse_is_a_value_one_level_up(body: bytes, media: bytes):
    request = post(body, media)
    assert values(request)["POST_value"] == body
    for point in list_points(request):
        assert point.write(point.value) == request


def test_limits_of_the_guide_are_those_of_the_code():
    said = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", GUIDE[GUIDE.index("## Limits") :], re.M))
    assert said["points of a request"] == f"{MAX_ELEMENTS:,}"
    assert said["bytes of one value that parsers look into"] == f"{MAX_PARSED >> 20} MiB"
    decoded = "bytes that decoding gives (GZIP, ZIP, BASE64 ...), per request"
    assert said[decoded] == f"{MAX_DECODED >> 20} MiB"
    assert said["parsers inside one another"] == str(MAX_LAYERS)
    assert said["JSON containers inside one another"] == f"{MAX_DEPTH:,}"
    assert said["brackets in a parameter name"] == str(MAX_BRACKETS)


CONSTRUCTS = re.search(r"### Regular expressions\n(.*?)\n## ", GUIDE, re.S)


def test_regular_expressions_of_the_guide_are_understood():
    assert CONSTRUCTS is not None
    table, _, refused = CONSTRUCTS[1].partition("\nRefused")
    rows = [
        row.replace("\\|", "OR") for row in table.splitlines() if row.startswith("| ") and "|---" not in row
    ]
    written = [each for row in rows[1:] for each in re.findall(r"`([^`]+)`", row)]
    pieces = [
        word
        for each in written
        for word in (each.split(" ") if " " in each and "{H H}" not in each else [each])
    ]
    assert len(pieces) > 40
    for piece in pieces:
        compile_point("GET_" + _example(piece))
    for construct in ("(?~a)", "(?<n>a)\\k<n+1>", "\\M-x", "(?P<n>a)", "(?|a)", "(*VERB)"):
        with pytest.raises(ValueError, match=r"\w+"):
            compile_point("GET_" + construct)
    for said in ("(?~..)", "\\k<n+1>", "\\M-x", "(?P<n>..)", "(?|..)", "(*VERB)"):
        assert said in refused


def _example(piece: str) -> str:
    """A pattern that uses a construct as the guide writes it."""
    text = piece.replace("..OR..", "a|b").replace("..", "a").replace("{n,m}", "{1,2}").replace("{,m}", "{,2}")
    text = text.replace("{n,}", "{1,}").replace("{n}", "{2}").replace("HHHH", "0041").replace("HH", "41")
    text = (
        text.replace("{H H}", "{41 42}")
        .replace("{H}", "{41}")
        .replace("{a}", "{Alpha}")
        .replace("{^a}", "{^Alpha}")
    )
    if re.fullmatch(r"[*+?]+|\{.*", text):
        return f"a{text}"
    if "\\k" in text or "\\g<n>" in text or text == "\\g<1>" or text == "\\1":
        return f"(?<n>a){text}" if "n" in text else f"(a){text}"
    if text.startswith("(?(1)"):
        return "(a)?(?(1)b|c)"
    if text.startswith(("(?'n'", "(?<n>")):
        return text
    return text.replace("(?imxadu-imx)", "(?i)").replace("\\cx", "\\ca").replace("\\C-x", "\\C-a")

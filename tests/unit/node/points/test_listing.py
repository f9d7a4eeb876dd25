"""All points of a request: order, composition, and the bounds on hostile ones."""

import gzip
import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, named, post

from fastci.node.message import Request
from fastci.node.points import Point, list_points
from fastci.node.points.limits import MAX_ELEMENTS, MAX_LAYERS
from fastci.node.points.registry import PARSERS

JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Of processor time. Generous for a loaded machine: a step that is not linear costs a hundredfold."""
    started = time.process_time()
    yield
    assert time.process_time() - started < seconds


@contextmanager
def within_memory(megabytes: float) -> Iterator[None]:
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < megabytes * 2**20


def test_points_come_in_the_order_of_the_request():
    request = post(b"a=1", FORM, b"Cookie: c=d")
    names = [p.name for p in list_points(request) if p.name.endswith("_value")]
    assert names == [
        "METHOD_value",
        "URI_value",
        "ACTION_NAME_value",
        "HEADER_Host_value",
        "HEADER_Content-Type_value",
        "HEADER_Content-Length_value",
        "HEADER_Cookie_value",
        "HEADER_Cookie_COOKIE_c_value",
        "POST_value",
        "POST_FORM_URLENCODED_a_value",
    ]


def test_layers_are_the_parsers_outermost_first():
    inner = gzip.compress(b'{"a":"<x>y</x>"}')
    found = named(post(inner, JSON))
    assert found["POST_value"].layers == ("POST",)
    assert found["POST_GZIP_JSON_DOC_HASH_a_XML_XML_TAG_x_value"].layers == (
        "POST",
        "GZIP",
        "JSON_DOC",
        "XML",
    )


def test_raw_write_is_raw_in_the_innermost_layer_only():
    point = named(get(b"/?q=%7B%22a%22:%22b%22%7D"))["GET_q_JSON_DOC_HASH_a_value"]
    assert point.write(b'{"$gt":"&"}', raw=True).target == b"/?q=%7B%22a%22:%7B%22%24gt%22%3A%22%26%22%7D%7D"


def test_names_are_not_parsed_on():
    request = post(b'{"{\\"a\\":1}":2}', JSON, b"Cookie: [1]=2")
    assert {p.value for p in list_points(request)} >= {b'{"a":1}', b"[1]"}
    assert [
        p.name
        for p in list_points(request)
        if p.layers.count("JSON_DOC") > 1 or p.layers[1:] == ("JSON_DOC",)
    ] == [
        "POST_JSON_DOC_value",
        'POST_JSON_DOC_HASH_{"a":1}_name',
        'POST_JSON_DOC_HASH_{"a":1}_value',
    ]
    assert not [p for p in list_points(get(b"/?%7B%22a%22:1%7D=x")) if "JSON_DOC" in p.layers]


def test_points_of_one_name_parser_reading_first():
    request = get(b"/?id_HASH_a=plain&id[a]=hash&x=MDEyMzQ%3D&x_BASE64=word")
    assert [p.value for p in list_points(request) if p.name == "GET_x_BASE64_value"] == [b"01234", b"word"]
    assert {p.value for p in list_points(request) if p.name == "GET_id_HASH_a_value"} == {b"plain", b"hash"}


def test_point_is_a_value():
    point = named(get(b"/?a=1"))["GET_a_value"]
    assert point == named(get(b"/?a=1&b=2"))["GET_a_value"]
    with pytest.raises(AttributeError):
        point.value = b"2"


def test_ten_thousand_parameters_in_linear_time():
    query = b"&".join(b"p%d=v%d" % (n, n) for n in range(10_000))
    with within(4):
        points = list_points(post(query, FORM))
    assert len([p for p in points if p.layers == ("POST", "FORM_URLENCODED")]) == 20_000
    assert points[-1].value == b"p9999"
    assert points[-1].write(b"last").body == query.replace(b"p9999=", b"last=")


def test_five_megabytes_of_json_in_linear_time():
    body = json.dumps({f"k{n}": "v" * 240 for n in range(20_000)}).encode()
    with within(8):
        points = list_points(post(body, JSON))
    last = next(p for p in points if p.name == "POST_JSON_DOC_HASH_k19999_value")
    assert last.write(b"x").body == body.removesuffix(b"v" * 240 + b'"}') + b'x"}'


def test_memory_stays_within_ten_times_a_large_body():
    body = json.dumps({f"k{n}": "v" * 240 for n in range(8_000)}).encode()
    with within_memory(10 * len(body) / 2**20):
        list_points(post(body, JSON))


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b"[" + b"1," * 2 * MAX_ELEMENTS + b"1]", JSON),
        (b"&".join(b"a%d=" % n for n in range(2 * MAX_ELEMENTS)), FORM),
    ],
    ids=["json", "form"],
)
def test_more_points_than_allowed_are_left_out(body: bytes, media: bytes):
    with within(8):
        assert len(list_points(post(body, media))) == MAX_ELEMENTS


def test_depth_of_a_thousand_is_read():
    body = b'{"a":' * 1000 + b'"deep"' + b"}" * 1000
    with within(2):
        points = list_points(post(body, JSON))
    assert points[-1].value == b"deep"
    assert points[-1].write(b"x").body == body.replace(b"deep", b"x")
    xml = b"<a>" * 1000 + b"deep" + b"</a>" * 1000
    assert list_points(post(xml, b"text/xml"))[-1].value == b"deep"


MULTIPART = b"multipart/form-data; boundary=b"
HOSTILE = {
    "json-open": (b"[" * 1_000_000, JSON),
    "json-nested": (b'{"a":' * 300_000, JSON),
    "json-long-escapes": (b'["' + b"\\u0000" * 300_000 + b'"]', JSON),
    "json-endless-string": (b"[" + b'"\\' * 300_000, JSON),
    "xml-open": (b"<a>" * 200_000, b"text/xml"),
    "xml-half-tags": (b"<a " * 300_000, b"text/xml"),
    "xml-half-comments": (b"<!--" * 300_000, b"text/xml"),
    "xml-half-entities": (b"<!DOCTYPE a [" + b"<!ENTITY a '" * 100_000, b"text/xml"),
    "xml-entity-chain": (
        b"<!DOCTYPE l ["
        + b"".join(b'<!ENTITY e%d "&e%d;">' % (n, n + 1) for n in range(5000))
        + b"]><l>&e0;</l>",
        b"text/xml",
    ),
    "xml-attributes": (b"<a " + b"b='c' " * 100_000 + b"/>", b"text/xml"),
    "multipart-boundaries": (b"--b\r\n" * 100_000, MULTIPART),
    "multipart-quotes": (b"--b\r\nContent-Disposition: form-data" + b'; name="\\' * 100_000, MULTIPART),
    "multipart-headers": (
        b"--b\r\n" + b"Content-Disposition: form-data\r\n" * 50_000 + b"\r\n\r\n--b--",
        MULTIPART,
    ),
    "form-brackets": (b"a" + b"[b]" * 300_000 + b"=1", FORM),
    "form-many-brackets": (b"&".join(b"a" + b"[]" * 30 + b"=1" for _ in range(3000)), FORM),
    "form-percents": (b"a=" + b"%" * 300_000 + b"%25" * 300_000, FORM),
    "graphql-nested": (b"{a" * 300_000, b"application/graphql"),
    "graphql-block": (b'{a(b:"""' + b'\\"""' * 300_000, b"application/graphql"),
    "jwt-dots": (b"eyJ" + b"." * 500_000, b"x"),
    "base64-long": (b"A" * 3_000_001, b"x"),
    "gzip-noise": (b"\x1f\x8b\x08" + b"\0" * 100_000, b"x"),
}


def parse_with_all(body: bytes, media: bytes) -> None:
    """No parser relies on the listing to catch what it raises."""
    for parser in PARSERS:
        if parser.sniff(body, media):
            parser.parse(body, media)


@pytest.mark.parametrize(("body", "media"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_body_is_bounded(body: bytes, media: bytes):
    parse_with_all(body, media)
    with within(5):
        points = list_points(post(body, media))
        for point in points[:: max(1, len(points) // 20)]:
            point.write(b"x")
    assert len(points) <= MAX_ELEMENTS


def test_layers_are_bounded():
    body = b"{}"
    for _ in range(2 * MAX_LAYERS):
        body = gzip.compress(body)
    assert max(len(p.layers) for p in list_points(post(body))) == MAX_LAYERS


def test_parser_that_raises_leaves_an_opaque_value(monkeypatch: pytest.MonkeyPatch):
    class Broken:
        word = "BROKEN"

        def sniff(self, data: bytes, hint: bytes) -> bool:
            return True

        def parse(self, data: bytes, hint: bytes) -> None:
            raise RuntimeError

    monkeypatch.setattr("fastci.node.points.listing.PARSERS", (Broken(),))
    assert named(post(b'{"a":1}'))["POST_value"].value == b'{"a":1}'


def check(request: Request) -> list[Point]:
    parse_with_all(request.body, request.get(b"content-type") or b"")
    points = list_points(request)
    for point in points:
        assert isinstance(point.write(b"'\"<x>&\r\n\0"), Request)
    assert_round_trip(request)
    return points


pieces = st.sampled_from(
    [
        b"{", b"}", b"[", b"]", b'"a":', b'"b"', b"1", b"true", b",", b"<a>", b"</a>", b"<b c='d'/>", b"&lt;",
        b"a=b", b"&", b"%41", b"%", b"--B\r\n", b'Content-Disposition: form-data; name="x"\r\n\r\n', b"\r\n",
        b"--B--", b"eyJhIjoxfQ", b".", b"MDEyMzQ1Njc4OTA=", b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"\xff",
        b"\0", b"query", b"(", b")", b":", b"$", b"\\", b";",
    ]
)  # fmt: skip
medias = st.sampled_from(
    [b"", JSON, FORM, b"text/xml", b"multipart/form-data; boundary=B", b"application/graphql"]
)


@given(st.lists(pieces, max_size=14).map(b"".join), medias)
def test_any_mixture_is_listed_and_written_without_a_fault(body: bytes, media: bytes):
    check(post(body, media))

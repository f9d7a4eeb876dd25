"""GZIP, BASE64, PERCENT, ZIP, JWT: formats around other formats."""

import base64
import gzip
import io
import json
import zipfile
import zlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, named, post, values

from fastci.node.points import list_points


def layers_of(target: bytes) -> set[str]:
    return {layer for point in list_points(get(target)) for layer in point.layers}


# gzip


def test_gzip_body_parses_on_by_its_content_type():
    request = post(gzip.compress(b"a=1&b=2", mtime=77), b"application/x-www-form-urlencoded")
    point = named(request)["POST_GZIP_FORM_URLENCODED_a_value"]
    changed = point.write(b"x&y")
    assert gzip.decompress(changed.body) == b"a=x%26y&b=2"
    assert changed.body[4:8] == request.body[4:8]
    assert changed.get(b"content-length") == b"%d" % len(changed.body)
    assert_round_trip(request)


@pytest.mark.parametrize("spoil", [lambda b: b[:-3], lambda b: b + b"x", lambda b: b[:12] + b"\xff" + b[13:]])
def test_gzip_broken_is_opaque(spoil):
    assert not [p for p in list_points(post(spoil(gzip.compress(b'{"a":1}')))) if "GZIP" in p.layers]


def test_gzip_bomb_is_opaque():
    squeeze = zlib.compressobj(9, wbits=31)
    bomb = b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(100)) + squeeze.flush()
    assert not [p for p in list_points(post(bomb)) if "GZIP" in p.layers]


# base64


def test_base64_value_is_decoded_and_encoded_again():
    request = get(b"/?uid=MDEyMzQ%3D")
    point = named(request)["GET_uid_BASE64_value"]
    assert point.value == b"01234"
    assert point.write(b"' or 1").target == b"/?uid=JyBvciAx"
    assert point.write(b"raw", raw=True).target == b"/?uid=raw"


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        (b"MDEyMzQ1Ng", b"01234?", b"MDEyMzQ/"),  # unpadded stays unpadded
        (b"MDEyMzQ1Ng", b"0", b"MA"),
        (b"Pz8_Pz8_", b"???>", b"Pz8_Pg"),  # url-safe alphabet
        (b"Pz8/Pz8/", b"???>", b"Pz8/Pg=="),
    ],
)
def test_base64_keeps_alphabet_and_padding(text: bytes, value: bytes, written: bytes):
    request = get(b"/", b"X: " + text)
    assert named(request)["HEADER_X_BASE64_value"].write(value).get(b"x") == written


def test_base64_keeps_line_length():
    text = base64.encodebytes(bytes(range(32, 127))).replace(b"\n", b"\r\n").rstrip()
    changed = named(post(text, b"text/plain"))["POST_BASE64_value"].write(b"x" * 95)
    assert [len(line) for line in changed.body.split(b"\r\n")] == [76, 52]
    assert base64.decodebytes(changed.body) == b"x" * 95


def test_basic_credentials_are_read():
    request = get(b"/", b"Authorization: Basic dXNlcjpwYXNz")
    point = named(request)["HEADER_Authorization_BASE64_value"]
    assert point.value == b"user:pass"
    assert point.write(b"a:b").get(b"authorization") == b"Basic YTpi"


@pytest.mark.parametrize(
    "text",
    [
        b"password",
        b"username",
        b"12345678",
        b"d41d8cd98f00b204e9800998ecf8427e",
        b"index",
        b"aGk=",
        b"a b c d e",
    ],
)
def test_base64_ordinary_values_are_left_alone(text: bytes):
    assert "BASE64" not in layers_of(b"/?q=" + quote(text).encode())


@given(st.text(min_size=18).filter(str.isprintable), st.binary(min_size=1))
def test_base64_reads_back_what_was_written(old: str, new: bytes):
    request = get(b"/?q=" + quote(base64.b64encode(old.encode())).encode())
    point = named(request)["GET_q_BASE64_value"]
    assert point.value == old.encode()
    assert base64.b64decode(values(point.write(new))["GET_q_value"]) == new
    assert_round_trip(request)


# percent


def test_percent_encoded_once_more_is_decoded():
    request = get(b"/?p=%257b%2522a%2522:1%257d")
    point = named(request)["GET_p_PERCENT_JSON_DOC_HASH_a_value"]
    assert point.write(b'x"').target == b"/?p=%257b%2522a%2522:%2522x%255C%2522%2522%257d"


def test_percent_that_is_no_escape_is_left_alone():
    assert "PERCENT" not in layers_of(b"/?q=100%25+of+it&r=5%25")


# zip


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return out.getvalue()


MEMBERS = {"a/one.xml": b"<r><a>one</a></r>", "two.json": b'{"k":"v"}', "three.txt": b"three"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_zip_member_is_rewritten_and_the_others_kept(method: int):
    request = post(archive(MEMBERS, method), b"application/zip")
    found = values(request)
    assert found["POST_ZIP_three.txt_value"] == b"three"
    changed = named(request)["POST_ZIP_a/one.xml_XML_XML_TAG_a_value"].write(b"<much longer than before>" * 9)
    with zipfile.ZipFile(io.BytesIO(changed.body)) as written:
        assert written.testzip() is None
        assert written.read("a/one.xml") == b"<r><a>" + b"&lt;much longer than before&gt;" * 9 + b"</a></r>"
        assert written.read("two.json") == MEMBERS["two.json"]
    assert_round_trip(request)


def test_zip_with_extra_fields_and_comments_is_read():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in ("one", "two"):
            facts = zipfile.ZipInfo(name)
            facts.extra, facts.comment = b"\xfe\xca\x04\x00abcd", b"a comment"
            target.writestr(facts, name * 20)
        target.comment = b"of all"
    changed = named(post(out.getvalue()))["POST_ZIP_one_value"].write(b"1" * 99)
    with zipfile.ZipFile(io.BytesIO(changed.body)) as written:
        assert (written.read("one"), written.read("two")) == (b"1" * 99, b"two" * 20)
        assert (written.getinfo("two").comment, written.comment) == (b"a comment", b"of all")


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError


def test_zip_written_to_a_stream_has_its_sizes_behind():
    out = Unseekable()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("a.txt", b"one" * 50)
        target.writestr("b.txt", b"two")
    changed = named(post(out.getvalue()))["POST_ZIP_a.txt_value"].write(b"changed")
    with zipfile.ZipFile(io.BytesIO(changed.body)) as written:
        assert (written.read("a.txt"), written.read("b.txt")) == (b"changed", b"two")
    at = changed.body.index(b"PK\x07\x08")
    assert changed.body[at + 4 : at + 8] == zlib.crc32(b"changed").to_bytes(4, "little")


@pytest.mark.parametrize("at", range(0, 330, 5))
def test_zip_spoilt_anywhere_never_raises(at: int):
    data = bytearray(archive(MEMBERS))
    data[at : at + 4] = b"\xff\xff\xff\x7f"
    assert_round_trip(post(bytes(data)))
    assert_round_trip(post(bytes(data[:at])))


def test_zip_bomb_is_bounded():
    found = values(post(archive({f"{n}": bytes(10 << 20) for n in range(4)})))
    assert sum(len(value) for name, value in found.items() if "ZIP" in name) <= 16 << 20


# JSON Web Tokens


def token(header: dict[str, object], payload: dict[str, object]) -> bytes:
    parts = (base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in (header, payload))
    return b".".join((*parts, b"c2lnbmF0dXJl"))


def test_jwt_members_are_read_and_written_and_the_signature_kept():
    request = get(b"/", b"Authorization: Bearer " + token({"alg": "HS256"}, {"sub": "joe", "admin": False}))
    found = named(request)
    assert found["HEADER_Authorization_JWT_PAYLOAD_JSON_DOC_HASH_sub_value"].value == b"joe"
    changed = found["HEADER_Authorization_JWT_HEADER_JSON_DOC_HASH_alg_value"].write(b"none")
    assert changed.get(b"authorization") == b"Bearer " + token(
        {"alg": "none"}, {"sub": "joe", "admin": False}
    )
    changed = found["HEADER_Authorization_JWT_PAYLOAD_JSON_DOC_HASH_admin_value"].write(b"true", raw=True)
    assert changed.get(b"authorization") == b"Bearer " + token(
        {"alg": "HS256"}, {"sub": "joe", "admin": True}
    )
    assert_round_trip(request)


def test_jwt_signature_can_be_dropped():
    request = get(b"/?t=" + token({"alg": "HS256"}, {"sub": "joe"}))
    changed = named(request)["GET_t_JWT_SIGNATURE_value"].write(b"")
    assert changed.target == request.target.rpartition(b".")[0] + b"."


@pytest.mark.parametrize(
    "text", [b"eyJhbGci.eyJzdWIi.x", b"eyJhIjoxfQ.bm8.x", b"eyJhIjoxfQ.eyJhIjoxfQ", b"a.b.c"]
)
def test_jwt_lookalikes_are_left_alone(text: bytes):
    assert not {"JWT_HEADER", "JWT_PAYLOAD"} & layers_of(b"/?t=" + text)


# all of them

printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=12)


@given(
    st.binary(max_size=120),
    st.sampled_from([b"", b"eyJ", b"\x1f\x8b\x08", b"PK\x03\x04", b"%41", b"TWFueSBoYW5kcw"]),
)
def test_any_value_round_trips(noise: bytes, start: bytes):
    assert_round_trip(post(start + noise, b"text/plain"))
    assert_round_trip(get(b"/?a=" + quote(start + noise).encode()))


@given(st.lists(st.sampled_from(["gzip", "base64", "json", "percent"]), max_size=6), printable)
def test_any_nesting_writes_through_to_the_core(layers: list[str], payload: str):
    encode = {
        "gzip": lambda v: gzip.compress(v, mtime=0),
        "base64": base64.b64encode,
        "json": lambda v: json.dumps({"k": v.decode("latin-1")}).encode(),
        "percent": lambda v: quote(b"%" + v, safe="").encode(),
    }
    body = b'{"core":"plain"}'
    for layer in layers:
        if layer == "json" and not body.isascii():
            continue
        body = encode[layer](body)
    request = post(body, b"application/octet-stream")
    assert_round_trip(request)
    cores = [p for p in list_points(request) if p.name.endswith("HASH_core_value")]
    for point in cores:
        written = point.write(payload.encode())
        again = [p for p in list_points(written) if p.name == point.name]
        assert [p.value for p in again] == [payload.encode()]
    if "percent" not in layers:
        assert cores, layers

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, named, post, values

from fastci.node.points import list_points

MEDIA = b"multipart/form-data; boundary=----B7x"
BODY = (
    b'------B7x\r\nContent-Disposition: form-data; name="id[]"\r\n\r\n01234\r\n'
    b'------B7x\r\ncontent-disposition: form-data; name="id[]"\r\n\r\n\r\n'
    b'------B7x\r\nContent-Disposition: form-data; name="user[doc]"; filename="a \\"b\\".xml"\r\n'
    b"Content-Type: text/xml\r\nX-Odd:  1\r\n\r\n<r><a>one</a></r>\r\n"
    b"------B7x\r\nContent-Disposition: form-data; name=note\r\n\r\nline\r\nline\r\n"
    b"------B7x--\r\n"
)


def test_fields_and_files_are_named():
    found = {k: v for k, v in values(post(BODY, MEDIA), "POST_MULTIPART").items() if "XML" not in k}
    assert found == {
        "POST_MULTIPART_id_ARRAY_0_value": b"01234",
        "POST_MULTIPART_id_ARRAY_1_value": b"",
        "POST_MULTIPART_user_HASH_doc_FILE_value": b"<r><a>one</a></r>",
        "POST_MULTIPART_user_HASH_doc_FILENAME_value": b'a "b".xml',
        "POST_MULTIPART_user_HASH_doc_TYPE_value": b"text/xml",
        "POST_MULTIPART_note_value": b"line\r\nline",
    }


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("id_ARRAY_1_value", b"a=b\r\n\"'", b"\r\n\r\n\r\n", b"\r\n\r\na=b\r\n\"'\r\n"),
        ("user_HASH_doc_FILE_value", b"\x00\xff", b"<r><a>one</a></r>", b"\x00\xff"),
        ("user_HASH_doc_FILE_XML_XML_TAG_a_value", b"<", b"one", b"&lt;"),
        ("user_HASH_doc_FILENAME_value", b'../x"\r\n', b'a \\"b\\".xml', b"../x%22%0D%0A"),
        ("user_HASH_doc_TYPE_value", b"a/b\r\nX: y", b"text/xml", b"a/b%0D%0AX: y"),
        ("user_HASH_doc_name", b'x"', b"user[doc]", b"x%22"),
        ("note_value", b"short", b"line\r\nline", b"short"),
    ],
)
def test_write_changes_only_its_part(name: str, value: bytes, old: bytes, new: bytes):
    changed = named(post(BODY, MEDIA))[f"POST_MULTIPART_{name}"].write(value)
    assert changed.body == BODY.replace(old, new)
    assert changed.get(b"content-length") == b"%d" % len(changed.body)


def test_unquoted_and_quoted_boundaries_and_other_line_ends_are_read():
    lines = b'--b 7 \nContent-Disposition: form-data; name="a"\n\n1\n--b 7--\n'
    assert values(post(lines, b'multipart/form-data;boundary="b 7"'))["POST_MULTIPART_a_value"] == b"1"
    assert values(post(lines, b"multipart/form-data"))["POST_MULTIPART_a_value"] == b"1"
    assert values(post(lines))["POST_MULTIPART_a_value"] == b"1"


def test_missing_last_boundary_is_forgiven():
    body = BODY[: BODY.index(b"------B7x--")]
    assert values(post(body, MEDIA))["POST_MULTIPART_note_value"] == b"line\r\nline"


@pytest.mark.parametrize("cut", range(0, len(BODY), 7))
def test_truncated_body_lists_what_is_whole(cut: int):
    request = post(BODY[:cut], MEDIA)
    assert_round_trip(request)
    assert all(
        p.name.startswith("POST_MULTIPART_id")
        for p in list_points(request)
        if len(p.layers) > 1 and cut < 170
    )


def test_wrong_boundary_is_one_opaque_body():
    assert not [
        p for p in list_points(post(BODY, b"multipart/form-data; boundary=other")) if len(p.layers) > 1
    ]


names = st.text(
    st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="[]\\"),
    min_size=1,
    max_size=12,
)


@given(names, st.binary(max_size=40), st.binary(max_size=40))
def test_part_reads_back_what_was_written(name: str, old: bytes, new: bytes):
    head = b'--B\r\nContent-Disposition: form-data; name="x"\r\n\r\n'
    request = post(head + old.replace(b"--B", b"") + b"\r\n--B--\r\n", b"multipart/form-data; boundary=B")
    new = new.replace(b"--B", b"")
    changed = named(request)["POST_MULTIPART_x_value"].write(new)
    changed = named(changed)["POST_MULTIPART_x_name"].write(name.encode())
    assert [p.value for p in list_points(changed) if p.layers == ("POST", "MULTIPART")] == [
        new,
        name.encode(),
    ]


@given(st.binary(max_size=80))
def test_any_body_round_trips(noise: bytes):
    assert_round_trip(post(b"--B\r\n" + noise + b"\r\n--B--", b"multipart/form-data; boundary=B"))


def test_written_body_is_what_the_email_module_reads():
    changed = named(post(BODY, MEDIA))["POST_MULTIPART_note_value"].write(b"a\r\nb")
    message = email.message_from_bytes(
        b"Content-Type: " + MEDIA + b"\r\n\r\n" + changed.body, policy=email.policy.HTTP
    )
    assert [part.get_payload() for part in message.iter_parts()] == [
        "01234",
        "",
        "<r><a>one</a></r>",
        "a\r\nb",
    ]

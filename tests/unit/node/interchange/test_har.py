import gzip
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastci.node.interchange import parse_har, write_har
from fastci.node.interchange.redaction import Redaction
from fastci.node.message import Origin, parse_request, parse_response
from fastci.node.store import Baseline


def baseline(request: bytes, response: bytes, *, body: bytes = b"", answer: bytes = b"", **facts) -> Baseline:
    given = {
        "sequence": 0,
        "started": 1790000000.25,
        "duration": 0.125,
        "connection": 3,
        "test": "tests/a.py:3::b",
        "truncated": False,
        "origin": Origin(scheme="https", host="shop.test", port=8443),
    }
    made = {"request": parse_request(request, body), "response": parse_response(response, answer)}
    return Baseline(**{**given, **made, **facts})


def archive(*baselines: Baseline) -> str:
    file = io.StringIO()
    write_har(file, baselines, version="1")
    return file.getvalue()


@given(
    value=st.binary(max_size=30).map(lambda data: data.translate(None, b"\r\n").strip()),
    body=st.binary(max_size=50),
    answer=st.binary(max_size=50),
    truncated=st.booleans(),
)
def test_har_written_and_read_same_bytes(value: bytes, body: bytes, answer: bytes, truncated: bool):
    one = baseline(
        b"POST /a%20b?c=%ff HTTP/1.1\r\nhOST: shop.test\r\nX:  " + value + b"\r\nx: 2\r\n\r\n",
        b"HTTP/1.1 200 Fine then\r\nSet-Cookie: a=1\r\nset-cookie: b=" + value + b"\r\n\r\n",
        body=body, answer=answer, truncated=truncated,
    )  # fmt: skip
    two = baseline(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 204 No Content\r\n\r\n", test="")
    assert list(parse_har(archive(one, two))) == [one, two]


def test_har_says_what_its_format_asks_for():
    page = gzip.compress(b"<p>hello</p>")
    one = baseline(
        b"POST /a?b=c&b=d HTTP/1.1\r\nHost: shop.test\r\nCookie: s=1; t=2\r\nContent-Type: a/b\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nLocation: /x\r\n\r\n",
        body=b"body", answer=page,
    )  # fmt: skip
    document = json.loads(archive(one))
    (entry,) = document["log"]["entries"]
    request, response = entry["request"], entry["response"]
    assert document["log"]["version"] == "1.2"
    assert (entry["startedDateTime"], entry["time"]) == ("2026-09-21T14:13:20.250+00:00", 125.0)
    assert (request["url"], request["bodySize"]) == ("https://shop.test:8443/a?b=c&b=d", 4)
    assert request["queryString"] == [{"name": "b", "value": "c"}, {"name": "b", "value": "d"}]
    assert request["cookies"] == [{"name": "s", "value": "1"}, {"name": "t", "value": "2"}]
    assert request["postData"]["text"] == "body"
    assert (response["status"], response["redirectURL"], response["bodySize"]) == (302, "/x", len(page))
    assert response["content"] == {"size": 12, "mimeType": "text/html", "text": "<p>hello</p>"}


def test_har_of_a_browser_read_with_framing_that_is_true():
    entry = {
        "startedDateTime": "2026-09-21T14:13:20.250Z",
        "time": 20,
        "request": {
            "method": "POST",
            "url": "https://shop.test/käse?a=1#top",
            "httpVersion": "h2",
            "headers": [
                {"name": ":authority", "value": "shop.test"},
                {"name": "content-length", "value": "999"},
                {"name": "accept-encoding", "value": "br"},
            ],
            "postData": {
                "mimeType": "application/x-www-form-urlencoded",
                "params": [{"name": "q", "value": "a b"}],
            },
        },
        "response": {
            "status": 200,
            "statusText": "",
            "headers": [
                {"name": "content-encoding", "value": "br"},
                {"name": "set-cookie", "value": "a=1\nb=2"},
            ],
            "content": {"text": "aGk=", "encoding": "base64"},
        },
    }
    (one,) = parse_har(json.dumps({"log": {"entries": [entry]}}))
    assert one.request.render() == (
        b"POST /k%C3%A4se?a=1 HTTP/1.1\r\nHost: shop.test\r\naccept-encoding: br\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\nq=a+b"
    )
    assert one.response.get_all(b"set-cookie") == [b"a=1", b"b=2"]
    assert (one.response.get(b"content-encoding"), one.response.body) == (None, b"hi")
    assert (one.started, one.duration) == (1790000000.25, 0.02)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "no log with entries"),
        ('{"log": {"entries": [{}]}}', "entry 1: 'request' is missing"),
        ('{"log": {"entries": [3]}}', "entry 1: "),
        (
            '{"log": {"entries": [{"request": {"method": "GET", "url": "ftp://x", "headers": []}}]}}',
            "not an http",
        ),
    ],
)
def test_har_that_makes_no_sense_refused_with_its_place(text: str, why: str):
    with pytest.raises(ValueError, match=why):
        list(parse_har(text))


def test_redaction_hides_secrets_even_in_compressed_answers_and_keeps_lengths_true():
    one = baseline(
        b"POST /login?token=t0psecrettoken HTTP/1.1\r\nHost: shop.test\r\nCookie: sid=abc123def\r\n"
        b"Authorization: Bearer aaaabbbbcccc\r\nContent-Length: 31\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nSet-Cookie: sid=abc123def; Path=/\r\n\r\n",
        body=b"user=ann&password=hunter2pass99",
        answer=gzip.compress(b'{"accessToken": "eyJsecretvalue", "name": "ann"}'),
    )
    redacted = Redaction().baseline(one)
    text = archive(redacted)
    for secret in ("t0psecrettoken", "abc123def", "aaaabbbbcccc", "hunter2pass99", "eyJsecretvalue"):
        assert secret not in text
    assert redacted.request.get(b"content-length") == b"%d" % len(redacted.request.body)
    assert redacted.response.get(b"content-encoding") is None
    assert b'"name": "ann"' in redacted.response.body
    assert redacted.request.get(b"cookie")[4:] == redacted.response.get(b"set-cookie")[4:].partition(b";")[0]
    assert list(parse_har(text)) == [redacted]

import json
from pathlib import Path

import pytest

from fastci.node.interchange import parse_curl, parse_postman, parse_windows, test_at
from fastci.node.store import Baseline


def curl(text: str, folder: Path = Path()) -> list[Baseline]:
    return list(parse_curl(text, folder=folder, started=5.0))


def postman(document: object, folder: Path = Path(), **variables: str) -> list[Baseline]:
    return list(parse_postman(json.dumps(document), variables=variables, folder=folder, started=5.0))


def wire(baseline: Baseline) -> bytes:
    return baseline.request.render()


HEAD = b"Host: shop.test\r\n"


@pytest.mark.parametrize(
    ("command", "request_bytes"),
    [
        ("curl http://shop.test", b"GET / HTTP/1.1\r\n" + HEAD + b"Accept: */*\r\n\r\n"),
        ("curl shop.test/a", b"GET /a HTTP/1.1\r\n" + HEAD + b"Accept: */*\r\n\r\n"),
        ("curl -sSkLI --max-time 3 http://shop.test/a",
         b"HEAD /a HTTP/1.1\r\n" + HEAD + b"Accept: */*\r\n\r\n"),
        ("curl -XDELETE -o /dev/null 'http://shop.test/a?b=1&c=2' | jq .",
         b"DELETE /a?b=1&c=2 HTTP/1.1\r\n" + HEAD + b"Accept: */*\r\n\r\n"),
        ("curl http://shop.test/ -d a=1 --data-urlencode 'b=x y&z'",
         b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Type: application/x-www-form-urlencoded\r\nAccept: */*\r\n"
         b"Content-Length: 13\r\n\r\na=1&b=x+y%26z"),
        ("curl -G http://shop.test/s -d q=1", b"GET /s?q=1 HTTP/1.1\r\n" + HEAD + b"Accept: */*\r\n\r\n"),
        ("curl http://shop.test/ --json '{\"a\":1}'",
         b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\nAccept: application/json\r\n"
         b"Content-Length: 7\r\n\r\n{\"a\":1}"),
        ("curl -u ann:pw -b s=1 -A me -H 'X: 1' -H 'Accept:' http://shop.test/",
         b"GET / HTTP/1.1\r\n" + HEAD + b"Authorization: Basic YW5uOnB3\r\nCookie: s=1\r\nUser-Agent: me\r\n"
         b"X: 1\r\nAccept: */*\r\n\r\n"),
        ("curl 'http://shop.test/' \\\n  -X PUT \\\n  --data-raw $'it\\'s\\n\\u00e9'",
         b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Type: application/x-www-form-urlencoded\r\nAccept: */*\r\n"
         b"Content-Length: 7\r\n\r\nit's\n\xc3\xa9"),
        ("curl -F 'name=ann' -F 'f=<form.txt' http://shop.test/",
         b"POST / HTTP/1.1\r\n" + HEAD +
         b"Content-Type: multipart/form-data; boundary=----fast-action-form\r\n"
         b"Accept: */*\r\nContent-Length: 179\r\n\r\n"
         b"------fast-action-form\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nann\r\n"
         b"------fast-action-form\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\ncontent\r\n"
         b"------fast-action-form--\r\n"),
        ("curl -d @form.txt http://shop.test/",
         b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Type: application/x-www-form-urlencoded\r\nAccept: */*\r\n"
         b"Content-Length: 7\r\n\r\ncontent"),
    ],
)  # fmt: skip
def test_curl_command_becomes_the_request_it_would_send(command: str, request_bytes: bytes, tmp_path: Path):
    (tmp_path / "form.txt").write_text("content")
    (baseline,) = curl(command, tmp_path)
    assert wire(baseline) == request_bytes
    assert (baseline.origin.host, baseline.response.status) == ("shop.test", 0)


def test_curl_file_with_comments_many_urls_and_several_commands():
    text = "# first\ncurl http://a.test/1 http://a.test/2\n\ncurl -s https://b.test:444/3; curl http://c.test/4\n"
    assert [f"{b.origin}{b.request.target.decode()}" for b in curl(text)] == [
        "http://a.test/1", "http://a.test/2", "https://b.test:444/3", "http://c.test/4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("curl http://a.test/\nwget http://b.test/", "line 2: not a curl command"),
        ("curl -X", "line 1: -X needs a value"),
        ("curl -s", "line 1: the command names no URL"),
        ("curl 'http://a.test/", "line 1: a quote is not closed"),
        ("curl ftp://a.test/", "line 1: 'ftp://a.test/' is not an http"),
        ("curl -d @nothing.txt http://a.test/", "line 1: .*No such file"),
    ],
)
def test_curl_that_makes_no_sense_refused_with_its_line(text: str, why: str):
    with pytest.raises(ValueError, match=why):
        curl(text)


COLLECTION = {
    "variable": [{"key": "base", "value": "http://shop.test"}, {"key": "token", "value": "t-1"}],
    "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}"}]},
    "item": [
        {
            "name": "orders",
            "item": [
                {
                    "name": "make",
                    "request": {
                        "method": "POST",
                        "header": [
                            {"key": "X-A", "value": "1"},
                            {"key": "X-Off", "value": "1", "disabled": True},
                        ],
                        "body": {
                            "mode": "raw",
                            "raw": '{"n": {{n}}}',
                            "options": {"raw": {"language": "json"}},
                        },
                        "url": {"raw": "{{base}}/orders/:id?x=1", "variable": [{"key": "id", "value": "7"}]},
                    },
                }
            ],
        },
        {
            "name": "login",
            "request": {
                "method": "POST",
                "auth": {"type": "noauth"},
                "body": {"mode": "urlencoded", "urlencoded": [{"key": "user", "value": "a b"}]},
                "url": "{{base}}/login",
            },
        },
        {"name": "bare", "request": "{{base}}/bare"},
    ],
}


def test_postman_collection_with_folders_variables_and_inherited_auth():
    made = postman(COLLECTION, n="3")
    assert wire(made[0]) == (
        b"POST /orders/7?x=1 HTTP/1.1\r\nHost: shop.test\r\nX-A: 1\r\nContent-Type: application/json\r\n"
        b'Authorization: Bearer t-1\r\nContent-Length: 8\r\n\r\n{"n": 3}'
    )
    assert wire(made[1]) == (
        b"POST /login HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: 12\r\n\r\nuser=a%20b"
    ).replace(b"12", b"10")
    assert made[2].request.target == b"/bare"


def test_postman_variable_without_a_value_named():
    with pytest.raises(ValueError, match="these variables have no value: n; give them by --variable"):
        postman(COLLECTION)


def test_postman_form_graphql_and_basic_auth(tmp_path: Path):
    (tmp_path / "a.txt").write_text("content")
    items = [
        {"name": "f", "request": {"method": "POST", "url": "http://a.test/", "body": {
            "mode": "formdata", "formdata": [
                {"key": "x", "value": "1", "type": "text"}, {"key": "y", "src": "a.txt", "type": "file"}]}}},
        {"name": "g", "request": {"method": "POST", "url": "http://a.test/", "body": {
            "mode": "graphql", "graphql": {"query": "{ a }", "variables": '{"b": 1}'}}}},
        {"name": "b", "request": {"method": "GET", "url": "http://a.test/", "auth": {
            "type": "basic", "basic": {"username": "ann", "password": "pw"}}}},
    ]  # fmt: skip
    form, graphql, basic = postman({"item": items}, tmp_path)
    assert b'name="y"; filename="a.txt"' in form.request.body
    assert json.loads(graphql.request.body) == {"query": "{ a }", "variables": {"b": 1}}
    assert basic.request.get(b"authorization") == b"Basic YW5uOnB3"


JUNIT = b"""<testsuites><testsuite name="s" timestamp="2026-09-21T14:13:20+00:00">
<testcase classname="tests.test_a" name="one" time="2.0" file="tests/test_a.py" line="12"/>
<testcase classname="tests.test_a" name="two" time="3.0" file="tests/test_a.py"/>
</testsuite><testsuite name="t" timestamp="2026-09-21T14:13:24+00:00">
<testcase classname="C" name="three" time="4"/>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("after", "test"),
    [
        (-1, ""),
        (0.5, "tests/test_a.py:12::one"),
        (2.5, "tests/test_a.py::two"),
        (4.5, ""),
        (6, "C::three"),
        (9, ""),
    ],
)
def test_junit_windows_tell_the_test_that_ran_alone_at_a_moment(after: float, test: str):
    assert test_at(parse_windows(JUNIT), 1790000000.0 + after) == test


@pytest.mark.parametrize(
    "content", [b"", b"<a/>", b"<testsuite><testcase name='x' time='1'/></testsuite>", b"<x"]
)
def test_junit_without_times_refused(content: bytes):
    with pytest.raises(ValueError, match=r"not XML|no testsuite"):
        parse_windows(content)

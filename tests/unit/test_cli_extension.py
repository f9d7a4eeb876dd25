"""`fastci extension check` and `try` beside what docs/extensions.md shows of them."""

import json
from pathlib import Path

import pytest

from fastci import cli

GOOD = """meta-info: {type: sqli, title: Quote}
generate: {payload: ["'"], method: [postfix], into: [GET, HEADER_X-ID]}
detect: {response: [{body: syntax error}]}
"""


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(["extension", *arguments])
    return int(caught.value.code or 0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quote.yaml").write_text(GOOD)
    Path("get.http").write_text("GET /a?b=1 HTTP/1.1\nHost: shop.example\nX-Id: 7\n")
    Path("post.http").write_text(
        "POST /a HTTP/1.1\nHost: shop.example:8080\nContent-Type: application/json\nContent-Length: 9\n\n"
        '{"n": 1}\n'
    )


def har(*urls: str) -> str:
    entries = [
        {
            "request": {"method": "GET", "url": url, "httpVersion": "HTTP/1.1", "headers": [], "cookies": []},
            "response": {"status": 200, "statusText": "OK", "headers": [], "content": {"text": "fine"}},
            "startedDateTime": "2026-01-01T00:00:00Z",
            "time": 5,
        }
        for url in urls
    ]
    return json.dumps({"log": {"version": "1.2", "entries": entries}})


def test_check_ends_with_2_and_tells_every_fault_of_every_file(capsys: pytest.CaptureFixture[str]):
    Path("bad.yaml").write_text("meta-info: {type: sqlx}\ndetect: [respons]\n")
    Path("worse.yaml").write_text("meta-info: {type: [\n")
    assert ended("check", "quote.yaml", "bad.yaml", "worse.yaml") == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "quote.yaml: ok, sqli (Quote), 1 payload by postfix"
    assert [line.partition(" ")[0] for line in lines[1:]] == [
        "bad.yaml:1:19:",
        "bad.yaml:2:10:",
        "worse.yaml:2:1:",
    ]
    assert ended("check", "quote.yaml") == 0
    assert ended("check", "none.yaml") == 2


def test_try_with_requests_of_a_har_file(capsys: pytest.CaptureFixture[str]):
    Path("all.har").write_text(har("http://shop.example/a?b=1", "https://shop.example/c"))
    assert ended("try", "quote.yaml", "--har", "all.har") == 0
    told = capsys.readouterr().out
    assert "GET /a?b=1%27 HTTP/1.1" in told
    assert "GET /c HTTP/1.1\n  not tested: generate: no point of the request is meant by `into`" in told


def test_try_says_what_the_policy_leaves_out(capsys: pytest.CaptureFixture[str]):
    Path("header.yaml").write_text(GOOD.replace("[GET, HEADER_X-ID]", "HEADER_X-ID"))
    assert ended("try", "header.yaml", "--request", "get.http") == 0
    assert "not tested: generate: the policy does not admit HEADER_X-Id_value" in capsys.readouterr().out
    assert ended("try", "header.yaml", "--request", "get.http", "--policy", "thorough") == 0
    assert "  points: HEADER_X-Id_value\n  test requests: 1\n" in capsys.readouterr().out


def test_try_shows_a_body_that_changed(capsys: pytest.CaptureFixture[str]):
    Path("body.yaml").write_text(GOOD.replace("[GET, HEADER_X-ID]", "POST_JSON_DOC_HASH_n"))
    assert ended("try", "body.yaml", "--request", "post.http") == 0
    assert '     POST /a HTTP/1.1\n     {"n": "1\'"}\n' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("quote.yaml",), "name one of --request and --har"),
        (("quote.yaml", "--request", "get.http", "--har", "x.har"), "name one of --request and --har"),
        (("quote.yaml", "--request", "none.http"), "none.http cannot be read"),
        (("quote.yaml", "--request", "quote.yaml"), "holds no request"),
        (("quote.yaml", "--har", "quote.yaml"), "quote.yaml cannot be read"),
        (("quote.yaml", "--request", "get.http", "--policy", "nope"), "there is no test policy 'nope'"),
    ],
)
def test_try_refuses_what_it_cannot_use(
    arguments: tuple[str, ...], fault: str, capsys: pytest.CaptureFixture[str]
):
    assert ended("try", *arguments) == 2
    assert fault in capsys.readouterr().err


def test_try_of_an_extension_whose_expression_hangs_is_its_fault(capsys: pytest.CaptureFixture[str]):
    Path("slow.yaml").write_text(GOOD + "match: [{GET_b: '^(a|a)*$'}]\n")
    Path("get.http").write_text(f"GET /a?b={'a' * 40}b HTTP/1.1\nHost: shop.example\n")
    assert ended("try", "slow.yaml", "--request", "get.http") == 2
    assert "slow.yaml:4:17: the regular expression '^(a|a)*$' took longer" in capsys.readouterr().out


def test_try_on_a_target_that_is_not_there_is_no_pass(capsys: pytest.CaptureFixture[str]):
    assert ended("try", "quote.yaml", "--request", "get.http", "--target", "http://127.0.0.1:9") == 3
    assert "Connection failed" in capsys.readouterr().out

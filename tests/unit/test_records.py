"""`fastci records` on real files."""

import gzip
import json
import re
import stat
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fastci.cli.records import records
from fastci.errors import UsageError
from fastci.node.message import Origin, parse_request, parse_response
from fastci.node.store import Store

ORIGIN = Origin(scheme="http", host="shop.test", port=80)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / ".fast"


def call(workspace: Path, *words: str, **environ: str) -> Result:
    given = [words[0], "--workspace", str(workspace), *words[1:]]
    result = CliRunner().invoke(records, given, obj={}, env=environ)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def made(workspace: Path, *targets: str, **facts: str) -> str:
    recorder = Store(workspace, key=facts.pop("key", "")).create("made", **facts)
    for number, target in enumerate(targets):
        request = parse_request(
            f"GET {target} HTTP/1.1\r\nHost: shop.test\r\nCookie: sid=s3cret{number}x\r\n\r\n".encode()
        )
        response = parse_response(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", b"answer")
        recorder.add(ORIGIN, request, response, started=1790000000.0 + number, duration=0.1)
    recorder.see("tunnel", "b.test")
    recorder.close()
    return recorder.id


def test_list_tells_records_with_their_facts(workspace: Path):
    made(workspace, "/1", "/2", build_id="77")
    made(workspace, "/1", key="5a" * 32)
    lines = call(workspace, "list").output.splitlines()
    assert re.search(r"rec_0001 +made +77 .* closed +2", lines[1])
    assert re.search(r"rec_0002 .* closed, encrypted +1", lines[2])


def test_show_marks_requests_of_one_route_and_shape(workspace: Path):
    made(workspace, "/orders/1", "/orders/2", "/orders", "/orders?x=1")
    lines = call(workspace, "show", "rec_0001").output.splitlines()
    rows = {line.split()[0]: line for line in lines if line.strip().startswith("bl_")}
    assert rows["bl_2"].rstrip().endswith("like bl_1")
    assert not any("like" in rows[name] for name in ("bl_1", "bl_3", "bl_4"))
    assert "seen, not recorded: 1 x tunnel b.test" in lines


def test_show_one_exchange_redacted_unless_asked(workspace: Path):
    made(workspace, "/1")
    shown = call(workspace, "show", "rec_0001", "--baseline", "bl_1").stdout_bytes
    whole = call(workspace, "show", "rec_0001", "--baseline", "bl_1", "--secrets").stdout_bytes
    assert b"Cookie: sid=REDACTED-1\r\n" in shown
    assert b"Cookie: sid=s3cret0x\r\n" in whole
    assert whole.endswith(b"answer\n")


def test_show_one_exchange_with_a_compressed_answer_decoded(workspace: Path):
    recorder = Store(workspace).create("compressed")
    request = parse_request(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    for coding, body in (("gzip", gzip.compress(b"plain words")), ("deflate", zlib.compress(b"plain words"))):
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n".encode()
        recorder.add(ORIGIN, request, parse_response(head, body), started=1790000000.0, duration=0.1)
    recorder.close()
    for name in ("bl_1", "bl_2"):
        shown = call(workspace, "show", "rec_0001", "--baseline", name, "--secrets").stdout_bytes
        assert shown.endswith(b"\r\n\r\nplain words\n")


def test_export_and_import_same_baselines(workspace: Path, tmp_path: Path):
    made(workspace, "/1", "/2?a=%ff")
    call(workspace, "export", "rec_0001", "--har", str(tmp_path / "a.har"), "--secrets")
    imported = call(workspace, "import", "--har", str(tmp_path / "a.har"), "--build-id", "9", "--name", "n")
    store = Store(workspace)
    first, second = store.records()
    assert imported.output == "rec_0002: 2 baselines\n"
    assert list(store.baselines(first)) == list(store.baselines(second))
    assert (second.name, second.build_id, second.closed is not None) == ("n", "9", True)
    assert stat.S_IMODE((tmp_path / "a.har").stat().st_mode) == 0o600


def test_export_redacts_unless_asked(workspace: Path, tmp_path: Path):
    made(workspace, "/1")
    call(workspace, "export", "rec_0001", "--har", str(tmp_path / "a.har"))
    text = (tmp_path / "a.har").read_text()
    assert json.loads(text)["log"]["entries"][0]["request"]["cookies"] == [
        {"name": "sid", "value": "REDACTED-1"}
    ]
    assert "s3cret" not in text


def test_import_of_other_hosts_left_out_and_said(workspace: Path, tmp_path: Path):
    (tmp_path / "all.sh").write_text("curl http://shop.test/a\ncurl http://ads.test/b\n")
    output = call(
        workspace, "import", "--curl", str(tmp_path / "all.sh"), "--allowed-hosts", ".shop.test"
    ).output
    assert output == "rec_0001: 1 baselines, 1 of other hosts left out\n"


def test_import_of_a_broken_file_leaves_no_record(workspace: Path, tmp_path: Path):
    (tmp_path / "all.sh").write_text("curl http://shop.test/a\nwget x\n")
    with pytest.raises(UsageError, match=r"all\.sh cannot be imported") as caught:
        call(workspace, "import", "--curl", str(tmp_path / "all.sh"))
    assert caught.value.why == "line 2: not a curl command"
    assert list((workspace / "records").iterdir()) == []


def test_merge_in_order_and_without_duplicates(workspace: Path):
    made(workspace, "/a", "/b/1")
    made(workspace, "/b/2", "/c")
    assert call(workspace, "merge", "rec_0002", "rec_0001").output == "rec_0003: 4 baselines\n"
    assert (
        call(workspace, "merge", "rec_0001", "rec_0002", "--drop-duplicates").output
        == "rec_0004: 3 baselines\n"
    )
    store = Store(workspace)
    targets = [[b.request.target for b in store.baselines(record)] for record in store.records()[2:]]
    assert targets == [[b"/b/2", b"/c", b"/a", b"/b/1"], [b"/a", b"/b/1", b"/c"]]


def test_merge_of_an_encrypted_record_needs_its_key(workspace: Path):
    made(workspace, "/a", key="5a" * 32)
    with pytest.raises(UsageError, match="rec_0001 is encrypted"):
        call(workspace, "merge", "rec_0001")
    assert call(workspace, "merge", "rec_0001", FAST_RECORD_KEY="5a" * 32).output == "rec_0002: 1 baselines\n"


def test_attribute_names_tests_by_the_times_of_a_junit_file(workspace: Path, tmp_path: Path):
    made(workspace, "/a", "/b", "/c")
    (tmp_path / "junit.xml").write_text(
        '<testsuite timestamp="2026-09-21T14:13:19.500+00:00">'
        '<testcase name="one" file="t.py" line="3" time="1"/>'
        '<testcase name="two" classname="C" time="1"/></testsuite>'
    )
    output = call(workspace, "attribute", "rec_0001", "--junit", str(tmp_path / "*.xml")).output
    store = Store(workspace)
    assert output == "rec_0001: 2 of 3 baselines have a test\n"
    assert [b.test for b in store.baselines(store.choose())] == ["t.py:3::one", "C::two", ""]


def test_unknown_record_names_known_ones(workspace: Path):
    made(workspace, "/a")
    with pytest.raises(UsageError, match="there is no test record rec_7") as caught:
        call(workspace, "show", "rec_7")
    assert caught.value.why == "known records: rec_0001"


def kept(workspace: Path, *exchanges: tuple[str, str, str], host: str = "shop.test") -> str:
    """A record of requests (start line, further head lines) and the heads of their answers."""
    recorder = Store(workspace).create("made")
    for start, head, answer in exchanges:
        request = parse_request(f"{start} HTTP/1.1\r\nHost: {host}\r\n{head}\r\n".encode())
        response = parse_response(f"HTTP/1.1 {answer}\r\n\r\n".encode(), b"")
        recorder.add(replace(ORIGIN, host=host), request, response, started=1.0, duration=0.1)
    recorder.close()
    return recorder.id


def test_diff_tells_what_appeared_and_vanished_between_two_records(workspace: Path):
    cookie = "Cookie: sid=1\r\n"
    kept(workspace, ("GET /orders/1?a=1", cookie, "200 OK"), ("GET /old", cookie, "200 OK"))
    kept(
        workspace,
        ("GET /orders/77?a=1&b=2", cookie, "200 OK"),
        ("GET /export", "", "200 OK"),
        ("GET /account", "", "302 Found\r\nLocation: /login"),
        ("GET /api", "X-Api-Key: k\r\n", "200 OK"),
    )
    told = json.loads(call(workspace, "diff", "rec_0001", "rec_0002", "--json").output)
    assert told == {
        "hosts": {"appeared": [], "vanished": []},
        "routes": {"appeared": ["GET /account", "GET /api", "GET /export"], "vanished": ["GET /old"]},
        "parameters": {"appeared": ["GET /orders/{}: GET_b"], "vanished": []},
        "open_routes": {"appeared": ["GET /export"], "vanished": []},
    }
    lines = call(workspace, "diff", "rec_0002", "rec_0001").output.splitlines()
    assert "routes: 1 appeared, 3 vanished" in lines
    assert "  + GET /old" in lines


def test_diff_tells_hosts_and_routes_that_were_opened_and_closed(workspace: Path):
    cookie, bearer = "Cookie: sid=1\r\n", "Authorization: Bearer t\r\n"
    kept(workspace, ("GET /export", cookie, "200 OK"), ("GET /docs", "", "200 OK"), ("GET /a", "", "200 OK"))
    kept(
        workspace, ("GET /export", "", "200 OK"), ("GET /docs", bearer, "200 OK"), ("GET /a", "", "401 No"),
        host="stage.test",
    )  # fmt: skip
    told = json.loads(call(workspace, "diff", "rec_0001", "rec_0002", "--json").output)
    assert told["hosts"] == {"appeared": ["stage.test"], "vanished": ["shop.test"]}
    assert told["routes"] == {"appeared": [], "vanished": []}
    assert told["open_routes"] == {"appeared": ["GET /export"], "vanished": ["GET /a", "GET /docs"]}
    lines = call(workspace, "diff", "rec_0001", "rec_0002").output.splitlines()
    assert lines[:3] == ["hosts: 1 appeared, 1 vanished", "  + stage.test", "  - shop.test"]
    assert lines[-4:] == [
        "open routes: 1 appeared, 2 vanished", "  + GET /export", "  - GET /a", "  - GET /docs",
    ]  # fmt: skip


def test_diff_takes_a_record_file_of_another_workspace(workspace: Path, tmp_path: Path):
    kept(workspace, ("GET /a", "", "200 OK"))
    other = tmp_path / "yesterday"
    kept(other, ("GET /b", "", "200 OK"))
    told = call(workspace, "diff", str(other / "records" / "rec_0001.sqlite"), "rec_0001", "--json").output
    assert json.loads(told)["routes"] == {"appeared": ["GET /a"], "vanished": ["GET /b"]}
    with pytest.raises(UsageError, match="there is no record file"):
        call(workspace, "diff", str(other / "records" / "rec_0009.sqlite"), "rec_0001")

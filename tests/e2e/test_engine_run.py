"""Whole runs of the engine against real targets: what is found, what is not, and how a run ends."""

import html
import itertools
import random
import socket
import statistics
import threading
import time
from pathlib import Path

import pytest
from engine_target import (
    Asked,
    Said,
    baseline,
    free_port,
    record_exchanges,
    request,
    run_engine,
    web_target,
)

from fastci.node.message import Origin, Response
from fastci.node.store import Baseline

XSS = """
meta-info: {type: xss, title: Reflected script, threat: 50, description: d}
generate: {payload: ['<STR_MARKER>', '"><STR_MARKER>']}
detect: {response: [{body: [{html: [tag]}]}]}
"""
SQL_ERROR = """
meta-info: {type: sqli, title: SQL error, threat: 80, description: d}
generate: {payload: ["'"], method: [postfix]}
detect: {response: [{body: 'syntax error near'}]}
"""
CALC = """
meta-info: {type: ssti, title: Template, threat: 80, description: d}
generate: {payload: ['{{CALC_MARKER}}']}
detect: {response: [{body: 'CALC_MARKER'}]}
"""


def page(body: str, **options: object) -> Said:
    return Said(body=f"<html><body>{body}</body></html>", **options)  # type: ignore[arg-type]


def flawed(asked: Asked) -> Said:
    """`q` is echoed as it is, `id` breaks a query; `safe` and `number` are the repaired twins."""
    query = asked.query
    if "'" in query.get("id", ""):
        return page("syntax error near ''", status=500)
    safe, number = html.escape(query.get("safe", "")), query.get("number", "0")
    if not number.isdigit():
        return page("bad number", status=400)
    return page(f"<p>{query.get('q', '')}</p><p>{safe}</p><p>{number}</p>")


def test_flaws_are_found_and_repaired_twins_are_not(tmp_path: Path):
    with web_target(flawed) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/p?q=tea&safe=tea&id=5&number=7")])
        outcome = run_engine(baselines, [XSS, SQL_ERROR, CALC], tmp_path)
    assert outcome.found == [("xss", "GET_q_value", "/p"), ("sqli", "GET_id_value", "/p")]
    run = outcome.run
    assert (run.state, run.complete, run.checks[0].state) == ("failed", True, "failed")
    assert run.checks[0].findings == ["v1", "v2"]
    xss = run.findings[0]
    assert xss.code == "e1"
    assert xss.cwe == [79]
    assert xss.place.url == f"{target.origin}/p?q=tea&safe=tea&id=5&number=7"
    evidence = xss.evidence
    assert evidence.confirmation is not None
    assert evidence.control is not None
    assert evidence.payload.encode() in evidence.attack.response
    assert evidence.attack.request != evidence.confirmation.request
    assert evidence.control.status == 200
    assert "curl" in xss.curl
    assert (
        "[info] Found 2 vulnerabilities, marking the test set for baseline #bl_1 as failed" in outcome.lines
    )


def test_run_takes_the_time_it_takes_however_the_clock_is_set_back(tmp_path: Path, monkeypatch):
    moments = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(moments)))
    with web_target(flawed) as target:
        outcome = run_engine(record_exchanges(target.origin, [request("GET", "/p?q=tea")]), [XSS], tmp_path)
    assert 0 < outcome.run.end_time - outcome.run.start_time < 60


def test_finding_is_as_sure_as_its_extension_says(tmp_path: Path):
    with web_target(flawed) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/p?q=tea")])
        unsure = XSS.replace("threat: 50", "threat: 50, confidence: firm")
        outcome = run_engine(baselines, [unsure], tmp_path)
    assert [finding.confidence for finding in outcome.run.findings] == ["firm"]


def test_flaw_of_a_form_field_is_not_told_again_for_the_whole_body(tmp_path: Path):
    with web_target(lambda asked: page(asked.form.get("text", ""))) as target:
        baselines = record_exchanges(target.origin, [request("POST", "/say", "page=1&text=tea")])
        appended = XSS.replace("generate: {", "generate: {method: [postfix], ")
        outcome = run_engine(baselines, [appended], tmp_path)
    assert [f.point for f in outcome.run.findings] == ["POST_FORM_URLENCODED_text_value"]


def test_clean_target_passes_with_its_coverage(tmp_path: Path):
    with web_target(lambda asked: page(html.escape(str(asked.query)))) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/p?a=tea&b=1")])
        outcome = run_engine(baselines, [XSS], tmp_path)
        sent = len(target.asked) - 1
    assert outcome.run.state == "passed"
    assert outcome.run.sent_requests == sent
    rows = {row.point: row for row in outcome.run.checks[0].coverage}
    assert rows["GET_a_value"].state == "tested"
    assert rows["GET_a_value"].requests == 2
    assert sum(row.requests for row in rows.values()) == sent - 1
    assert "[info] No issues found. Test set for baseline #bl_1 passed." in outcome.lines


def test_error_that_is_always_there_is_no_finding(tmp_path: Path):
    with web_target(lambda _: page("syntax error near ''")) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/p?id=5")])
        outcome = run_engine(baselines, [SQL_ERROR], tmp_path)
    assert outcome.run.state == "passed"


def test_error_that_any_value_causes_is_no_finding(tmp_path: Path):
    def handler(asked: Asked) -> Said:
        return page("fine" if asked.query.get("id") == "five" else "syntax error near it")

    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/p?id=five")])
        outcome = run_engine(baselines, [SQL_ERROR], tmp_path)
    assert outcome.run.state == "passed"


def test_error_that_comes_once_is_no_finding(tmp_path: Path):
    count = iter(range(1000))

    def handler(asked: Asked) -> Said:
        return page("syntax error near" if "'" in asked.query["id"] and next(count) == 0 else "fine")

    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/p?id=five")])
        outcome = run_engine(baselines, [SQL_ERROR], tmp_path)
    assert outcome.run.state == "passed"
    assert next(count) > 1


def test_one_flaw_at_several_baselines_is_one_finding_with_all_places(tmp_path: Path):
    with web_target(flawed) as target:
        requests = [
            request("GET", f"/p/{number}?q=tea{extra}") for number, extra in ((1, ""), (2, ""), (3, "&x=1"))
        ]
        baselines = record_exchanges(target.origin, requests)
        outcome = run_engine(baselines, [XSS], tmp_path)
    assert outcome.found == [("xss", "GET_q_value", "/p/{}")]
    places = [(place.baseline, place.test) for place in outcome.run.findings[0].places]
    assert sorted(places) == [("bl_1", "test_1"), ("bl_2", "test_2"), ("bl_3", "test_3")]
    assert [check.state for check in outcome.run.checks] == ["failed", "passed", "failed"]
    assert outcome.run.checks[1].coverage[0].reason.startswith("duplicate of bl_1")


def test_same_seed_sends_the_same_requests_however_many_workers(tmp_path: Path):
    requests = [request("GET", f"/r{name}?q=tea&z={name}") for name in "abcdefgh"]

    def sent(workers: int, seed: int) -> list[list[str]]:
        with web_target(flawed) as target:
            baselines = record_exchanges(target.origin, requests)
            target.asked.clear()
            run_engine(baselines, [XSS, CALC], tmp_path, WORKERS=str(workers), FAST_SEED=str(seed))
            return [
                [f"{a.path} {a.query}" for a in target.asked if a.path.startswith(f"/r{name}")]
                for name in "abcdefgh"
            ]

    assert sent(1, 7) == sent(10, 7)
    assert sent(1, 7) != sent(1, 8)


def test_stop_on_first_fail_ends_the_run(tmp_path: Path):
    with web_target(flawed) as target:
        requests = [request("GET", f"/r{name}?q=tea&w=1&x=2&y=3") for name in "abcdefgh"]
        baselines = record_exchanges(target.origin, requests)
        options = {"WORKERS": "1", "TEST_RUN_STOP_ON_FIRST_FAIL": "true"}
        outcome = run_engine(baselines, [XSS], tmp_path, **options)
    assert len(outcome.found) == 1
    assert (outcome.run.state, outcome.run.complete) == ("failed", False)
    assert [check.state for check in outcome.run.checks] == ["failed"] + ["interrupted"] * 7


def test_stop_keeps_what_is_known_and_says_interrupted(tmp_path: Path):
    with web_target(flawed) as target:
        requests = [request("GET", f"/r{name}?q=tea&w=1&x=2&y=3") for name in "abcdefghijkl"]
        baselines = record_exchanges(target.origin, requests)
        outcome = run_engine(
            baselines, [XSS, CALC], tmp_path, WORKERS="2",
            stop_when=lambda lines: sum("as failed" in line for line in lines) >= 3,
        )  # fmt: skip
    run = outcome.run
    assert (run.state, run.complete) == ("interrupted", False)
    states = [check.state for check in run.checks]
    assert states.count("failed") >= 3
    assert "interrupted" in states
    assert len(run.findings) >= 3


def test_target_that_is_down_is_a_technical_failure_soon(tmp_path: Path):
    origin = Origin(scheme="http", host="127.0.0.1", port=free_port())
    asked = [request("GET", f"/r{number}x?q=tea") for number in range(30)]
    baselines = [baseline(n, origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
    begin = time.monotonic()
    outcome = run_engine(baselines, [XSS], tmp_path, FAST_SKIP_DUPLICATES="false")
    assert time.monotonic() - begin < 6
    run = outcome.run
    assert (run.state, run.findings) == ("failed", [])
    assert {check.state for check in run.checks} == {"tech_failed"}
    assert all(check.error.startswith("Connection failed: ") for check in run.checks)
    assert any(message.startswith("Connection failed: ") for message in run.messages)


def mortal_target(answers: int) -> Origin:
    """Answers so many requests on one connection after the other, then nobody listens any more."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        left = answers
        with listener:
            while left:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as lines:
                    while left and lines.readline():
                        while lines.readline() != b"\r\n":
                            pass
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        left -= 1

    threading.Thread(target=serve, daemon=True).start()
    return Origin(scheme="http", host="127.0.0.1", port=listener.getsockname()[1])


def test_target_that_dies_on_the_way_leaves_no_passed_checks_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fastci.node.engine.health._PATIENCE_WHEN_IT_LIVED", 1.0)
    origin = mortal_target(60)
    asked = [request("GET", f"/r{name}?q=tea&w=1") for name in "abcdefghijkl"]
    baselines = [baseline(n, origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
    outcome = run_engine(baselines, [XSS], tmp_path, WORKERS="1")
    states = [check.state for check in outcome.run.checks]
    assert outcome.run.state == "failed"
    assert states[0] == "passed"
    assert states[-1] == "tech_failed"
    assert set(states) == {"passed", "tech_failed"}
    assert outcome.run.checks[-1].error.startswith("Connection failed: ")


def test_target_that_answers_500_to_everything_is_a_technical_failure(tmp_path: Path):
    with web_target(lambda _: page("sorry", status=500)) as target:
        asked = [request("GET", f"/r{name}?q=tea") for name in "abc"]
        asked.append(request("POST", "/save", "q=tea"))
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(baselines, [XSS], tmp_path)
        # Three are tried again three times; then it is clear that no waiting helps.
        assert len(target.asked) == 3 * 4 + 1
    assert outcome.run.state == "failed"
    assert {check.error for check in outcome.run.checks} == {"Recording error: recorded 200, now 500"}


def test_baseline_that_fails_for_a_moment_is_tried_again(tmp_path: Path):
    """As where a database is locked by what another request writes."""
    failed = threading.Event()

    def handler(asked: Asked) -> Said:
        if asked.path == "/save" and not failed.is_set():
            failed.set()
            return page("database is locked", status=500)
        return page("saved " + asked.form.get("q", ""))

    with web_target(handler) as target:
        asked = [request("GET", "/home?x=1"), request("POST", "/save", "q=tea")]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(baselines, [XSS], tmp_path)
    assert [f.point for f in outcome.run.findings] == ["POST_FORM_URLENCODED_q_value"]
    assert [check.error for check in outcome.run.checks] == ["", ""]


def test_baselines_that_always_fail_do_not_cost_others_the_patience_with_a_busy_target(tmp_path: Path):
    refused = threading.Event()

    def handler(asked: Asked) -> Said:
        if asked.path != "/rd":
            return page("sorry", status=500)
        if not refused.is_set():
            refused.set()
            return page("busy", status=503)
        return page(asked.query["q"])

    with web_target(handler) as target:
        asked = [request("GET", f"/r{name}?q=tea") for name in "abcd"]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(baselines, [XSS], tmp_path, WORKERS="1")
    assert outcome.found == [("xss", "GET_q_value", "/rd")]


def test_wrong_target_that_knows_no_page_does_not_pass(tmp_path: Path):
    with web_target(lambda _: page("not here", status=404)) as target:
        asked = [request("GET", f"/r{name}?q=tea") for name in "abc"]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(baselines, [XSS], tmp_path)
    assert outcome.run.state == "failed"
    assert {check.state for check in outcome.run.checks} == {"tech_failed"}
    assert "no baseline answers as it did" in " ".join(outcome.run.messages)


def test_created_object_that_exists_already_is_tested_and_noted(tmp_path: Path):
    def handler(asked: Asked) -> Said:
        return (
            page("exists: " + asked.form.get("name", ""), status=409)
            if asked.method == "POST"
            else page("ok")
        )

    with web_target(handler) as target:
        asked = [request("GET", "/home?x=1"), request("POST", "/items", "name=tea")]
        statuses = (200, 201)
        baselines = [
            baseline(n, target.origin, a, Response(status=statuses[n - 1])) for n, a in enumerate(asked, 1)
        ]
        outcome = run_engine(baselines, [XSS], tmp_path)
    assert [f.point for f in outcome.run.findings] == ["POST_FORM_URLENCODED_name_value"]
    assert "recorded 201, now 409" in outcome.run.checks[1].coverage[0].reason


def test_dead_session_is_a_technical_failure_when_it_cannot_be_renewed(tmp_path: Path):
    with web_target(lambda _: page("who are you", status=401)) as target:
        asked = request("GET", "/me?q=tea", Cookie="sid=dead-session-1")
        outcome = run_engine([baseline(1, target.origin, asked, Response(status=200))], [XSS], tmp_path)
    assert outcome.run.checks[0].error == "Auth failed: recorded 200, now 401"
    assert outcome.run.state == "failed"


class LoginSite:
    """Sessions live in memory; one-time form tokens; `restart` forgets every session."""

    def __init__(self) -> None:
        self.sessions: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.random = random.Random(4)

    def restart(self) -> None:
        self.sessions.clear()
        self.tokens.clear()

    def __call__(self, asked: Asked) -> Said:
        sid = asked.headers.get("cookie", "").partition("sid=")[2].partition(";")[0]
        if asked.path == "/login" and asked.method == "GET":
            token = f"{self.random.getrandbits(128):032x}"
            self.tokens.add(token)
            form = f'<form><input type=password name=p><input type=hidden name=csrf value="{token}"></form>'
            return page(form)
        if asked.path == "/login":
            if asked.form.get("csrf") not in self.tokens or asked.form.get("p") != "secret":
                return page("no", status=302, headers={"Location": "/login"})
            self.tokens.discard(asked.form["csrf"])
            new = f"{self.random.getrandbits(128):032x}"
            self.sessions[new] = "joe"
            return page("", status=302, headers={"Location": "/me", "Set-Cookie": f"sid={new}; Path=/"})
        if sid not in self.sessions:
            return page("", status=302, headers={"Location": "/login?next=/me"})
        if asked.path == "/logout":
            del self.sessions[sid]
            gone = "sid=; Path=/; Max-Age=0"
            return page("", status=302, headers={"Location": "/login", "Set-Cookie": gone})
        return page(f"<h1>joe</h1>{asked.query.get('q', '')}")


def recorded_login(origin: Origin, *targets: str) -> list[Baseline]:
    """What a browser does: form, login, then these pages."""
    form = record_exchanges(origin, [request("GET", "/login")])[0]
    token = form.response.body.partition(b'value="')[2].partition(b'"')[0].decode()
    login = record_exchanges(origin, [request("POST", "/login", f"p=secret&csrf={token}")])[0]
    cookie = (login.response.get(b"set-cookie") or b"").partition(b";")[0].decode()
    pages = record_exchanges(origin, [request("GET", target, Cookie=cookie) for target in targets])
    exchanges = [(b.request, b.response) for b in (form, login, *pages)]
    return [baseline(n, origin, a, r) for n, (a, r) in enumerate(exchanges, 1)]


def test_dead_session_is_brought_back_by_replaying_the_login(tmp_path: Path):
    site = LoginSite()
    with web_target(site) as target:
        baselines = recorded_login(target.origin, "/me?q=tea", "/other?q=tea", "/logout")
        site.restart()
        outcome = run_engine(baselines, [XSS], tmp_path)
    assert outcome.found == [("xss", "GET_q_value", "/me"), ("xss", "GET_q_value", "/other")]
    states = {check.url.rpartition("/")[2]: check.state for check in outcome.run.checks}
    assert states["logout"] == "passed"
    assert states["me?q=tea"] == "failed"


def test_session_that_dies_during_the_attacks_is_noticed_and_brought_back(tmp_path: Path):
    site = LoginSite()
    seen = 0

    def handler(asked: Asked) -> Said:
        nonlocal seen
        if asked.query.get("a", "tea") != "tea":
            seen += 1
            if seen == 2:
                site.restart()
        return site(asked)

    with web_target(handler) as target:
        baselines = recorded_login(target.origin, "/me?a=tea&q=tea")
        outcome = run_engine(baselines, [XSS], tmp_path, WORKERS="1")
    assert seen == 3  # what the lost session refused was sent again
    assert outcome.found == [("xss", "GET_q_value", "/me")]


@pytest.mark.parametrize("refusal", [403, 302])
def test_form_with_a_token_for_one_use_is_attacked_with_fresh_ones(tmp_path: Path, refusal: int):
    tokens: set[str] = set()
    rng = random.Random(6)

    def handler(asked: Asked) -> Said:
        if asked.path == "/form":
            token = f"{rng.getrandbits(128):032x}"
            tokens.clear()
            tokens.add(token)
            return page(f'<form><input type=hidden name=csrf_token value="{token}"><input name=text></form>')
        if asked.method == "POST":
            if asked.form.get("csrf_token") not in tokens:
                return page("no", status=refusal, headers={"Location": "/form"} if refusal == 302 else {})
            tokens.clear()
            return page(f"you said {asked.form.get('text', '')}")
        return page("home")

    with web_target(handler) as target:
        form = record_exchanges(target.origin, [request("GET", "/form")])[0]
        token = form.response.body.partition(b'value="')[2].partition(b'"')[0].decode()
        post = request("POST", "/say", f"csrf_token={token}&text=tea")
        said = record_exchanges(target.origin, [post])[0]
        baselines = [form, baseline(2, target.origin, post, said.response)]
        outcome = run_engine(baselines, [XSS], tmp_path)
    assert outcome.found == [("xss", "POST_FORM_URLENCODED_text_value", "/say")]
    assert any("put off" in line for line in outcome.lines)


def test_tokens_are_fetched_only_for_requests_that_carry_them(tmp_path: Path):
    tokens: set[str] = set()
    rng = random.Random(9)

    def handler(asked: Asked) -> Said:
        if asked.path == "/form":
            tokens.clear()
            tokens.add(f"{rng.getrandbits(128):032x}")
            hidden = f'<input type=hidden name=csrf_token value="{next(iter(tokens))}">'
            return page(f"<form>{hidden}<input name=text></form>")
        if asked.method == "POST":
            fine = asked.form.get("csrf_token") in tokens
            tokens.clear()
            return page("", status=302, headers={"Location": "/thanks" if fine else "/form"})
        return page("thank you")

    with web_target(handler) as target:
        form = record_exchanges(target.origin, [request("GET", "/form")])[0]
        token = form.response.body.partition(b'value="')[2].partition(b'"')[0].decode()
        post = request("POST", "/say", f"csrf_token={token}&text=tea")
        said = record_exchanges(target.origin, [post])[0]
        before = len(target.asked)
        run_engine([form, baseline(2, target.origin, post, said.response)], [XSS], tmp_path)
        asked = [(a.method, a.path) for a in target.asked[before:]]
    posts, forms = asked.count(("POST", "/say")), asked.count(("GET", "/form"))
    assert posts > 4
    assert asked.count(("GET", "/thanks")) > 2
    # The form is a baseline too, and an attack on the token itself leads back to it.
    assert forms <= posts + 4


def test_tokens_that_each_answer_gives_out_are_taken_from_it(tmp_path: Path):
    tokens: set[str] = set()
    rng = random.Random(12)

    def form(said: str = "") -> Said:
        tokens.clear()
        tokens.add(f"{rng.getrandbits(128):032x}")
        hidden = f'<form class="say"><input type="hidden" name="csrf_token" value="{next(iter(tokens))}">'
        return page(f"<title>Say something</title><h1>Say</h1>{hidden}<input name=text></form>{said}")

    def handler(asked: Asked) -> Said:
        if asked.method == "POST":
            if asked.form.get("csrf_token") not in tokens:
                return page("no", status=403)
            return form(f"<p>you said {asked.form.get('text', '')}</p>")
        return form() if asked.path == "/form" else page("home")

    with web_target(handler) as target:
        first = record_exchanges(target.origin, [request("GET", "/form")])[0]
        token = first.response.body.partition(b'value="')[2].partition(b'"')[0].decode()
        post = request("POST", "/say", f"csrf_token={token}&text=tea")
        said = record_exchanges(target.origin, [post])[0]
        before = len(target.asked)
        outcome = run_engine([first, baseline(2, target.origin, post, said.response)], [XSS, MANY], tmp_path)
        asked = [(a.method, a.path) for a in target.asked[before:]]
    assert outcome.found == [("xss", "POST_FORM_URLENCODED_text_value", "/say")]
    posts, forms = asked.count(("POST", "/say")), asked.count(("GET", "/form"))
    assert posts > 50
    # The form is a baseline too, of some requests; attacks on the token lead to a page without one.
    assert forms < posts / 2 + 20


MANY = """
meta-info: {type: info, threat: 20, title: Many, description: d}
generate: {payload: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t]}
detect: {response: [{body: 'never'}]}
"""


STORED = """
meta-info: {type: xss, title: Stored script, threat: 70, description: d}
generate: {payload: ['<STR_MARKER>']}
detect: {response: [{body: [{html: [tag]}]}]}
"""


@pytest.mark.parametrize("repaired", [False, True])
def test_stored_value_is_found_on_the_page_that_shows_it(tmp_path: Path, repaired: bool):
    notes: list[str] = []

    def handler(asked: Asked) -> Said:
        if asked.method == "POST":
            notes.append(asked.form.get("text", ""))
            return page("saved", status=302, headers={"Location": "/thanks"})
        if asked.path == "/notes":
            return page("".join(f"<p>{html.escape(n) if repaired else n}</p>" for n in notes[-20:]))
        return page("thank you")

    with web_target(handler) as target:
        requests = [
            request("GET", "/notes"),
            request("POST", "/notes/add", "text=good+morning&page=1"),
            request("GET", "/notes"),
        ]
        outcome = run_engine(record_exchanges(target.origin, requests), [STORED], tmp_path)
    expected = [] if repaired else [("xss", "POST_FORM_URLENCODED_text_value", "/notes/add")]
    assert outcome.found == expected
    if not repaired:
        assert outcome.run.findings[0].evidence.notes == ["stored: shown by GET /notes, read afterwards"]


def test_redirects_are_followed_inside_and_never_outside(tmp_path: Path):
    with web_target(lambda _: page("<script>outside</script>")) as outside:

        def handler(asked: Asked) -> Said:
            if asked.path == "/jump":
                return page("", status=302, headers={"Location": f"/shown?m={asked.query.get('q', '')}"})
            if asked.path == "/leave":
                return page(
                    "", status=302, headers={"Location": f"{outside.origin}/x?m={asked.query.get('q')}"}
                )
            return page(asked.query.get("m", ""))

        with web_target(handler) as target:
            requests = [request("GET", "/jump?q=tea"), request("GET", "/leave?q=tea")]
            outcome = run_engine(record_exchanges(target.origin, requests), [XSS], tmp_path)
        assert outside.asked == []
    assert outcome.found == [("xss", "GET_q_value", "/jump")]
    assert "where the answer redirects to" in outcome.run.findings[0].evidence.notes[0]


def test_target_that_moved_gets_its_own_name(tmp_path: Path):
    with web_target(flawed) as target:
        recorded = Origin(scheme="https", host="shop.example", port=443)
        asked = request("GET", "/p?q=tea", Referer="https://shop.example/home")
        baselines = [baseline(1, recorded, asked, Response(status=200))]
        outcome = run_engine(baselines, [XSS], tmp_path, TEST_RUN_URI=str(target.origin))
        assert {a.headers["host"] for a in target.asked} == {target.origin.authority}
        assert {a.headers["referer"] for a in target.asked} == {f"{target.origin}/home"}
    assert outcome.run.findings[0].place.url.startswith(str(target.origin))


@pytest.mark.parametrize(("variable", "workers"), [("TEST_RUN_RPS", 10), ("FAST_BASELINE_RPS", 1)])
def test_rate_limit_is_kept_within_two_percent(tmp_path: Path, variable: str, workers: int):
    moments: list[float] = []

    def handler(asked: Asked) -> Said:
        moments.append(time.monotonic())
        return page("fine")

    with web_target(handler) as target:
        points = "&".join(f"p{n}=tea" for n in range(20 if workers > 1 else 80))
        asked = [request("GET", f"/r{name}?{points}") for name in "abcdef"[:workers]]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(baselines, [XSS], tmp_path, WORKERS=str(workers), **{variable: "80"})
    assert outcome.run.state == "passed"
    steady = moments[10:]
    assert len(steady) > 150
    assert (len(steady) - 1) / (steady[-1] - steady[0]) <= 80 * 1.02
    # A busy machine stalls now and then, and lost time is not made up for: the usual pace is what counts.
    spans = [late - early for early, late in zip(steady, steady[20:], strict=False)]
    assert 20 / statistics.median(spans) == pytest.approx(80, rel=0.02)


def test_trickling_target_does_not_hold_the_run(tmp_path: Path):
    stop = threading.Event()

    def handler(asked: Asked) -> Said:
        if asked.path == "/hang":
            stop.wait(20)
        return page(asked.query.get("q", ""))

    with web_target(handler) as target:
        asked = [request("GET", "/hang?q=tea"), request("GET", "/fine?q=tea")]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        begin = time.monotonic()
        outcome = run_engine(baselines, [XSS], tmp_path, FAST_REQUEST_TIMEOUT="1")
        assert time.monotonic() - begin < 8
        stop.set()
    assert outcome.found == [("xss", "GET_q_value", "/fine")]
    assert outcome.run.checks[0].error == "Connection failed: no answer in time"


def test_extension_that_sends_runs_once_a_host(tmp_path: Path):
    sends = """
meta-info: {type: info, title: Left behind, threat: 40, description: d}
send: [{method: GET, url: '/.secret', headers: [], body: ''}]
detect: {response: [{body: 'top secret'}]}
"""

    def handler(asked: Asked) -> Said:
        return page("top secret" if asked.path == "/.secret" else "fine")

    with web_target(handler) as one, web_target(handler) as two:
        asked = [request("GET", f"/r{name}?q=tea") for name in "abc"]
        baselines = record_exchanges(one.origin, asked)
        baselines += [baseline(9, two.origin, asked[0], Response(status=200))]
        outcome = run_engine(baselines, [sends], tmp_path)
        hits = sum(a.path == "/.secret" for a in one.asked)
    assert [f.type for f in outcome.run.findings] == ["info", "info"]
    assert hits == 2


def test_what_runs_once_in_a_run_runs_where_the_baseline_still_answers(tmp_path: Path):
    once = XSS.replace("generate:", "collect: [{uniq: [testrun]}]\ngenerate:")

    def handler(asked: Asked) -> Said:
        return page("gone", status=500) if asked.path == "/ra" else page(asked.query["q"])

    with web_target(handler) as target:
        asked = [request("GET", f"/r{name}?q=tea") for name in "abc"]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(baselines, [once], tmp_path, WORKERS="1")
    assert outcome.found == [("xss", "GET_q_value", "/rb")]


def test_baseline_without_admitted_points_is_skipped_and_an_empty_run_does_not_pass(tmp_path: Path):
    nothing = tmp_path / "none.yml"
    nothing.write_text("insertion-points: {include: [GET_token]}\n")
    with web_target(flawed) as target:
        asked = [request("GET", "/p?q=tea"), request("GET", "/p?token=tea")]
        baselines = record_exchanges(target.origin, asked)
        outcome = run_engine(baselines, [XSS], tmp_path, policy=str(nothing))
        assert outcome.run.checks[0].coverage[0].reason == "the policy admits no point of it"
        assert outcome.run.state == "passed"
        empty = run_engine(baselines[:1], [XSS], tmp_path, policy=str(nothing))
    assert empty.run.state == "failed"
    assert empty.run.messages == ["Invalid policies: not one baseline was tested"]


def test_destroying_baselines_run_one_at_a_time(tmp_path: Path):
    lock, now, most = threading.Lock(), {"GET": 0, "DELETE": 0}, {"GET": 0, "DELETE": 0}

    def handler(asked: Asked) -> Said:
        with lock:
            now[asked.method] += 1
            most[asked.method] = max(most[asked.method], now[asked.method])
        time.sleep(0.01)
        with lock:
            now[asked.method] -= 1
        return page("fine")

    with web_target(handler) as target:
        asked = [request(method, f"/r{name}?q=tea") for name in "abcd" for method in ("GET", "DELETE")]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(baselines, [CALC], tmp_path)
    assert outcome.run.state == "passed"
    assert most["GET"] > 1
    assert most["DELETE"] == 1


def test_destroying_baselines_come_last(tmp_path: Path):
    with web_target(flawed) as target:
        asked = [
            request("GET", "/logout?q=tea"),
            request("POST", "/save", "q=tea"),
            request("GET", "/p?q=tea"),
        ]
        baselines = record_exchanges(target.origin, asked)
        target.asked.clear()
        outcome = run_engine(baselines, [CALC], tmp_path)
        order = list(dict.fromkeys(a.path for a in target.asked if a.path in ("/logout", "/save", "/p")))
    assert order == ["/p", "/save", "/logout"]
    assert outcome.run.checks[0].coverage[0].reason == "tested last: its address says logout"


def slow_pages(asked: Asked) -> Said:
    time.sleep(0.04)
    return page(html.escape(asked.query.get("q", "")))


def test_budget_tests_the_riskiest_first_and_ends_in_time_with_what_it_has(tmp_path: Path):
    with web_target(slow_pages) as target:
        plain = [request("GET", f"/plain{chr(97 + n)}?z=1") for n in range(20)]
        asked = [*plain, request("POST", "/login", "user=ann&comment=hello&file=a")]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        begin = time.monotonic()
        outcome = run_engine(
            baselines, [XSS, CALC], tmp_path, TEST_RUN_BUDGET="4s", WORKERS="1", FAST_SKIP_DUPLICATES="false"
        )
        assert time.monotonic() - begin < 4
        assert target.asked[0].path == "/login"
    run = outcome.run
    assert run.state == "passed"
    assert not run.complete
    assert "TEST_RUN_BUDGET=4 s was used up" in run.messages[-1]
    assert len(run.checks) == 21
    assert run.checks[-1].state == "passed"
    assert 0 < run.count("interrupted") < 21


def test_run_that_takes_longer_than_allowed_has_failed(tmp_path: Path):
    with web_target(slow_pages) as target:
        asked = [request("GET", f"/plain{chr(97 + n)}?q=1") for n in range(20)]
        baselines = [baseline(n, target.origin, a, Response(status=200)) for n, a in enumerate(asked, 1)]
        outcome = run_engine(
            baselines, [XSS], tmp_path, FAST_RUN_TIMEOUT="1", WORKERS="1", FAST_SKIP_DUPLICATES="false",
            FAST_PROGRESS_EVERY="1",
        )  # fmt: skip
    assert outcome.run.state == "failed"
    assert not outcome.run.complete
    assert "FAST_RUN_TIMEOUT=1 s" in " ".join(outcome.run.messages)


def test_fingerprints_survive_another_host_other_ids_and_another_order(tmp_path: Path):
    def asked_for(order: int, item: str) -> list[str]:
        found = [f"/items/{item}?q=tea", "/p?q=tea&id=5", f"/users/{item}/orders?n=1&q=x"]
        return found[::order]

    fingerprints = []
    for order, item in ((1, "17"), (-1, "4c1f7a52-9f0e-4b7a-8d8c-0f3f1f8f2a11")):
        with web_target(flawed) as target:
            asked = [request("GET", address) for address in asked_for(order, item)]
            outcome = run_engine(record_exchanges(target.origin, asked), [XSS, SQL_ERROR], tmp_path)
        fingerprints.append({(f.type, f.fingerprint) for f in outcome.run.findings})
    assert fingerprints[0] == fingerprints[1]
    assert [kind for kind, _ in sorted(fingerprints[0])] == ["sqli", "xss", "xss", "xss"]

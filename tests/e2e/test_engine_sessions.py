"""Sessions that end: by their age, by a test, by the baseline itself; nothing passes without one."""

import html
import json
import random
import sys
from pathlib import Path

import pytest
from engine_target import Asked, Said, baseline, record_exchanges, request, run_engine, web_target

from fastci.errors import UsageError
from fastci.node.engine.login import Login
from fastci.node.message import Origin, Request, Response
from fastci.node.store import Baseline

XSS = """
meta-info: {type: xss, threat: 70, title: Script, description: d}
generate: {payload: ['<STR_MARKER>']}
detect: {response: [{body: [{html: [tag]}]}]}
"""
MANY = """
meta-info: {type: info, threat: 70, title: Many, description: d}
generate: {payload: [COUNT]}
detect: {response: [{body: 'never'}]}
""".replace("COUNT", ", ".join(f"w{number}" for number in range(30)))


class TokenSite:
    """An interface with bearer tokens that live for some requests, as others live for 60 seconds."""

    def __init__(self, lifetime: int) -> None:
        self.lifetime = lifetime
        self.left: dict[str, int] = {}
        self.logins = 0
        self.random = random.Random(5)

    def __call__(self, asked: Asked) -> Said:
        if asked.path == "/login":
            wanted = {"user": "joe", "password": "open sesame"}
            if json.loads(asked.body or b"{}") != wanted:
                return Said(body="{}", status=400, kind="application/json")
            self.logins += 1
            token = f"{self.random.getrandbits(128):032x}"
            self.left[token] = self.lifetime
            return Said(body=json.dumps({"auth_token": token, "ok": True}), kind="application/json")
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if self.left.get(token, 0) <= 0:
            return Said(body='{"fault": "the token is too old"}', status=401, kind="application/json")
        self.left[token] -= 1
        return Said(body=f"<p>{asked.query.get('b', '')}</p>")


def recorded_token(origin: Origin, *targets: str) -> list[Baseline]:
    body = '{"user": "joe", "password": "open sesame"}'
    (login,) = record_exchanges(origin, [request("POST", "/login", body, Content_Type="application/json")])
    token = json.loads(login.response.body)["auth_token"]
    pages = record_exchanges(
        origin, [request("GET", target, Authorization=f"Bearer {token}") for target in targets]
    )
    return [baseline(n, origin, e.request, e.response) for n, e in enumerate((login, *pages), 1)]


@pytest.mark.parametrize("workers", ["1", "6"])
def test_tokens_that_live_short_are_fetched_anew_whenever_they_end(tmp_path: Path, workers: str):
    site = TokenSite(lifetime=17 if workers == "1" else 60)
    with web_target(site) as target:
        baselines = recorded_token(target.origin, "/me?a=x&b=y", "/two?a=x&b=y", "/three?b=y")
        site.left.clear()
        site.logins = 0
        outcome = run_engine(baselines, [MANY, XSS], tmp_path, WORKERS=workers)
    assert sorted(outcome.found) == [
        ("xss", "GET_b_value", "/me"), ("xss", "GET_b_value", "/three"), ("xss", "GET_b_value", "/two"),
    ]  # fmt: skip
    assert not [check.error for check in outcome.run.checks if check.error]
    assert site.logins > 3


def fetching(origin: Origin, folder: Path) -> str:
    """A login command that asks the site for a token."""
    body = json.dumps({"user": "joe", "password": "open sesame"})
    program = folder / "login.py"
    program.write_text(
        "import json, urllib.request as u\n"
        f"a = u.urlopen(u.Request('{origin}/login', {body.encode()!r}), timeout=20)\n"
        "print('Authorization: Bearer', json.load(a)['auth_token'])\n"
    )
    return f"{sys.executable} {program}"


def dead(origin: Origin, *targets: str) -> list[Baseline]:
    """Pages that were recorded with a token nobody knows the origin of."""
    return [
        baseline(
            n, origin, request("GET", target, Authorization="Bearer 0123456789abcdef"), Response(status=200)
        )
        for n, target in enumerate(targets, 1)
    ]


def test_login_command_gives_credentials_at_the_start_and_when_they_are_lost(tmp_path: Path):
    site = TokenSite(lifetime=40)
    with web_target(site) as target:
        login = Login(fetching(target.origin, tmp_path))
        baselines = dead(target.origin, "/me?b=y", "/two?a=x&b=y")
        outcome = run_engine(baselines, [MANY, XSS], tmp_path, login=login, WORKERS="1")
    assert sorted(outcome.found) == [("xss", "GET_b_value", "/me"), ("xss", "GET_b_value", "/two")]
    assert not [check.error for check in outcome.run.checks if check.error]
    assert 2 < site.logins == len(login.values) < 8


def test_login_command_that_prints_a_section_modify_and_cookies_is_understood(tmp_path: Path):
    seen: set[tuple[str | None, str | None]] = set()

    def handle(asked: Asked) -> Said:
        seen.add((asked.headers.get("x-key"), asked.headers.get("cookie")))
        return Said(body="hello")

    printed = tmp_path / "auth.yaml"
    printed.write_text('modify:\n  - "HEADER_X-Key_value": "k1"\n')
    with web_target(handle) as target:
        pages = record_exchanges(target.origin, [request("GET", "/a?b=c", Cookie="sid=old; theme=dark")])
        seen.clear()
        run_engine(pages, [XSS], tmp_path, login=Login(f"cat {printed}"), WORKERS="1")
        assert seen == {("k1", "sid=old; theme=dark")}
        seen.clear()
        run_engine(pages, [XSS], tmp_path, login=Login("echo 'Cookie: sid=new; more=1'; echo 'X-Key: k2'"))
    assert seen == {("k2", "sid=new; theme=dark; more=1")}


@pytest.mark.parametrize(
    ("command", "why"),
    [("echo who are you >&2; exit 3", "it ended with status 3: who are you"), ("true", "it printed nothing"),
     ("echo hello", "no header"), ("printf 'modify:\\n  - 3\\n'", "the output:2")],
)  # fmt: skip
def test_login_command_without_credentials_ends_the_run_before_it_begins(
    tmp_path: Path, command: str, why: str
):
    with web_target(lambda asked: Said(body="x")) as target:
        pages = record_exchanges(target.origin, [request("GET", "/a?b=c")])
        before = len(target.asked)
        with pytest.raises(UsageError) as error:
            run_engine(pages, [XSS], tmp_path, login=Login(command))
        assert len(target.asked) == before
    assert why in "\n".join(error.value.lines())


def test_login_command_that_fails_later_leaves_auth_failed_and_its_reason(tmp_path: Path):
    site = TokenSite(lifetime=20)
    once = tmp_path / "once"
    with web_target(site) as target:
        fetch = fetching(target.origin, tmp_path)
        command = f"test ! -e {once} || {{ echo locked out >&2; exit 1; }}; touch {once}; {fetch}"
        outcome = run_engine(dead(target.origin, "/me?a=x"), [MANY], tmp_path, login=Login(command))
    (check,) = outcome.run.checks
    assert (outcome.run.state, check.state) == ("failed", "tech_failed")
    assert check.error.startswith("Auth failed: recorded 200, now 401; FAST_LOGIN_COMMAND failed")
    assert "locked out" in check.error


FORM = "<form><input name=user><input type=password name=p></form>"


class SilentSite:
    """Answers 200 to everything: with a form for the password where the session is unknown."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.notes = [f"note number {n} about a tea" for n in range(8)]
        self.open = True
        self.mean = False
        self.ends_at = 0
        self.asked = 0
        self.random = random.Random(8)

    def __call__(self, asked: Asked) -> Said:
        sid = asked.headers.get("cookie", "").partition("sid=")[2].partition(";")[0]
        if asked.path == "/enter" and asked.method == "POST":
            if not self.open or asked.form.get("p") != "secret":
                return Said(body=FORM)
            new = f"{self.random.getrandbits(128):032x}"
            self.sessions.add(new)
            return Said(body="welcome", headers={"Set-Cookie": f"sid={new}; Path=/"})
        if sid not in self.sessions:
            return Said(body=FORM)
        self.asked += 1
        if self.asked == self.ends_at:
            self.sessions.clear()
        if asked.path == "/exit":
            self.sessions -= {sid} if self.mean else set()
            return Said(body="until tomorrow")
        if asked.path == "/api/tidy":
            self.notes = [] if self.mean else self.notes
            return Said(body="done")
        listed = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return Said(body=f"<p>{asked.query.get('b', '')}</p><ul>{listed}</ul>")


def recorded(site: SilentSite, origin: Origin, *pages: Request) -> list[Baseline]:
    (login,) = record_exchanges(origin, [request("POST", "/enter", "user=joe&p=secret")])
    cookie = (login.response.get(b"set-cookie") or b"").partition(b";")[0]
    found = record_exchanges(origin, [page.with_header(b"Cookie", cookie) for page in pages])
    site.mean = True
    return [baseline(n, origin, e.request, e.response) for n, e in enumerate((login, *found), 1)]


@pytest.mark.parametrize("comes_back", [True, False])
def test_session_that_ends_without_a_sign_in_the_status_is_noticed(tmp_path: Path, comes_back: bool):
    site = SilentSite()
    with web_target(site) as target:
        baselines = recorded(site, target.origin, request("GET", "/me?a=x&b=y"))
        site.open, site.asked, site.ends_at = comes_back, 0, 35
        outcome = run_engine(
            baselines[-1:] if not comes_back else baselines, [MANY, XSS], tmp_path, WORKERS="1"
        )
    check = outcome.run.checks[-1]
    if comes_back:
        assert outcome.found == [("xss", "GET_b_value", "/me")]
        assert check.error == ""
    else:
        assert outcome.found == []
        assert check.error == "Auth failed: the page now asks for a password"
        assert check.state == "tech_failed"


@pytest.mark.parametrize("workers", ["1", "5"])
def test_baselines_that_end_the_session_or_wipe_data_by_their_effect_come_last(tmp_path: Path, workers: str):
    site = SilentSite()
    with web_target(site) as target:
        baselines = recorded(
            site, target.origin,
            request("GET", "/me?a=x&b=y"), request("GET", "/exit?c=z"), request("GET", "/more?b=y"),
            request("POST", "/api/tidy", "what=all"), request("POST", "/api/talk?b=y", "d=u"),
        )  # fmt: skip
        outcome = run_engine(baselines, [MANY, XSS], tmp_path, WORKERS=workers)
    reasons = {
        check.url.rpartition("/")[2]: check.coverage[0].reason
        for check in outcome.run.checks
        if check.coverage
    }
    assert {route for _, _, route in outcome.found} == {"/me", "/more", "/api/talk"}
    assert not [check.error for check in outcome.run.checks if check.error]
    if workers == "1":
        # Beside others that bring the session back at once it cannot be told who ends it, nor need it be.
        assert reasons["exit?c=z"] == "tested last: after it the session was gone: GET /me was refused"
        assert reasons["tidy"] == "tested last: after it most of GET /me was gone"
        order = [line for line in outcome.lines if "Running a test set" in line]
        assert ["/exit" in order[-2], "/api/tidy" in order[-1]] == [True, True]

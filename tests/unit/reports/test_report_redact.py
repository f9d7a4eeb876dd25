import base64
import gzip
import json
import re
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastci.config import secret_values
from fastci.reports import REPORTS, redacted
from fastci.reports.credentials import is_secret_name, mark_message, mark_text
from fastci.results import (
    Acceptance,
    Evidence,
    Exchange,
    Finding,
    PastFinding,
    Place,
    PointCoverage,
    Rule,
    Run,
    Step,
    Verdict,
)

SECRET = "s3cr3t-Value_9"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


def marked(text: str) -> str:
    return mark_text(text.encode(), lambda value: b"<" + value + b">").decode()


def finding(request: bytes, response: bytes = b"HTTP/1.1 200 OK\r\n\r\n", **changes: object) -> Finding:
    facts: dict[str, object] = {
        "id": "v1", "type": "sqli", "threat": 90, "code": "c", "title": "t", "description": "d",
        "point": "GET_a_value", "route": "/a", "confidence": "confirmed",
        "evidence": Evidence(
            payload="' or 1=1", matched="welcome back",
            attack=Exchange(request=request, response=response, status=200, elapsed=0.1),
        ),
        "places": [Place(baseline="bl_1", method="GET", url="http://t/a")],
        **changes,
    }  # fmt: skip
    return Finding(**facts)  # type: ignore[arg-type]


def only(sample: Run, *findings: Finding) -> Run:
    return redacted(replace(sample, findings=list(findings)))


@pytest.mark.parametrize(
    "name",
    [
        "password", "userPassword", "user[password]", "PASSWD", "accessToken", "access_token", "X-Api-Key",
        "apikey", "sid", "PHPSESSID", "JSESSIONID", "client_secret", "csrfmiddlewaretoken", "X-XSRF-TOKEN",
        "Authorization", "otp", "cvv", "pin", "session", "private_key", "new-password", "passwordConfirm",
    ],
)  # fmt: skip
def test_secret_name_of_a_credential_is_one(name: str):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "author",
        "key",
        "sort_key",
        "passenger",
        "pinned",
        "design",
        "max_tokens",
        "token_type",
        "expires",
        "compass",
        "id",
        "",
    ],
)
def test_secret_name_of_ordinary_field_is_none(name: str):
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/login?user=al&password=hunter2&x=1", "/login?user=al&password=<hunter2>&x=1"),
        ("user%5Bpassword%5D=a%20b&user%5Bname%5D=al", "user%5Bpassword%5D=<a%20b>&user%5Bname%5D=al"),
        ('{"user":"al","password":"a\\"b","n":1}', '{"user":"al","password":"<a\\"b>","n":1}'),
        ('{"pin": 4711, "count": 4711}', '{"pin": "<4711>", "count": 4711}'),
        ('{"body":"{\\"token\\":\\"abc\\"}"}', '{"body":"{\\"token\\":\\"<abc>\\"}"}'),
        ('{"password":"cut he', '{"password":"<cut he>'),
        ("<user><password>a b</password></user>", "<user><password><a b></password></user>"),
        ('<login password="x y" name="al"/>', '<login password="<x y>" name="al"/>'),
        ('<input id=a name="csrf_token" value="v1">', '<input id=a name="csrf_token" value="<v1>">'),
        ("<input value='v1' name='csrf'>", "<input value='<v1>' name='csrf'>"),
        ('<input type="password" name="p" value="v1"/>', '<input type="password" name="p" value="<v1>"/>'),
        ('<meta name="csrf-token" content="v1">', '<meta name="csrf-token" content="<v1>">'),
        ("var config = {apiKey: 'k1', page: 'p'}", "var config = {apiKey: '<k1>', page: 'p'}"),
        ("secret: 'k1'\nname: 'n'\n", "secret: '<k1>'\nname: 'n'\n"),
        ("http://al:hunter2@db/x", "http://al:<hunter2>@db/x"),
        (f"seen {JWT} there", f"seen <{JWT}> there"),
        ("Authorization: Bearer abcdefgh12", "Authorization: Bearer <abcdefgh12>"),
        ("ghp_" + "a" * 36, "<ghp_" + "a" * 36 + ">"),
        ("AKIAIOSFODNN7EXAMPLE", "<AKIAIOSFODNN7EXAMPLE>"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
         "<-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----->"),
        ('--b\r\nContent-Disposition: form-data; name="password"\r\n\r\nab\r\ncd\r\n--b--',
         '--b\r\nContent-Disposition: form-data; name="password"\r\n\r\n<ab\r\ncd>\r\n--b--'),
    ],
)  # fmt: skip
def test_mark_text_finds_the_secret_by_its_place(text: str, expected: str):
    assert marked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'sqlite3.OperationalError: unrecognized token: "\'%tea"',
        "root:x:0:0:root:/root:/bin/bash",
        "<title>Forgot your password?</title>",
        '{"author":"al","keywords":["a"]}',
        "the session has ended, sign in again: 'now'",
        "/search?q=password",
    ],
)
def test_mark_text_leaves_what_is_no_secret(text: str):
    assert marked(text) == text


def test_mark_message_headers_by_their_kind():
    message = (
        b"POST /a?token=t1 HTTP/1.1\r\nHost: t\r\nAuthorization: Basic YWw6aHVudGVyMg==\r\n"
        b"Cookie: a=1x; b=2x\r\nX-Api-Key: k1\r\nReferer: http://t/?sid=s1\r\n"
        b"Access-Control-Allow-Credentials: true\r\n\r\npwd=p1"
    )
    assert mark_message(message, lambda value: b"<" + value + b">") == (
        b"POST /a?token=<t1> HTTP/1.1\r\nHost: t\r\nAuthorization: Basic <YWw6aHVudGVyMg==>\r\n"
        b"Cookie: a=<1x>; b=<2x>\r\nX-Api-Key: <k1>\r\nReferer: http://t/?sid=<s1>\r\n"
        b"Access-Control-Allow-Credentials: true\r\n\r\npwd=<p1>"
    )


def test_mark_message_set_cookie_keeps_name_and_attributes():
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=abc; HttpOnly; SameSite=Lax\r\n\r\n"
    assert b"Set-Cookie: sid=<abc>; HttpOnly; SameSite=Lax" in mark_message(answer, lambda v: b"<" + v + b">")


def test_redacted_same_secret_has_the_same_number_everywhere(sample: Run):
    request = f"GET /a?token={SECRET} HTTP/1.1\r\nCookie: s={SECRET}; t=other-Value_1\r\n\r\n".encode()
    (found,) = only(sample, finding(request)).findings
    assert (
        found.evidence.attack.request
        == b"GET /a?token=REDACTED-1 HTTP/1.1\r\nCookie: s=REDACTED-1; t=REDACTED-2\r\n\r\n"
    )


def test_redacted_secret_reflected_elsewhere_goes_too(sample: Run):
    secret = "a b&c<d>9"
    page = f"<p>Hello {secret}</p><p>Hello a b&amp;c&lt;d&gt;9</p> {quote(secret)} {json.dumps(secret)}"
    evidence = Evidence(
        payload="x", matched=f"hello {secret}", notes=[f"note {secret}"],
        attack=Exchange(
            request=f"POST /a HTTP/1.1\r\n\r\npassword={quote(secret)}".encode(),
            response=f"HTTP/1.1 200 OK\r\n\r\n{page}".encode(), status=200, elapsed=0.1,
        ),
    )  # fmt: skip
    run = only(sample, finding(b"", evidence=evidence))
    assert run.findings[0].evidence.attack.response.partition(b"\r\n\r\n")[2] == (
        b'<p>Hello REDACTED-1</p><p>Hello REDACTED-1</p> REDACTED-1 "REDACTED-1"'
    )
    assert run.findings[0].evidence.matched == "hello REDACTED-1"
    assert run.findings[0].evidence.notes == ["note REDACTED-1"]


def test_redacted_plain_word_as_password_does_not_spoil_the_text(sample: Run):
    request = b"POST /a HTTP/1.1\r\n\r\nusername=admin&password=password"
    (found,) = only(sample, finding(request, b"HTTP/1.1 200 OK\r\n\r\nyour password, please")).findings
    assert found.evidence.attack.request.endswith(b"username=admin&password=REDACTED-1")
    assert found.evidence.attack.response.endswith(b"your password, please")


@pytest.mark.parametrize("form", ["{}", "{} and more"])
def test_redacted_payload_inside_a_secret_stays_readable(sample: Run, form: str):
    payload = "' or 1=1"
    body = "password=hunter2" + quote(form.format(payload))
    (found,) = only(sample, finding(b"POST /a HTTP/1.1\r\n\r\n" + body.encode())).findings
    assert b"password=REDACTED-1" + quote(payload).encode() in found.evidence.attack.request
    assert b"hunter2" not in found.evidence.attack.request


def test_redacted_fingerprints_and_order_stay(sample: Run):
    run = redacted(sample)
    assert [f.fingerprint for f in run.findings] == [f.fingerprint for f in sample.findings]
    assert [f.id for f in run.findings] == [f.id for f in sample.findings]
    assert run.checks[0].coverage == sample.checks[0].coverage


def test_redacted_twice_changes_nothing(sample: Run, hostile: Run):
    for run in (sample, hostile):
        assert redacted(redacted(run)) == redacted(run)


def test_redacted_urls_of_checks_messages_and_target(sample: Run):
    check = replace(sample.checks[0], url=f"http://t/?token={SECRET}", error=f"Auth failed: {JWT}")
    run = redacted(
        replace(sample, checks=[check], target=f"http://al:{SECRET}@t", messages=[f"api_key={SECRET}"],
                steps=[Step(name="Tests", state="done", note=f"ran with token={SECRET}")])
    )  # fmt: skip
    text = repr(run)
    assert SECRET not in text
    assert JWT not in text


def test_redacted_credentials_of_the_run_go_wherever_they_stand(sample: Run):
    """A header of no telling name, as /opt/dsl_auths may set one."""
    request = b"GET /a HTTP/1.1\r\nX-Tenant: acme-77-live\r\nX-Pass: Sesame tok_5511aa22\r\n\r\n"
    one = finding(request, b"HTTP/1.1 200 OK\r\n\r\nhello acme-77-live of acme-77-lives")
    run = redacted(replace(sample, findings=[one]), known=["acme-77-live", "Sesame tok_5511aa22", "abc"])
    attack = run.findings[0].evidence.attack
    assert b"X-Tenant: REDACTED-1\r\n" in attack.request
    assert b"tok_5511aa22" not in attack.request
    assert attack.response.endswith(b"hello REDACTED-1 of acme-77-lives")
    assert redacted(run) == run


PLANTED = {
    "bearer": "tok-93af07bc11de",
    "cookie": "sess-0c44d1e2f3a4",
    "form": "Tr0ub4dor&3 x",
    "json": 'pw-\u00e9"q-77',
    "query": "key-5511aa22bb33",
    "jwt": JWT,
    "set-cookie": "new-77aa88bb99cc",
    "basic": "basic-pass-2266",
    "multipart": "part-pass-1199",
    "xml": "xml-pass-3388",
    "gzip": "zipped-pass-4455",
    "chunks": "chunk-pass-6677",
    "reason": "reason-pass-8899",
    "store": "store-pass-5566",
    "auth": "tenant-4711-live",
}
STORE = {"FAST_STORE": f"postgresql://fast:{PLANTED['store']}@db/fast"}


def planted_run(sample: Run) -> Run:
    p = PLANTED
    basic = base64.b64encode(f"al:{p['basic']}".encode()).decode()
    multipart = f'--b\r\nContent-Disposition: form-data; name="pass"\r\n\r\n{p["multipart"]}\r\n--b--\r\n'
    requests = [
        f"GET /a?api_key={p['query']} HTTP/1.1\r\nAuthorization: Bearer {p['bearer']}\r\n"
        f"Cookie: sid={p['cookie']}\r\n\r\n",
        f"POST /a HTTP/1.1\r\nAuthorization: Basic {basic}\r\n\r\nuser=al&password={quote(p['form'])}",
        f"POST /a HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{json.dumps({'password': p['json']})}",
        f"POST /a HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n{multipart}",
        f"POST /a HTTP/1.1\r\n\r\n<login><password>{p['xml']}</password></login>",
    ]
    response = (
        f"HTTP/1.1 200 OK\r\nSet-Cookie: sid={p['set-cookie']}; Path=/\r\n\r\n"
        f"{p['jwt']} {p['cookie']} {json.dumps(p['json'], ensure_ascii=False)} {quote(p['form'])} "
        f"{p['bearer']} {p['basic']} welcome back"
    )
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99\r\n\r\n" + gzip.compress(
        json.dumps({"password": p["gzip"], "for": [p["bearer"], p["store"], p["auth"]]}).encode()
    )
    pieces = (b'{"token":"' + p["chunks"][:5].encode(), p["chunks"][5:].encode() + b'"}', b"")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    said = f"{p['cookie']}, {p['store']} and {p['auth']}"
    entry = Acceptance(fingerprint="f" * 32, reason=f"r {said}", owner=f"o {said}", where=f"w {said}")
    places = [
        Place(
            baseline="b", method="GET", url=f"http://t/a?api_key={p['query']}", test=f"t.py:1::test_a[{said}]"
        )
    ]
    texts = {"title": f"t {said}", "description": f"d {said}", "remediation": f"m {said}", "places": places}
    findings = [
        finding(request.encode(), response, id=f"v{number}", **texts)
        for number, (request, response) in enumerate(
            zip(requests, [response.encode(), packed, chunked, packed, chunked], strict=True)
        )
    ]
    accepted = [replace(findings[0], id="v9", point="GET_b_value", acceptance=entry)]
    row = PointCoverage(point="p", type="xss", state="skipped", reason=f"token={p['reason']} {said}")
    check = replace(
        sample.checks[0], test=said, url=f"http://t/{said}", error=f"Auth failed: {said}", coverage=[row]
    )
    past = PastFinding(
        fingerprint="e" * 32, state="fixed", type="xss", threat=5, title=f"p {said}", method="GET",
        route="/a", point="p",
    )  # fmt: skip
    rule = Rule(name="R", limit="l", found=f"f {said}", holds=False)
    return replace(
        sample, findings=findings, accepted=accepted, checks=[check], absent=[entry], past=[past],
        name=f"n {said}", record_name=said, description=said, policy=said, build_id=said, target=said,
        domains=[said], compared_with=said, seen={f"tunnel {said}": 1},
        messages=[f"no connection to {STORE['FAST_STORE']}: {said}"],
        steps=[Step(name="testing", state="failed", note=said)],
        verdict=Verdict(outcome="vulnerable", rule="R", reason=f"v {said}", rules=[rule]),
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_report_holds_no_planted_secret(sample: Run, name: str):
    known = [*secret_values(STORE), PLANTED["auth"]]
    text = REPORTS[name].render(redacted(planted_run(sample), known))
    plain = REPORTS[name].render(planted_run(sample))
    texts = {text, text.replace("\\\\", "\\"), re.sub(r"\\u00e9", "é", text)}
    for kind, secret in PLANTED.items():
        forms = {
            secret,
            quote(secret),
            json.dumps(secret)[1:-1],
            base64.b64encode(f"al:{secret}".encode()).decode(),
        }
        for form in forms:
            assert not any(form in one for one in texts), f"{kind}: {form}"
    assert PLANTED["cookie"] in plain
    assert PLANTED["store"] in plain


def test_redacted_again_gives_numbers_that_no_other_secret_has(sample: Run):
    """The CI side knows of secrets that the node did not, as the token of its own store."""
    one = finding(b"GET /a HTTP/1.1\r\nCookie: sid=abc-12345\r\nX-T: store-pass-5566\r\n\r\n")
    once = only(sample, one)
    twice = redacted(once, known=["store-pass-5566"])
    assert twice.findings[0].evidence.attack.request == (
        b"GET /a HTTP/1.1\r\nCookie: sid=REDACTED-1\r\nX-T: REDACTED-2\r\n\r\n"
    )


def test_redacted_compressed_answer_without_a_secret_stays_as_it_came(sample: Run):
    plain = gzip.compress(b"nothing to hide")
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + plain
    (found,) = only(sample, finding(b"GET /a HTTP/1.1\r\n\r\n", answer)).findings
    assert found.evidence.attack.response == answer


def test_redacted_secret_of_one_finding_goes_from_all_others(sample: Run):
    """However many secrets there are: a session cookie a finding, each told once more by another."""
    found = [
        finding(
            f"GET /a HTTP/1.1\r\nCookie: sid=sess-{n:05}-x\r\n\r\n".encode(),
            f"HTTP/1.1 200 OK\r\n\r\nlast was sess-{n - 1:05}-x".encode(),
            id=f"v{n}",
        )
        for n in range(100)
    ]
    run = only(sample, *found)
    assert run.findings[-1].evidence.attack.response.endswith(b"last was REDACTED-99")
    assert "sess-000" not in repr(run.findings[1:])


@settings(deadline=None)
@given(request=st.binary(max_size=200), text=st.text(max_size=80))
def test_redacted_of_anything_ends_and_is_stable(request: bytes, text: str):
    found = finding(
        b"POST /?password=" + request + b" HTTP/1.1\r\nCookie: a=" + request + b"\r\n\r\n" + request
    )
    found = replace(
        found, evidence=replace(found.evidence, payload=text, matched=text, notes=[f'token="{text}'])
    )
    run = Run(
        id="r", name=text, state="failed", record_id="r", record_name="r", policy="p", target=text,
        start_time=0.0, end_time=0.0, findings=[found], messages=[text],
    )  # fmt: skip
    once = redacted(run)
    assert redacted(once) == once
    assert once.findings[0].fingerprint == found.fingerprint


@pytest.mark.parametrize(
    "unit", ['"a":"', "password=", "<input ", 'a="', '"token":"\\', "<token>", 'name="', "Bearer "]
)
def test_mark_text_of_hostile_repetition_is_quick(unit: str):
    text = unit.encode() * (200_000 // len(unit))
    assert mark_text(text, lambda value: value) == text

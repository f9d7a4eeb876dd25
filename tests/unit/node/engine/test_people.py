"""Whose a recorded request is, and who else the record knows."""

import base64

from fastci.node.engine.people import People, sent_by, without_credentials
from fastci.node.engine.scope import Scope
from fastci.node.message import Field, Origin, Request, Response
from fastci.node.store import Baseline

ORIGIN = Origin(scheme="http", host="shop.test", port=80)


def exchange(
    number: int, method: str, target: str, body: str = "", said: str = "", status: int = 200, **headers: str
) -> Baseline:
    form = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    asking = {n.replace("_", "-"): v for n, v in headers.items() if n != "Set_Cookie"}
    names = {"Host": "shop.test", **form, **asking}
    fields = tuple(Field.of(name.encode(), value.encode()) for name, value in names.items())
    asked = Request(method=method.encode(), target=target.encode(), fields=fields).with_body(body.encode())
    cookies = (Field.of(b"Set-Cookie", headers["Set_Cookie"].encode()),) if "Set_Cookie" in headers else ()
    return Baseline(
        sequence=number, origin=ORIGIN, request=asked,
        response=Response(status=status, fields=cookies, body=said.encode()), started=0, duration=0,
        connection=1, test="", truncated=False,
    )  # fmt: skip


def people(*exchanges: Baseline) -> People:
    known = People(Scope.parse("", (443,)))
    for each in exchanges:
        known.note(each)
    return known


LOGINS = (
    exchange(1, "POST", "/login", "user=ann&password=x", Set_Cookie="sid=annssession1; Path=/; SameSite=Lax"),
    exchange(2, "GET", "/orders", Cookie="sid=annssession1"),
    exchange(3, "POST", "/login", "user=bob&password=y", said='{"token": "bobstoken-0123456789"}'),
    exchange(4, "GET", "/orders", Authorization="Bearer bobstoken-0123456789"),
)


def test_sender_is_who_logged_in_with_what_the_request_carries():
    company = people(*LOGINS).company(ORIGIN, LOGINS[1].request)
    assert company.sender is not None
    assert company.sender.names == {"ann"}
    assert [person.names for person in company.others] == [{"bob"}]
    assert dict(company.cookies)[b"sid"] == b" path=/; samesite=lax"


def test_ids_are_what_the_login_answers_and_what_its_token_claims():
    claims = (
        base64.urlsafe_b64encode(b'{"sub": "u-17", "data": {"id": 4, "role": "x"}}').rstrip(b"=").decode()
    )
    token = f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2lnbmF0dXJlLW9mLWl0"
    company = people(
        exchange(1, "POST", "/login", "user=ann&password=x", said=f'{{"token": "{token}", "user_id": 9}}'),
        exchange(2, "GET", "/orders", Authorization=f"Bearer {token}"),
    ).company(ORIGIN, exchange(3, "GET", "/orders", Authorization=f"Bearer {token}").request)
    assert company.sender is not None
    assert company.sender.ids == {"u-17", "4", "9"}


def test_request_without_credentials_has_no_sender():
    company = people(*LOGINS).company(ORIGIN, exchange(5, "GET", "/orders").request)
    assert (company.sender, company.others) == (None, ())


def test_other_origin_knows_nobody():
    other = Origin(scheme="http", host="other.test", port=80)
    assert people(*LOGINS).company(other, LOGINS[1].request).sender is None


def test_person_who_uses_the_administration_is_privileged():
    admin = exchange(5, "GET", "/admin/users", Cookie="sid=annssession1")
    company = people(*LOGINS, admin).company(ORIGIN, LOGINS[1].request)
    assert company.sender is not None
    assert company.sender.privileged


def test_login_that_is_refused_makes_nobody_of_a_cookie():
    body, cookie = "user=ann&password=wrong", "sid=somesession9"
    known = people(exchange(1, "POST", "/login", body, status=401, Cookie=cookie))
    asked = exchange(2, "GET", "/orders", Cookie="sid=somesession9").request
    assert known.company(ORIGIN, asked).sender is None


def test_credentials_are_taken_away_and_lent():
    bare = without_credentials(LOGINS[3].request)
    assert bare.get(b"authorization") is None
    lent = sent_by(LOGINS[1].request, LOGINS[3].request)
    assert lent.get(b"cookie") is None
    assert lent.get(b"authorization") == b"Bearer bobstoken-0123456789"


def test_token_against_forgery_is_no_credential():
    asked = exchange(1, "POST", "/x", "a=1", X_CSRF_Token="abc", X_Auth_Token="def").request
    bare = without_credentials(asked)
    assert (bare.get(b"x-csrf-token"), bare.get(b"x-auth-token")) == (b"abc", None)

"""Bringing dead sessions back from what the record knows."""

import asyncio
from collections.abc import Callable

from fastci.node.engine.scope import Scope
from fastci.node.engine.sessions import Sessions
from fastci.node.message import Field, Origin, Request, Response
from fastci.node.store import Baseline

GUEST = "sid=guest-and-user"
ORIGIN = Origin(scheme="http", host="shop.test", port=80)
FORM = '<form method=post><input type=password name=p><input type=hidden name="csrf" value="{}"></form>'


def request(method: str, target: str, *, body: str = "", **headers: str) -> Request:
    fields = tuple(Field.of(name.encode(), value.encode()) for name, value in headers.items())
    return Request(method=method.encode(), target=target.encode(), fields=fields).with_body(body.encode())


def response(body: str = "", *, cookie: str = "", status: int = 200) -> Response:
    fields = (Field.of(b"Set-Cookie", cookie.encode()),) if cookie else ()
    return Response(status=status, body=body.encode(), fields=fields)


def sessions_of(*exchanges: tuple[Request, Response]) -> Sessions:
    sessions = Sessions(Scope.parse("", (443,)))
    for number, (asked, said) in enumerate(exchanges, 1):
        facts = {"started": 0.0, "duration": 0.1, "connection": 1, "truncated": False, "test": ""}
        sessions.note(Baseline(sequence=number, origin=ORIGIN, request=asked, response=said, **facts))
    return sessions


def renew(sessions: Sessions, lost: Request, answer: Callable[[Request], Response]) -> tuple[bool, list[str]]:
    sent: list[str] = []

    async def send(asked: Request) -> Response:
        sent.append(f"{asked.method.decode()} {asked.target.decode()}")
        return answer(asked)

    return asyncio.run(sessions.renew(ORIGIN, lost, send)), sent


def test_cookie_is_renewed_by_replaying_the_exchange_that_set_it():
    login = (request("POST", "/login", body="p=1"), response(cookie="sid=old-session-1; Path=/", status=302))
    sessions = sessions_of(login, (request("GET", "/me", Cookie="sid=old-session-1"), response()))
    lost = request("GET", "/me", Cookie="lang=en; sid=old-session-1")
    assert sessions.refresh(ORIGIN, lost) == lost
    done, sent = renew(sessions, lost, lambda _: response(cookie="sid=new-session-22"))
    assert done
    assert sent == ["POST /login"]
    assert sessions.refresh(ORIGIN, lost).get(b"cookie") == b"lang=en; sid=new-session-22"


def test_login_is_replayed_with_a_fresh_form_token_and_cookie():
    old = "o" * 32
    exchanges = (
        (request("GET", "/login"), response(FORM.format(old), cookie=GUEST)),
        (request("POST", "/login", body=f"p=1&csrf={old}", Cookie=GUEST), response(status=302)),
    )
    posted: list[Request] = []

    def answer(asked: Request) -> Response:
        if asked.method == b"POST":
            posted.append(asked)
            return response(status=302)
        return response(FORM.format("n" * 32), cookie="sid=fresh-session")

    lost = request("GET", "/me", Cookie=GUEST)
    done, sent = renew(sessions_of(*exchanges), lost, answer)
    assert done
    assert sent == ["GET /login", "POST /login"]
    assert posted[0].body == b"p=1&csrf=" + b"n" * 32
    assert posted[0].get(b"cookie") == b"sid=fresh-session"


def test_bearer_token_from_a_login_answer_is_renewed():
    token, fresh = "eyJhbGciOi.abcdefgh.0123", "eyJhbGciOi.zyxwvuts.9876"
    login = request("POST", "/users/v1/login", body='{"password":"x"}')
    sessions = sessions_of((login, response(f'{{"auth_token": "{token}"}}')))
    lost = request("GET", "/me", Authorization=f"Bearer {token}")
    done, _ = renew(sessions, lost, lambda _: response(f'{{"auth_token": "{fresh}"}}'))
    assert done
    assert sessions.refresh(ORIGIN, lost).get(b"authorization") == f"Bearer {fresh}".encode()


def test_request_without_known_values_renews_nothing():
    sessions = sessions_of((request("GET", "/"), response(cookie="lang=en")))
    lost = request("GET", "/me", Cookie="lang=en; sid=other")
    assert renew(sessions, lost, lambda _: response()) == (False, [])


def test_session_that_does_not_come_back_is_given_up():
    login = (request("POST", "/login", body="p=1"), response(cookie="sid=old-session-1"))
    sessions = sessions_of(login)
    lost = request("GET", "/me", Cookie="sid=old-session-1")
    rounds = 0
    while renew(sessions, lost, lambda _: response(status=401))[0]:
        sessions.failed(ORIGIN, lost)
        rounds += 1
    assert rounds == 3


def test_sessions_of_other_origins_are_left_alone():
    login = (request("POST", "/login", body="p=1"), response(cookie="sid=old-session-1"))
    sessions = sessions_of(login)
    lost = request("GET", "/me", Cookie="sid=old-session-1")
    renew(sessions, lost, lambda _: response(cookie="sid=new-session-22"))
    other = Origin(scheme="http", host="other.test", port=80)
    assert sessions.refresh(other, lost) == lost


def test_login_with_a_changed_password_is_replaced_by_the_later_one_of_the_same_user():
    first, second = "a" * 30, "b" * 30

    def login(name: str, password: str) -> Request:
        return request("POST", "/login", body=f'{{"username": "{name}", "password": "{password}"}}')

    sessions = sessions_of(
        (login("joe", "old"), response(f'{{"token": "{first}"}}')),
        (login("joe", "new"), response(f'{{"token": "{second}"}}')),
        (login("admin", "old"), response(f'{{"token": "{"c" * 30}"}}')),
    )

    def answer(asked: Request) -> Response:
        if b'"joe"' in asked.body and b'"new"' in asked.body:
            return response(f'{{"token": "{"n" * 30}"}}')
        return (
            response("wrong", status=401)
            if b'"joe"' in asked.body
            else response(f'{{"token": "{"x" * 30}"}}')
        )

    lost = request("GET", "/me", Authorization=f"Bearer {first}")
    done, sent = renew(sessions, lost, answer)
    assert done
    assert len(sent) == 2
    assert sessions.refresh(ORIGIN, lost).get(b"authorization") == b"Bearer " + b"n" * 30

"""How an answer to the unmodified request is judged."""

import pytest

from fastci.node.engine.control import Recorded, Standing, compare, is_login
from fastci.node.message import Field, Response

FORM = b'<form><input name=p type="password"></form>'


def response(status: int, *, location: bytes = b"", body: bytes = b"") -> Response:
    fields = (Field.of(b"Location", location),) if location else ()
    return Response(status=status, fields=fields, body=body)


def judge(was: Response, now: Response, target: bytes = b"/account"):
    return compare(Recorded.of(was, was.body), now, target=target)


@pytest.mark.parametrize(("was", "now"), [(200, 200), (200, 201), (404, 404), (503, 500), (401, 401)])
def test_answer_of_the_same_kind_is_alike(was: int, now: int):
    assert judge(response(was), response(now)).standing is Standing.ALIKE


def test_redirect_to_another_route_is_a_change():
    was = response(302, location=b"/items/17")
    assert judge(was, response(302, location=b"http://shop.test/items/18")).standing is Standing.ALIKE
    verdict = judge(was, response(303, location=b"/items/new"))
    assert verdict.standing is Standing.CHANGED
    assert verdict.detail == "recorded a redirect to /items/{}, now to /items/new"


@pytest.mark.parametrize("location", ["/a/\u560d".encode(), b"//[x", b"http://[::1/\xff", b"\x00"])
def test_redirect_to_what_is_no_address_is_a_change(location: bytes):
    was, now = response(302, location=b"/items/17"), response(302, location=location)
    assert judge(was, now).standing is Standing.CHANGED
    assert not is_login(location)


@pytest.mark.parametrize("status", [401, 403, 407, 419, 440])
def test_refusal_where_there_was_success_is_a_lost_session(status: int):
    verdict = judge(response(200), response(status))
    assert verdict.standing is Standing.UNUSABLE
    assert verdict.detail == f"Auth failed: recorded 200, now {status}"


def test_redirect_to_a_login_page_is_a_lost_session():
    verdict = judge(response(200), response(302, location=b"/login.php?next=/account"))
    assert verdict.detail.startswith("Auth failed: recorded 200, now 302 to /login.php")


def test_redirect_to_login_instead_of_elsewhere_is_a_lost_session():
    was, now = response(302, location=b"/done"), response(302, location=b"/users/sign_in")
    assert judge(was, now).detail.startswith("Auth failed")


def test_redirect_to_login_as_recorded_is_alike():
    was = response(302, location=b"/login")
    assert judge(was, was).standing is Standing.ALIKE


def test_password_form_where_there_was_none_is_a_lost_session():
    assert judge(response(200, body=b"hi"), response(200, body=FORM)).detail.startswith("Auth failed")
    assert judge(response(200, body=FORM), response(200, body=FORM)).standing is Standing.ALIKE


def test_login_page_itself_is_never_a_lost_session():
    for now in (response(401), response(302, location=b"/login")):
        verdict = judge(response(200), now, target=b"/login?x=1")
        assert verdict.standing is Standing.CHANGED


@pytest.mark.parametrize(("now", "kind"), [(502, "Connection failed"), (504, "Connection failed"),
                                           (429, "Connection failed"), (500, "Recording error")])  # fmt: skip
def test_failing_target_makes_the_baseline_unusable(now: int, kind: str):
    verdict = judge(response(200), response(now))
    assert verdict.standing is Standing.UNUSABLE
    assert verdict.detail.startswith(f"{kind}: recorded 200, now {now}")


@pytest.mark.parametrize(("was", "now"), [(201, 409), (200, 404), (302, 200), (404, 200), (401, 200)])
def test_other_changes_are_noted_and_tested(was: int, now: int):
    verdict = judge(response(was), response(now))
    assert verdict.standing is Standing.CHANGED
    assert verdict.detail == f"recorded {was}, now {now}"


def test_no_answer_is_a_failed_connection():
    verdict = compare(Recorded.of(response(200), b""), Response(status=0), target=b"/", failure="reset")
    assert verdict.detail == "Connection failed: reset"


@pytest.mark.parametrize(
    "target", [b"/login", b"/user/sign-in/", b"/auth/token", b"/log_in.php", b"/logon?b"]
)
def test_login_addresses_are_recognised(target: bytes):
    assert is_login(target)


@pytest.mark.parametrize("target", [b"/author", b"/blog/in", b"/catalogin/x", b"/x?a=/login", b"/authors/1"])
def test_other_addresses_are_no_login(target: bytes):
    assert not is_login(target)


def test_compare_request_that_was_imported_without_an_answer_any_answer_will_do():
    imported = Recorded.of(Response(status=0), b"")
    assert compare(imported, response(404), target=b"/").standing is Standing.ALIKE
    assert compare(imported, response(503), target=b"/").standing is Standing.UNUSABLE

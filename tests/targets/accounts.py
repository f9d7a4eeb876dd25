"""Applications with logins: what they give to whom, and the same with the check in place.

Sessions are cookies or JSON Web Tokens. The requests are those of Ann; Bob is another person of the record.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from html import escape
from urllib.parse import quote, unquote

from fastci.node.engine.people import Company, Person
from fastci.node.message import Request, Response
from targets.kit import Handler, Pair, answer, get, inputs, page, path_of, post

_SESSIONS = {"annssession1": "ann@tea.example", "bobssession2": "bob@tea.example"}
_PEOPLE = {7: "ann@tea.example", 8: "bob@tea.example"}
_ANN, _BOB = ("sid=annssession1", "sid=bobssession2")
_WHOLE = "*"


def _person(name: str, cookie: str, number: int) -> Person:
    example = get("/", Cookie=cookie)
    return Person(names=frozenset({name}), example=example, privileged=False, ids=frozenset({str(number)}))


_COMPANY = Company(
    sender=_person("ann@tea.example", _ANN, 7),
    others=(_person("bob@tea.example", _BOB, 8),),
    cookies=((b"sid", b" path=/"),),
)


def _who(request: Request) -> str:
    cookies = (request.get(b"cookie") or b"").decode("latin-1")
    value = cookies.partition("sid=")[2].partition(";")[0]
    return _SESSIONS.get(value, "")


def _denied() -> Response:
    return page("<h1>Please log in</h1>", 401)


def _account(mail: str) -> Response:
    return page(
        f"<h1>Your account</h1><p>E-mail: {escape(mail)}</p><p>Balance: 12 coins</p><ul><li>Assam</li>"
        "<li>Ceylon</li></ul>"
    )


def account(request: Request) -> Response:
    who = _who(request)
    return _account(who) if who else _denied()


def account_for_any_cookie(request: Request) -> Response:
    """Looks only whether there is a session."""
    sent = b"sid=" in (request.get(b"cookie") or b"")
    return _account(_who(request) or "ann@tea.example") if sent else _denied()


def account_from_inside(request: Request) -> Response:
    """Believes a header that says where the request comes from."""
    if request.get(b"x-forwarded-for") == b"127.0.0.1":
        return _account("ann@tea.example")
    return account(request)


def account_by_exact_path(request: Request) -> Response:
    """A filter compares the path, the router behind it is lenient."""
    if path_of(request).rstrip("/") != "/account":
        return page("<p>There is nothing here.</p>", 404)
    return account(request) if path_of(request) == "/account" else _account("ann@tea.example")


def account_by_method(request: Request) -> Response:
    """The rule names GET, the handler takes every method."""
    return account(request) if request.method == b"GET" else _account("ann@tea.example")


def _by_name(read: Callable[[str], str]) -> Handler:
    """Takes the person from a cookie beside the session, as `read` reads it."""

    def handler(request: Request) -> Response:
        cookies = (request.get(b"cookie") or b"").decode("latin-1")
        who = read(cookies.partition("who=")[2].partition(";")[0])
        return _account(who) if who in _SESSIONS.values() else _denied()

    return handler


def _in_json(value: str) -> str:
    try:
        return str(json.loads(base64.b64decode(unquote(value)))["user"])
    except (ValueError, KeyError, TypeError):
        return ""


def _in_a_hash(value: str) -> str:
    return next((m for m in _SESSIONS.values() if hashlib.md5(m.encode()).hexdigest() == value), "")


def public(request: Request) -> Response:
    """The same for everybody: nothing is refused here."""
    return page("<h1>Teas</h1><ul><li>Assam</li><li>Ceylon</li><li>Earl Grey</li></ul>")


# tokens

_KEY = "Tq8!x0-very-long-and-random-4711"


def _part(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def _signature(signed: str, key: str) -> str:
    digest = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _token(key: str) -> str:
    signed = f"{_part({'typ': 'JWT', 'alg': 'HS256'})}.{_part({'sub': 'ann', 'exp': 4102444800})}"
    return f"{signed}.{_signature(signed, key)}"


def _by_token(key: str, *, none: bool = False, unsigned: bool = False) -> Handler:
    def handler(request: Request) -> Response:
        token = (request.get(b"authorization") or b"").decode("latin-1").removeprefix("Bearer ")
        try:
            head, payload, signature = token.split(".")
            algorithm = json.loads(base64.urlsafe_b64decode(head + "==")).get("alg", "")
            person = json.loads(base64.urlsafe_b64decode(payload + "=="))["sub"]
        except (ValueError, KeyError):
            return answer({"error": "no token"}, 401)
        genuine = hmac.compare_digest(signature, _signature(f"{head}.{payload}", key))
        if not (genuine or unsigned or (none and algorithm.lower() == "none")):
            return answer({"error": "bad token"}, 401)
        return answer(
            {"name": person, "orders": ["Assam", "Ceylon"], "since": "2024-05-01", "city": "Jorhat"}
        )

    return handler


def _me(key: str) -> Request:
    return get("/me", Authorization=f"Bearer {_token(key)}")


# requests from other sites


def change_mail(request: Request) -> Response:
    return page(f"<p>Changed to {escape(inputs(request)['mail'])}.</p>") if _who(request) else _denied()


def change_mail_with_token(request: Request) -> Response:
    if inputs(request)["csrf_token"] != "k3J9sW2mQ8":
        return page("<p>This form has expired.</p>", 403)
    return change_mail(request)


def change_mail_from_here(request: Request) -> Response:
    origin = request.get(b"origin") or b"http://target.example"
    return change_mail(request) if origin == b"http://target.example" else page("<p>No.</p>", 403)


def subscribe(request: Request) -> Response:
    """Anybody may do this; no cookie is needed."""
    return page(f"<p>We shall write to {escape(inputs(request)['mail'])}.</p>")


def _form(body: str) -> Request:
    return post("/mail", body).with_header(b"Cookie", _ANN.encode())


# objects


def person(request: Request) -> Response:
    """Anybody who is logged in sees anybody."""
    number = path_of(request).rpartition("/")[2]
    mail = _PEOPLE.get(int(number)) if number.isdigit() else None
    if not _who(request):
        return _denied()
    return (
        answer({"email": mail, "phone": "12", "orders": ["Assam"], "city": "Jorhat"})
        if mail
        else answer({}, 404)
    )


def person_own(request: Request) -> Response:
    number = path_of(request).rpartition("/")[2]
    mail = _PEOPLE.get(int(number)) if number.isdigit() else None
    if not _who(request):
        return _denied()
    if mail != _who(request):
        return answer({"error": "not yours"}, 404)
    return answer({"email": mail, "phone": "12", "orders": ["Assam"], "city": "Jorhat"})


def _page_of(whose: Callable[[Request], str]) -> Handler:
    def handler(request: Request) -> Response:
        who = _who(request)
        if not who:
            return _denied()
        if whose(request) != who:
            return page("<p>This order is not yours.</p>", 403)
        return _account(whose(request))

    return handler


def order_for_all(request: Request) -> Response:
    return _account("ann@tea.example") if _who(request) else _denied()


order_for_owner = _page_of(lambda request: "ann@tea.example")

# fields


def register(request: Request) -> Response:
    """Fills an account from whatever fields are sent."""
    given = {k: v for k, v in inputs(request).items() if k in ("name", "is_admin", "credit")}
    return answer({"id": 9, "is_admin": False, "credit": 0, **given}, 201)


def register_named(request: Request) -> Response:
    return answer({"id": 9, "is_admin": False, "credit": 0, "name": inputs(request)["name"]}, 201)


def register_repeating(request: Request) -> Response:
    """Repeats what it was sent; what is kept is another matter."""
    return answer({"is_admin": False, **inputs(request)}, 201)


def register_listed(request: Request) -> Response:
    """Takes a role, and no other than those it knows."""
    given = inputs(request)
    if given["role"] not in ("", "customer", "admin"):
        return answer({"error": "no such role"}, 400)
    return answer({"id": 9, "role": given["role"] or "customer", "name": given["name"]}, 201)


def register_customer(request: Request) -> Response:
    return answer({"id": 9, "role": "customer", "name": inputs(request)["name"]}, 201)


_CREDIT = {"credit": 0}


def profile(request: Request) -> Response:
    """Keeps whatever fields it is sent, and tells all that it keeps."""
    given = {key: value for key, value in inputs(request).items() if value != ""}
    _CREDIT.update(credit=int(given.get("credit", _CREDIT["credit"])))
    return answer({"id": 9, **given, **_CREDIT})


_BASKETS = {4: 7, 5: 8}


def _basket(*, checked: bool) -> Handler:
    def handler(request: Request) -> Response:
        who, number = _who(request), path_of(request).rpartition("/")[2]
        if not who:
            return _denied()
        owner = _BASKETS.get(int(number)) if number.isdecimal() else None
        if owner is None or (checked and _PEOPLE[owner] != who):
            return answer({"error": "no such basket"}, 404)
        return answer({"data": {"id": int(number), "coupon": None, "UserId": owner}})

    return handler


def basket_of_all(request: Request) -> Response:
    """The same kind of object, which anybody may see."""
    number = path_of(request).rpartition("/")[2]
    if not number.isdecimal():
        return answer({"error": "no such basket"}, 404)
    return answer({"id": int(number), "user_id": 7 + int(number) % 2})


def _whole(
    detect: str,
    flaw: str,
    broken: Handler,
    repaired: Handler,
    request: Request,
    repaired_request: Request | None = None,
) -> Pair:
    return Pair(
        detect=detect, flaw=flaw, broken=broken, repaired=repaired, request=request, point=_WHOLE,
        repaired_request=repaired_request, company=_COMPANY,
    )  # fmt: skip


_ACCOUNT = get("/account", Cookie=_ANN)
_MAIL = _form("mail=ann2@tea.example")
_AT_BASKET = get("/baskets/4", Cookie=_ANN)
_NEW = post("/register", '{"name": "cleo"}', "application/json")

_NAMED = quote(base64.b64encode(b'{"user": "ann@tea.example", "admin": false}').decode())
_HASHED = hashlib.md5(b"ann@tea.example").hexdigest()


def _as_named(value: str) -> Request:
    return get("/account", Cookie=f"{_ANN}; who={value}")


PAIRS = (
    _whole("auth-broken", "any cookie", account_for_any_cookie, account, _ACCOUNT),
    _whole("auth-around", "a header that is believed", account_from_inside, public, _ACCOUNT),
    _whole("auth-around", "a path spelt otherwise", account_by_exact_path, account, _ACCOUNT),
    _whole("auth-named", "plain", _by_name(unquote), account, _as_named("ann%40tea.example")),
    _whole("auth-named", "encoded", _by_name(_in_json), account, _as_named(_NAMED)),
    _whole("auth-named", "hashed", _by_name(_in_a_hash), account, _as_named(_HASHED)),
    _whole("verb-access", "a method that no rule names", account_by_method, account, _ACCOUNT),
    _whole("jwt-unsigned", "none", _by_token(_KEY, none=True), _by_token(_KEY), _me(_KEY)),
    _whole(
        "jwt-unsigned", "signature not looked at", _by_token(_KEY, unsigned=True), _by_token(_KEY), _me(_KEY)
    ),
    _whole("jwt-key", "a common word", _by_token("random"), _by_token(_KEY), _me("random"), _me(_KEY)),
    _whole("csrf-origin", "no token", change_mail, change_mail_from_here, _MAIL),
    _whole(
        "csrf-origin",
        "token not compared",
        change_mail,
        change_mail_with_token,
        _form("mail=a@b.c&csrf_token=k3J9sW2mQ8"),
    ),
    _whole("csrf-origin", "nobody's session", change_mail, subscribe, _MAIL),
    _whole(
        "idor-object", "another's session", order_for_all, order_for_owner, get("/orders/4711", Cookie=_ANN)
    ),
    _whole("idor-object", "the next number", person, person_own, get("/people/7", Cookie=_ANN)),
    _whole("idor-owner", "the next number", _basket(checked=False), _basket(checked=True), _AT_BASKET),
    _whole("idor-owner", "what is for all", _basket(checked=False), basket_of_all, _AT_BASKET),
    _whole("mass-fields", "whatever is sent", register, register_named, _NEW),
    _whole("mass-fields", "one of some values", register_listed, register_customer, _NEW),
    _whole("mass-fields", "whatever is sent, and kept", profile, register_repeating, _NEW),
    _whole("mass-fields", "not merely repeated", register, register_repeating, _NEW),
)

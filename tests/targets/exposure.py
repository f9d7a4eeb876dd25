"""Applications that tell too much to an ordinary request, and the same without it."""

import json
from contextlib import suppress

from fastci.node.message import Origin, Request, Response
from targets.kit import Handler, Pair, answer, get, page, path_of, post

_WHOLE = "*"
_HASH = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"


def _says(body: str, status: int = 200, media_type: str = "text/html", **headers: str) -> Handler:
    def handler(request: Request) -> Response:
        return page(body, status, media_type, **headers)

    return handler


_data = "application/json"
listing = _says("<title>Index of /old</title><h1>Index of /old</h1><a href='a.txt'>a.txt</a>")
no_listing = _says("<title>Teas</title><h1>Index</h1><p>Index of all our teas, from A to Z.</p>")
trace = _says('<pre>Traceback (most recent call last):\n  File "/srv/app.py", line 3, in index\n</pre>', 500)
no_trace = _says("<p>Traceback: how to trace a parcel. Error at line 3 of your order.</p>", 500)
hashes = _says(json.dumps([{"name": "ann", "hash": _HASH}]), media_type=_data)
no_hashes = _says(json.dumps([{"name": "ann", "password": "********", "key": "$2b$10$"}]), media_type=_data)
passwords = _says(json.dumps({"users": [{"email": "a@b.example", "password": "pass1"}]}), media_type=_data)
words = _says(json.dumps({"email": "E-mail", "password": "Password"}), media_type=_data)
open_cookie = _says("hello", Set_Cookie="sessionid=3f2a9c77d1b04e; Path=/")
plain_cookie = _says("hello", Set_Cookie="sessionid=3f2a9c77d1b04e; Path=/; HttpOnly; SameSite=Lax")
secure_cookie = _says("hello", Set_Cookie="sessionid=3f2a9c77d1b04e; Path=/; Secure; HttpOnly; SameSite=Lax")
shut_cookie = _says("hello", Set_Cookie="sessionid=3f2a9c77d1b04e; Path=/; HttpOnly; SameSite=Lax")
bare_page = _says("<p>Teas</p>")
guarded_page = _says("<p>Teas</p>", X_Content_Type_Options="nosniff", X_Frame_Options="DENY")


def _file(path: str, text: str) -> Handler:
    def handler(request: Request) -> Response:
        return page(text, media_type="text/plain") if path_of(request) == path else page("none", 404)

    return handler


def everywhere(request: Request) -> Response:
    """One page for every address, as applications in the browser have."""
    return page("<!doctype html><title>Shop</title><script src='app.js'></script>")


def backup(request: Request) -> Response:
    if path_of(request) == "/teas.php.bak":
        return page("<?php $password = 'x';", media_type="text/plain")
    return page("<p>Teas</p>") if path_of(request) == "/teas.php" else page("none", 404)


def no_backup(request: Request) -> Response:
    return page("<p>Teas</p>") if path_of(request).startswith("/teas.php") else page("none", 404)


# other origins and other names


def any_origin(request: Request) -> Response:
    origin = (request.get(b"origin") or b"").decode("latin-1")
    allowed = (
        {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"} if origin else {}
    )
    return page("[1]", media_type=_data, **allowed)


def one_origin(request: Request) -> Response:
    """For one site, with cookies; for every site, without."""
    origin = request.get(b"origin")
    if origin == b"https://friends.example":
        return any_origin(request)
    return page("[1]", media_type=_data, Access_Control_Allow_Origin="*")


def named_by_request(request: Request) -> Response:
    host = (request.get(b"x-forwarded-host") or request.get(b"host") or b"").decode("latin-1")
    return page(f'<a href="https://{host}/reset?key=1">Set a new password</a>')


def named_by_settings(request: Request) -> Response:
    host = (request.get(b"x-forwarded-host") or request.get(b"host") or b"").decode("latin-1")
    if host != "target.example":
        return page(f"<p>No site named {host} here; see <a href='https://target.example/'>ours</a></p>", 404)
    return page('<a href="https://target.example/reset?key=1">Set a new password</a>')


def named_in_data(request: Request) -> Response:
    host = (request.get(b"x-forwarded-host") or b"target.example").decode("latin-1")
    return answer({"sent": True, "link": f"https://{host}/reset?key=1"})


def named_as_data(request: Request) -> Response:
    """Tells what it was sent, as a service for debugging does; its links are its own."""
    host = (request.get(b"x-forwarded-host") or request.get(b"host") or b"").decode("latin-1")
    return answer({"X-Forwarded-Host": host, "link": "https://target.example/reset?key=1"})


# GraphQL


def _graphql(*, schema: bool, lists: bool) -> Handler:
    """Understands aliases of `__schema` and `__typename`, and nothing else."""

    def one(operation: object) -> dict[str, object]:
        query = str(operation.get("query")) if isinstance(operation, dict) else ""
        alias = query.rpartition(":__")[0].rpartition("{")[2]
        if ":__schema" in query and schema:
            return {"data": {alias: {"queryType": {"name": "Query"}, "types": [{"name": "Tea"}]}}}
        if ":__typename" in query:
            return {"data": {alias: "Query"}}
        return {"errors": [{"message": f"cannot answer {query}"}]}

    def handler(request: Request) -> Response:
        asked: object = None
        with suppress(ValueError):
            asked = json.loads(request.body)
        if isinstance(asked, list):
            return (
                answer([one(each) for each in asked]) if lists else answer({"errors": ["one, please"]}, 400)
            )
        return answer(one(asked))

    return handler


_PAGE = get("/teas")
_QUERY = post("/graphql", '{"query": "{teas{name}}"}', "application/json")
_closed = _graphql(schema=False, lists=False)


def _pair(
    detect: str, flaw: str, broken: Handler, repaired: Handler, request: Request = _PAGE, point: str = _WHOLE
) -> Pair:
    return Pair(detect=detect, flaw=flaw, broken=broken, repaired=repaired, request=request, point=point)


PAIRS = (
    _pair("info-directory", "a web server's", listing, no_listing),
    _pair("info-debug", "a trace in the page", trace, no_trace),
    _pair("info-secrets", "hashes of passwords", hashes, no_hashes),
    _pair("info-passwords", "beside addresses", passwords, words),
    _pair("info-files", "version control", _file("/.git/HEAD", "ref: refs/heads/main\n"), everywhere),
    _pair("info-files", "settings", _file("/.env", "DEBUG=0\nDB_PASSWORD=tea\n"), everywhere),
    _pair("info-backup", "behind its ending", backup, no_backup, get("/teas.php"), "ACTION_EXT_value"),
    _pair("cookie-flags", "session", open_cookie, shut_cookie),
    Pair(
        detect="cookie-secure",
        flaw="session",
        broken=plain_cookie,
        repaired=secure_cookie,
        request=_PAGE,
        point=_WHOLE,
        origin=Origin(scheme="https", host="target.example", port=443),
    ),
    _pair("cookie-samesite", "session", open_cookie, shut_cookie),
    _pair("headers-protection", "a page", bare_page, guarded_page),
    _pair("cors-origin", "every origin", any_origin, one_origin),
    _pair("cors-null", "every origin", any_origin, one_origin),
    _pair("host-poisoning", "links", named_by_request, named_by_settings),
    _pair("host-poisoning", "links in data", named_in_data, named_as_data),
    _pair(
        "graphql-introspection",
        "open",
        _graphql(schema=True, lists=False),
        _closed,
        _QUERY,
        "POST_JSON_DOC_value",
    ),
    _pair(
        "graphql-batching", "open", _graphql(schema=False, lists=True), _closed, _QUERY, "POST_JSON_DOC_value"
    ),
)

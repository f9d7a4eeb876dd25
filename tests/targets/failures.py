"""Applications whose errors say too much: stack traces, messages of directories, XPath and documents."""

import json
import re
import traceback
from html import escape

from lxml import etree

from fastci.node.message import Request, Response
from targets.kit import Pair, answer, get, inputs, page, post

# stack traces


def quote_with_trace(request: Request) -> Response:
    try:
        return page(f"<p>{int(inputs(request)['quantity']) * 450} cents</p>")
    except ValueError:
        return page(f"<pre>{escape(traceback.format_exc())}</pre>", 500)


def quote_refusing(request: Request) -> Response:
    quantity = inputs(request)["quantity"]
    if not (quantity.isascii() and quantity.isdigit()):
        return page(f"<p>{escape(quantity)} is no number.</p>", 400)
    return page(f"<p>{int(quantity) * 450} cents</p>")


def order_with_trace(request: Request) -> Response:
    try:
        return answer({"cents": 450 * round(inputs(request)["count"])})  # type: ignore[call-overload]
    except TypeError:
        return answer({"error": traceback.format_exc()}, 500)


def order_refusing(request: Request) -> Response:
    count: object = inputs(request)["count"]
    if not isinstance(count, int):
        return answer({"error": "count must be a number", "got": json.dumps(count)}, 422)
    return answer({"cents": 450 * count})


# directories


class _BadFilter(ValueError):
    pass


def _search(expression: str) -> list[str]:
    """A reading of RFC 4515, strict about brackets and escapes."""
    depth, at = 0, 0
    while at < len(expression):
        sign = expression[at]
        if sign == "\\" and not all(
            c in "0123456789abcdefABCDEF" for c in expression[at + 1 : at + 3].ljust(2, "x")
        ):
            raise _BadFilter(expression)
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth == 0 and at + 1 < len(expression):
            raise _BadFilter(expression)
        at += 1
    if depth:
        raise _BadFilter(expression)
    return ["ann"] if "(uid=ann)" in expression else []


def directory(request: Request) -> Response:
    expression = f"(&(objectClass=person)(uid={inputs(request)['user']}))"
    try:
        return page(f"<p>{len(_search(expression))} found</p>")
    except _BadFilter as error:
        text = f"ldap3.core.exceptions.LDAPInvalidFilterError: malformed filter {error}"
        return page(f"<p>{escape(text)}</p>", 500)


def directory_escaping(request: Request) -> Response:
    user = "".join(f"\\{ord(c):02x}" if c in "\\*()\0" else c for c in inputs(request)["user"])
    return page(f"<p>{len(_search(f'(&(objectClass=person)(uid={user}))'))} found</p>")


# XPath


_STAFF = etree.fromstring("<staff><one name='ann' room='7'/><one name='bob' room='9'/></staff>")


def rooms(request: Request) -> Response:
    try:
        found = _STAFF.xpath(f"//one[@name='{inputs(request)['name']}']/@room")
    except (etree.XPathError, ValueError) as error:
        return page(f"<p>lxml.etree.{type(error).__name__}: {escape(str(error))}</p>", 500)
    return page(f"<p>rooms: {found}</p>")


def rooms_with_variable(request: Request) -> Response:
    try:
        found = _STAFF.xpath("//one[@name=$name]/@room", name=inputs(request)["name"])
    except ValueError:
        return page("<p>no such name</p>", 400)
    return page(f"<p>rooms: {found}</p>")


# documents

_ACCOUNTS = ({"name": "ann", "key": "k1"}, {"name": "bob", "key": "k2"})


_OPERATORS = {
    "$eq": lambda value, operand: value == operand,
    "$ne": lambda value, operand: value != operand,
    "$regex": lambda value, operand: re.search(operand, value) is not None,
}


class _BadQuery(Exception):
    pass


def _fits(value: str, wanted: object) -> bool:
    """A reading of MongoDB's query operators."""
    if not isinstance(wanted, dict):
        return value == wanted
    for operator, operand in wanted.items():
        if operator not in _OPERATORS:
            raise _BadQuery(f"MongoServerError: unknown operator: {operator}")
        if not _OPERATORS[operator](value, operand):
            return False
    return True


def account(request: Request) -> Response:
    try:
        asked = json.loads(request.body)
        found = [a for a in _ACCOUNTS if _fits(a["name"], asked["name"]) and _fits(a["key"], asked["key"])]
    except json.JSONDecodeError:
        return answer({"error": "not JSON"}, 400)
    except _BadQuery as error:
        return answer({"error": str(error)}, 500)
    return answer({"welcome": found[0]["name"]}) if found else answer({"error": "no such account"}, 401)


def account_typed(request: Request) -> Response:
    try:
        asked = json.loads(request.body)
    except json.JSONDecodeError:
        return answer({"error": "not JSON"}, 400)
    if not (isinstance(asked["name"], str) and isinstance(asked["key"], str)):
        return answer({"error": "name and key must be text"}, 400)
    return account(request)


def account_by_script(request: Request) -> Response:
    """A `$where` script with the value in single quotes."""
    name = inputs(request)["name"]
    if "'" in name:
        return page(
            "MongoServerError: SyntaxError: '' literal not terminated before end of script in $where", 500
        )
    return page(f"<p>{sum(name == a['name'] for a in _ACCOUNTS)} found</p>")


def account_by_value(request: Request) -> Response:
    return page(f"<p>{sum(inputs(request)['name'] == a['name'] for a in _ACCOUNTS)} found</p>")


_KEY = post("/account", '{"name": "ann", "key": "k1"}', "application/json")
_AT_KEY = "POST_JSON_DOC_HASH_key_value"

PAIRS = (
    Pair(
        detect="info-stacktrace",
        flaw="number",
        request=get("/quote?quantity=2"),
        point="GET_quantity_value",
        broken=quote_with_trace,
        repaired=quote_refusing,
    ),
    Pair(
        detect="info-stacktrace-type",
        flaw="object for a number",
        point="POST_JSON_DOC_HASH_count_value",
        request=post("/order", '{"count": 2}', "application/json"),
        broken=order_with_trace,
        repaired=order_refusing,
    ),
    Pair(
        detect="ldapi-error",
        flaw="filter",
        request=get("/people?user=ann"),
        point="GET_user_value",
        broken=directory,
        repaired=directory_escaping,
    ),
    Pair(
        detect="xpathi-error",
        flaw="expression",
        request=get("/rooms?name=ann"),
        point="GET_name_value",
        broken=rooms,
        repaired=rooms_with_variable,
    ),
    Pair(
        detect="nosqli-error",
        flaw="script",
        request=get("/account?name=ann"),
        point="GET_name_value",
        broken=account_by_script,
        repaired=account_by_value,
    ),
    Pair(
        detect="nosqli-operator",
        flaw="typeless comparison",
        request=_KEY,
        point=_AT_KEY,
        broken=account,
        repaired=account_typed,
    ),
    Pair(
        detect="nosqli-boolean",
        flaw="typeless comparison",
        request=_KEY,
        point=_AT_KEY,
        broken=account,
        repaired=account_typed,
    ),
)

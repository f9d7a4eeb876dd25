"""Applications whose errors say too much: stack traces, messages of directories, XPath and documents."""

import json
import re
import traceback
from collections.abc import Callable
from html import escape

import mongomock
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


_ENTRIES = (
    {"objectClass": "person", "uid": "ann"},
    {"objectClass": "person", "uid": "bob"},
)


def _search(expression: str) -> list[str]:
    """The entries that a filter means: `&`, `|`, `!` and equality with `*` (RFC 4515)."""
    means, end = _filter(expression, 0)
    if end != len(expression):
        raise _BadFilter(expression)
    return [entry["uid"] for entry in _ENTRIES if means(entry)]


def _filter(text: str, at: int) -> tuple[Callable[[dict[str, str]], bool], int]:
    if text[at : at + 1] != "(":
        raise _BadFilter(text)
    sign, at = text[at + 1 : at + 2], at + 1
    if sign and sign in "&|!":
        parts, at = [], at + 1
        while text[at : at + 1] == "(":
            part, at = _filter(text, at)
            parts.append(part)
        if text[at : at + 1] != ")" or not parts or (sign == "!" and len(parts) > 1):
            raise _BadFilter(text)
        joined = {"&": all, "|": any, "!": lambda held: not any(held)}[sign]
        return (lambda entry: joined(part(entry) for part in parts)), at + 1
    simple = re.match(r"(\w+)=([^()]*)\)", text[at:])
    if simple is None or "\\" in simple[2]:
        raise _BadFilter(text)
    name, value = simple[1], simple[2]
    fits = re.compile(".*".join(map(re.escape, value.split("*"))))
    return (lambda entry: fits.fullmatch(entry.get(name, "\0")) is not None), at + simple.end()


def directory(request: Request) -> Response:
    expression = f"(&(objectClass=person)(uid={inputs(request)['user']}))"
    try:
        return page(f"<p>{len(_search(expression))} found</p>")
    except _BadFilter as error:
        text = f"ldap3.core.exceptions.LDAPInvalidFilterError: malformed filter {error}"
        return page(f"<p>{escape(text)}</p>", 500)


def directory_of_alternatives(request: Request) -> Response:
    user = inputs(request)["user"]
    try:
        return page(f"<p>{_search(f'(&(objectClass=person)(|(uid={user})(cn=nobody)))')}</p>")
    except _BadFilter:
        return page("<p>Something went wrong.</p>", 500)


def directory_escaping(request: Request) -> Response:
    """Escaped, such a value fits nothing here."""
    user = inputs(request)["user"]
    if set(user) & set("\\*()\0"):
        return page("<p>0 found</p>")
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


def room(request: Request) -> Response:
    try:
        found = _STAFF.xpath(f"//one[@name='{inputs(request)['name']}']/@room")
    except (etree.XPathError, ValueError):
        return page("<p>Something went wrong.</p>", 500)
    return page(f"<p>rooms: {found}</p>")


def directory_silent(request: Request) -> Response:
    """LDAP, of whose errors nothing is shown."""
    expression = f"(&(objectClass=person)(uid={inputs(request)['user']}))"
    try:
        return page(f"<p>{len(_search(expression))} found</p>")
    except _BadFilter:
        return page("<p>Something went wrong.</p>", 500)


# documents

_ACCOUNTS = ({"name": "ann", "key": "k1"}, {"name": "bob", "key": "k2"})


_OPERATORS = {
    "$in": lambda value, operand: value in operand,
    "$nin": lambda value, operand: value not in operand,
    "$not": lambda value, operand: not _fits(value, operand),
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
    if not isinstance(asked, dict) or not (
        isinstance(asked.get("name"), str) and isinstance(asked.get("key"), str)
    ):
        return answer({"error": "name and key must be text"}, 400)
    return account(request)


_COLLECTION = mongomock.MongoClient().shop.accounts
_COLLECTION.insert_many([dict(account) for account in _ACCOUNTS])


def stored_account(request: Request) -> Response:
    """The same, asked of a collection of documents by another reading of MongoDB's operators."""
    try:
        asked = json.loads(request.body)
        found = _COLLECTION.find_one({"name": asked["name"], "key": asked["key"]})
    except json.JSONDecodeError:
        return answer({"error": "not JSON"}, 400)
    except Exception as error:
        return answer({"error": f"{type(error).__name__} in the database"}, 500)
    return answer({"welcome": found["name"]}) if found else answer({"error": "no such account"}, 401)


def stored_account_typed(request: Request) -> Response:
    try:
        asked = json.loads(request.body)
    except json.JSONDecodeError:
        return answer({"error": "not JSON"}, 400)
    if not isinstance(asked, dict) or not all(isinstance(asked.get(k), str) for k in ("name", "key")):
        return answer({"error": "name and key must be text"}, 400)
    return stored_account(request)


def stored_account_by_names(request: Request) -> Response:
    wanted: dict[str, object] = {}
    for key, value in inputs(request).items():
        name, _, operator = key.rstrip("]").partition("[")
        wanted[name] = {operator: value} if operator else value
    try:
        return page(f"<p>{[a['name'] for a in _COLLECTION.find(wanted)]}</p>")
    except Exception:
        return page("<p>Something went wrong.</p>", 500)


def stored_account_by_plain_names(request: Request) -> Response:
    return page(f"<p>{[a['name'] for a in _COLLECTION.find({'name': inputs(request)['name']})]}</p>")


def account_by_script(request: Request) -> Response:
    """A `$where` script with the value in single quotes."""
    name = inputs(request)["name"]
    if "'" in name:
        return page(
            "MongoServerError: SyntaxError: '' literal not terminated before end of script in $where", 500
        )
    return page(f"<p>{sum(name == a['name'] for a in _ACCOUNTS)} found</p>")


def account_by_silent_script(request: Request) -> Response:
    """A `$where` of which nothing is shown; this reading of JavaScript knows conjunctions of comparisons."""
    script = f"'{inputs(request)['name']}'"
    terms = [_truth(term.strip()) for term in script.split("&&")]
    if None in terms:
        return page("<p>Something went wrong.</p>", 500)
    return page(f"<p>{sum(all(terms) and a['name'] in script for a in _ACCOUNTS)} found</p>")


def _truth(term: str) -> bool | None:
    """Of a text, a length compared with a number, or two texts compared; None for anything else."""
    if plain := re.fullmatch(r"'([^']*)'", term):
        return bool(plain[1])
    if length := re.fullmatch(r"'([^']*)'\.length==(\d+)", term):
        return len(length[1]) == int(length[2])
    equal = re.fullmatch(r"'([^']*)'=='([^']*)'", term)
    return equal[1] == equal[2] if equal else None


def account_by_names(request: Request) -> Response:
    """Names with brackets become objects, as in Express and PHP; what comes out is handed to the database."""
    wanted: dict[str, object] = {}
    for key, value in inputs(request).items():
        name, _, operator = key.rstrip("]").partition("[")
        wanted[name] = {operator: value} if operator else value
    try:
        found = [a for a in _ACCOUNTS if all(_fits(a.get(k, ""), v) for k, v in wanted.items())]
    except _BadQuery:
        return page("<p>Something went wrong.</p>", 500)
    return page(f"<p>{[a['name'] for a in found]}</p>")


def account_by_plain_names(request: Request) -> Response:
    wanted = inputs(request)
    found = [a for a in _ACCOUNTS if a["name"] == wanted["name"]]
    return page(f"<p>{[a['name'] for a in found]}</p>")


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
        detect="ldapi-or",
        flaw="alternatives",
        request=get("/people?user=ann"),
        point="GET_user_value",
        broken=directory_of_alternatives,
        repaired=directory_escaping,
    ),
    Pair(
        detect="nosqli-or",
        flaw="login that fails",
        request=post("/login", '{"name": "ann", "key": "wrong"}', "application/json"),
        point=_AT_KEY,
        broken=account,
        repaired=account_typed,
    ),
    Pair(
        detect="ldapi-boolean",
        flaw="filter",
        request=get("/people?user=ann"),
        point="GET_user_value",
        broken=directory_silent,
        repaired=directory_escaping,
    ),
    Pair(
        detect="xpathi-boolean",
        flaw="expression",
        request=get("/rooms?name=ann"),
        point="GET_name_value",
        broken=room,
        repaired=rooms_with_variable,
    ),
    Pair(
        detect="nosqli-script",
        flaw="script",
        request=get("/account?name=ann"),
        point="GET_name_value",
        broken=account_by_silent_script,
        repaired=account_by_value,
    ),
    Pair(
        detect="nosqli-names",
        flaw="names with operators",
        request=get("/account?name=ann"),
        point="GET_name_name",
        broken=account_by_names,
        repaired=account_by_plain_names,
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
        flaw="typeless comparison in a collection",
        request=_KEY,
        point=_AT_KEY,
        broken=stored_account,
        repaired=stored_account_typed,
    ),
    Pair(
        detect="nosqli-or",
        flaw="login that fails, in a collection",
        request=post("/login", '{"name": "ann", "key": "wrong"}', "application/json"),
        point=_AT_KEY,
        broken=stored_account,
        repaired=stored_account_typed,
    ),
    Pair(
        detect="nosqli-names",
        flaw="names with operators, in a collection",
        request=get("/account?name=ann"),
        point="GET_name_name",
        broken=stored_account_by_names,
        repaired=stored_account_by_plain_names,
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

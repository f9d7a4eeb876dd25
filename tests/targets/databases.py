"""Applications over SQLite that paste values into statements, and the same with bound parameters."""

import re
import sqlite3
from collections.abc import Callable
from html import escape

from fastci.node.message import Request, Response
from targets.kit import Pair, answer, clock, get, inputs, page, post

_TEAS = ((1, "Assam", 450), (2, "Ceylon", 420), (3, "Earl Grey", 480), (4, "Sencha", 610))

Rows = list[tuple[object, ...]]
Ask = Callable[[str, tuple[object, ...]], Rows]


def _ask(statement: str, values: tuple[object, ...] = ()) -> Rows:
    with sqlite3.connect(":memory:") as database:
        # SQLite has no function that waits and no tables of functions; PostgreSQL's is written as a subquery.
        database.create_function("pg_sleep", 1, clock.wait)
        database.execute("CREATE TABLE tea (id INTEGER PRIMARY KEY, name TEXT, cents INTEGER)")
        database.executemany("INSERT INTO tea VALUES (?, ?, ?)", _TEAS)
        return database.execute(
            re.sub(r"pg_sleep\((\d+)\)", r"(SELECT pg_sleep(\1))", statement), values
        ).fetchall()


def _list(rows: Rows) -> Response:
    return page(
        "<ul>" + "".join(f"<li>{escape(str(row[0]))}</li>" for row in rows) + f"</ul>{len(rows)} found"
    )


def search_with_errors(request: Request) -> Response:
    name = inputs(request)["name"]
    try:
        return _list(_ask(f"SELECT name FROM tea WHERE name LIKE '%{name}%'"))
    except sqlite3.Error as error:
        return page(f"<p>sqlite3.{type(error).__name__}: {escape(str(error))}</p>", 500)


def search_bound(request: Request) -> Response:
    return _list(_ask("SELECT name FROM tea WHERE instr(name, ?) > 0", (inputs(request)["name"],)))


def login_with_errors(request: Request) -> Response:
    """A JSON interface whose error text is in a JSON string."""
    name = inputs(request)["name"]
    try:
        rows = _ask(f'SELECT id FROM tea WHERE name = "{name}"')
    except sqlite3.Error as error:
        return answer({"error": f"SQLITE_ERROR: {error}"}, 500)
    return answer({"id": rows[0][0]}) if rows else answer({"error": "unknown"}, 404)


def login_bound(request: Request) -> Response:
    rows = _ask("SELECT id FROM tea WHERE name = ?", (str(inputs(request)["name"]),))
    return answer({"id": rows[0][0]}) if rows else answer({"error": "unknown"}, 404)


def _silent(statement: Callable[[str], str], parameter: str) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        try:
            return _list(_ask(statement(inputs(request)[parameter])))
        except sqlite3.Error:
            return page("<p>Something went wrong.</p>", 500)

    return handler


by_name = _silent(lambda name: f"SELECT name FROM tea WHERE name = '{name}'", "name")
by_name_in_brackets = _silent(
    lambda name: f"SELECT name FROM tea WHERE (cents > 1 AND (name = '{name}'))", "name"
)
by_part_of_name = _silent(lambda name: f"SELECT name FROM tea WHERE name LIKE '%{name}%'", "name")
by_number = _silent(lambda number: f"SELECT name FROM tea WHERE id = {number}", "id")


def log_in(request: Request) -> Response:
    """Says only whether it worked. A password that is wrong hides what a condition behind AND does."""
    given = inputs(request)
    statement = f"SELECT name FROM tea WHERE name = '{given['login']}' AND cents = '{given['password']}'"
    try:
        rows = _ask(statement)
    except sqlite3.Error:
        return page("<p>Something went wrong.</p>", 500)
    return page(f"<p>Welcome, {escape(str(rows[0][0]))}</p>") if rows else page("<p>Wrong.</p>", 401)


def log_in_bound(request: Request) -> Response:
    given = inputs(request)
    rows = _ask("SELECT name FROM tea WHERE name = ? AND cents = ?", (given["login"], given["password"]))
    return page(f"<p>Welcome, {escape(str(rows[0][0]))}</p>") if rows else page("<p>Wrong.</p>", 401)


by_order = _silent(lambda order: f"SELECT name FROM tea ORDER BY {order}", "order")


def by_known_order(request: Request) -> Response:
    order = inputs(request)["order"]
    if order not in ("name", "cents"):
        return page("<p>No such order.</p>", 400)
    return _list(_ask(f"SELECT name FROM tea ORDER BY {order}"))


def by_likely_order(request: Request) -> Response:
    """Takes the word at the start, whatever follows."""
    match = re.match(r"\w+", inputs(request)["order"])
    order = match[0] if match and match[0] in ("name", "cents") else "id"
    return _list(_ask(f"SELECT name FROM tea ORDER BY {order}"))


def insert(request: Request) -> Response:
    """Stores a text and shows what was stored."""
    name = inputs(request)["name"]
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE note (text TEXT)")
        try:
            database.execute(f"INSERT INTO note VALUES ('{name}')")
        except sqlite3.Error:
            return page("<p>Something went wrong.</p>", 500)
        return _list(database.execute("SELECT text FROM note").fetchall())


def log(request: Request) -> Response:
    """Stores a text and shows nothing of it, nor why that did not work."""
    return _logged(f"INSERT INTO note VALUES ('{inputs(request)['name']}', 'now')", ())


def log_bound(request: Request) -> Response:
    return _logged("INSERT INTO note VALUES (?, 'now')", (inputs(request)["name"],))


def _logged(statement: str, values: tuple[object, ...]) -> Response:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE note (text TEXT, at TEXT)")
        try:
            database.execute(statement, values)
        except sqlite3.Error:
            return page("<p>Something went wrong.</p>", 500)
    return page("<p>Thank you.</p>")


def insert_bound(request: Request) -> Response:
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE note (text TEXT)")
        database.execute("INSERT INTO note VALUES (?)", (inputs(request)["name"],))
        return _list(database.execute("SELECT text FROM note").fetchall())


def by_name_bound(request: Request) -> Response:
    return _list(_ask("SELECT name FROM tea WHERE name = ?", (inputs(request)["name"],)))


def by_number_checked(request: Request) -> Response:
    number = inputs(request)["id"]
    if not number.isdigit():
        return page("<p>A number, please.</p>", 400)
    return _list(_ask("SELECT name FROM tea WHERE id = ?", (int(number),)))


def by_number_lenient(request: Request) -> Response:
    """Reads the digits at the start and leaves the rest, as PHP's intval does."""
    match = re.match(r"\s*\d+", inputs(request)["id"])
    return _list(_ask("SELECT name FROM tea WHERE id = ?", (int(match[0]) if match else 0,)))


def search_words(request: Request) -> Response:
    """A search for any of the words: more words, more hits."""
    words = re.findall(r"\w+", inputs(request)["name"])
    rows = [row for word in words for row in _ask("SELECT name FROM tea WHERE instr(name, ?) > 0", (word,))]
    return _list(rows)


def counting(request: Request) -> Response:
    """Every answer has another number in it; nothing of the value matters."""
    clock.wait(0.001)
    return page(
        f"<p>You are visitor {int(clock.seconds * 1000)}.</p><p>{escape(inputs(request)['name'])}</p>"
    )


_LOGIN = post("/login", "login=Assam&password=wrong")
_ORDER = get("/teas?order=name")
_NAME, _NUMBER = get("/teas?name=Assam"), get("/tea?id=2")

PAIRS = (
    Pair(
        detect="sqli-error",
        flaw="text in a LIKE, error shown in HTML",
        request=_NAME,
        point="GET_name_value",
        broken=search_with_errors,
        repaired=search_bound,
    ),
    Pair(
        detect="sqli-error",
        flaw="double quotes, error shown in JSON",
        point="POST_JSON_DOC_HASH_name_value",
        request=post("/login", '{"name": "Assam"}', "application/json"),
        broken=login_with_errors,
        repaired=login_bound,
    ),
    Pair(
        detect="sqli-boolean",
        flaw="text in single quotes",
        request=_NAME,
        point="GET_name_value",
        broken=by_name,
        repaired=by_name_bound,
    ),
    Pair(
        detect="sqli-boolean",
        flaw="text in brackets",
        request=_NAME,
        point="GET_name_value",
        broken=by_name_in_brackets,
        repaired=search_words,
    ),
    Pair(
        detect="sqli-boolean",
        flaw="part of a text",
        request=_NAME,
        point="GET_name_value",
        broken=by_part_of_name,
        repaired=counting,
    ),
    Pair(
        detect="sqli-boolean",
        flaw="number",
        request=_NUMBER,
        point="GET_id_value",
        broken=by_number,
        repaired=by_number_checked,
    ),
    Pair(
        detect="sqli-arithmetic",
        flaw="number",
        request=_NUMBER,
        point="GET_id_value",
        broken=by_number,
        repaired=by_number_lenient,
    ),
    Pair(
        detect="sqli-or",
        flaw="login that fails",
        request=_LOGIN,
        point="POST_FORM_URLENCODED_login_value",
        broken=log_in,
        repaired=log_in_bound,
    ),
    Pair(
        detect="sqli-or",
        flaw="nothing found",
        request=get("/teas?name=Matcha"),
        point="GET_name_value",
        broken=by_name,
        repaired=by_name_bound,
    ),
    Pair(
        detect="sqli-union",
        flaw="text in single quotes",
        request=_NAME,
        point="GET_name_value",
        broken=by_name,
        repaired=by_name_bound,
    ),
    Pair(
        detect="sqli-union",
        flaw="number",
        request=_NUMBER,
        point="GET_id_value",
        broken=by_number,
        repaired=by_number_lenient,
    ),
    Pair(
        detect="sqli-order",
        flaw="column",
        request=_ORDER,
        point="GET_order_value",
        broken=by_order,
        repaired=by_known_order,
    ),
    Pair(
        detect="sqli-order",
        flaw="column with its direction",
        request=get("/teas?order=name%20desc"),
        point="GET_order_value",
        broken=by_order,
        repaired=by_likely_order,
    ),
    Pair(
        detect="sqli-concat",
        flaw="text that is stored",
        request=_NAME,
        point="GET_name_value",
        broken=insert,
        repaired=insert_bound,
    ),
    Pair(
        detect="sqli-concat",
        flaw="text of which nothing is shown",
        request=_NAME,
        point="GET_name_value",
        broken=log,
        repaired=log_bound,
    ),
    Pair(
        detect="sqli-time",
        flaw="text in single quotes",
        request=_NAME,
        point="GET_name_value",
        broken=by_name,
        repaired=by_name_bound,
    ),
    Pair(
        detect="sqli-time",
        flaw="number",
        request=_NUMBER,
        point="GET_id_value",
        broken=by_number,
        repaired=by_number_checked,
    ),
)

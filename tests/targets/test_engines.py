"""Injection detects against the real servers: what each proves there, and that no row but one is touched."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from html import escape

import pytest

from fastci.node.dsl import MarkerSource, builtin_extensions
from fastci.node.message import Request, Response
from fastci.node.points import list_points
from targets import engines
from targets.engines import TEAS, Ask
from targets.kit import Handler, get, inputs, page, post, run_detect

DETECTS = {extension.name: extension for extension in builtin_extensions()}
CREATE = "CREATE TABLE tea (id INTEGER PRIMARY KEY, name VARCHAR(200), cents INTEGER)"
SERVERS = {"mariadb": "mariadbd", "postgresql": "postgres", "slapd": "slapd"}

pytestmark = pytest.mark.xdist_group("engines")


def needs(server: str) -> None:
    if engines.program(SERVERS[server]):
        return
    if os.environ.get("FAST_REQUIRE_SERVERS"):
        pytest.fail(f"{SERVERS[server]} is required and not installed")
    pytest.skip(f"NOT RUN: {SERVERS[server]} is not installed")


@pytest.fixture(scope="module")
def ask(request: pytest.FixtureRequest) -> Iterator[Ask]:
    """The named database with its table of teas."""
    if request.param == "sqlite":
        connection = sqlite3.connect(":memory:", isolation_level=None)
        rows: Ask = lambda statement: connection.execute(statement).fetchall()  # noqa: E731
        yield _filled(rows)
        return
    needs(request.param)
    with engines.folder(request.param) as data, getattr(engines, request.param)(data) as rows:
        yield _filled(rows)


def _filled(ask: Ask) -> Ask:
    ask(CREATE)
    ask("CREATE TABLE note (text VARCHAR(200))")
    ask("INSERT INTO tea VALUES " + ", ".join(str(row) for row in TEAS))
    return ask


databases = pytest.mark.parametrize("ask", ["sqlite", "mariadb", "postgresql"], indirect=True)


def _said(ask: Ask, statement: str, *, shown: bool = False) -> Response:
    try:
        rows = ask(statement)
    except Exception as error:
        text = f"{type(error).__module__}.{type(error).__name__}: {error}"
        return page(f"<p>{escape(text)}</p>" if shown else "<p>Something went wrong.</p>", 500)
    return page("".join(f"<li>{escape(str(row[0]))}</li>" for row in rows) + f"{len(rows)} found")


def pasted(ask: Ask, statement: str, *, shown: bool = False) -> Handler:
    return lambda request: _said(ask, statement.replace("VALUE", inputs(request)["v"]), shown=shown)


def quoted(ask: Ask, statement: str) -> Handler:
    """The repaired twin: what the value brings along stays a part of it."""

    def handler(request: Request) -> Response:
        value = inputs(request)["v"].replace("\\", "").replace("\0", "").replace("'", "''")
        return _said(ask, statement.replace("VALUE", value))

    return handler


TEXT = "SELECT name FROM tea WHERE name = 'VALUE'"
NUMBER = "SELECT name FROM tea WHERE id = VALUE"
CONTEXTS: list[tuple[str, str, str, set[str]]] = [
    ("sqli-boolean", TEXT, "Assam", set()),
    ("sqli-boolean", "SELECT name FROM tea WHERE (cents > 1 AND (name = 'VALUE'))", "Assam", set()),
    ("sqli-boolean", "SELECT name FROM tea WHERE name LIKE '%VALUE%'", "Assam", set()),
    ("sqli-boolean", NUMBER, "2", set()),
    ("sqli-boolean", 'SELECT name FROM tea WHERE name = "VALUE"', "Assam", {"postgresql"}),
    ("sqli-arithmetic", NUMBER, "2", set()),
    ("sqli-arithmetic", "SELECT name FROM tea ORDER BY id LIMIT VALUE", "2", {"mariadb"}),
    ("sqli-or", TEXT, "Matcha", set()),
    ("sqli-or", "SELECT name FROM tea WHERE name = 'VALUE' AND cents = 1", "Assam", set()),
    ("sqli-union", TEXT, "Assam", set()),
    ("sqli-union", "SELECT name, cents, id FROM tea WHERE id = VALUE ORDER BY cents", "2", set()),
    ("sqli-order", "SELECT name FROM tea ORDER BY VALUE", "name", set()),
    ("sqli-order", "SELECT name FROM tea ORDER BY VALUE", "cents desc", set()),
    ("sqli-concat", TEXT, "Assam", set()),
    ("sqli-concat", "INSERT INTO note SELECT 'VALUE'", "hello", {"mariadb"}),
]


@databases
@pytest.mark.parametrize(("detect", "statement", "value", "others"), CONTEXTS)
def test_detect_proves_a_pasted_value_and_no_quoted_one(
    request: pytest.FixtureRequest, ask: Ask, detect: str, statement: str, value: str, others: set[str]
):
    name = request.node.callspec.params["ask"]
    if name in others:
        return
    asked = get(f"/teas?v={value.replace(' ', '%20')}")
    proofs = run_detect(DETECTS[detect], pasted(ask, statement), asked, points="GET_v_value").proofs
    assert list(proofs) == ["GET_v_value"]
    if "'" in statement:
        assert not run_detect(DETECTS[detect], quoted(ask, statement), asked, points="GET_v_value").proofs


@databases
def test_error_of_the_driver_is_recognised(ask: Ask):
    for statement, value in ((TEXT, "Assam"), (NUMBER, "2"), ("SELECT name FROM tea LIMIT VALUE", "2")):
        handler = pasted(ask, statement, shown=True)
        proofs = run_detect(
            DETECTS["sqli-error"], handler, get(f"/teas?v={value}"), points="GET_v_value"
        ).proofs
        assert list(proofs) == ["GET_v_value"]


@pytest.mark.parametrize("ask", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize(("statement", "value"), [(TEXT, "Assam"), (NUMBER, "2")])
def test_one_of_the_waiting_payloads_waits_in_the_server(ask: Ask, statement: str, value: str):
    request = get(f"/teas?v={value}")
    point = next(p for p in list_points(request) if p.name == "GET_v_value")
    markers, detect = MarkerSource(3), DETECTS["sqli-time"]

    def waited(handler: Handler, delay: str) -> list[bool]:
        late = []
        for template in detect.payloads:
            attack = detect.craft(point, template, "postfix", markers.fresh(), markers, delay=delay)
            begin = time.monotonic()
            handler(attack.request)
            late.append(time.monotonic() - begin > 0.5)
        return late

    assert sum(waited(pasted(ask, statement), "1")) == 1
    assert not any(waited(pasted(ask, statement), "0"))


@databases
def test_no_payload_changes_another_row_behind_an_update(ask: Ask):
    """Whatever is tried at a request that changes one row: the others stay as they were."""

    def update(statement: str) -> Callable[[Request], Response]:
        return lambda request: _said(ask, statement.replace("VALUE", inputs(request)["v"]))

    before = ask("SELECT id, name, cents FROM tea WHERE id <> 2 ORDER BY id")
    try:
        for statement, value in (
            ("UPDATE tea SET name = 'VALUE' WHERE id = 2", "Ceylon"),
            ("UPDATE tea SET cents = VALUE WHERE id = 2", "420"),
            ("UPDATE tea SET cents = 420 WHERE id = VALUE", "2"),
            ("UPDATE tea SET cents = 420 WHERE name = 'VALUE'", "Ceylon"),
            ("DELETE FROM note WHERE text = 'VALUE'", "none"),
        ):
            request = post("/tea", f"v={value}")
            for detect in DETECTS.values():
                if detect.oracle != "time" and not detect.whole and not detect.sends:
                    run_detect(detect, update(statement), request, points="POST_FORM_URLENCODED_v_value")
        assert list(ask("SELECT id, name, cents FROM tea WHERE id <> 2 ORDER BY id")) == list(before)
    finally:
        ask("DELETE FROM tea")
        ask("INSERT INTO tea VALUES " + ", ".join(str(row) for row in TEAS))


# a directory


@pytest.fixture(scope="module")
def people() -> Iterator[Callable[[str], int]]:
    needs("slapd")
    with engines.folder("slapd") as data, engines.slapd(data) as count:
        yield count


def _directory(count: Callable[[str], int], *, escaping: bool) -> Handler:
    def handler(request: Request) -> Response:
        user = inputs(request)["user"]
        if escaping:
            user = "".join(f"\\{ord(c):02x}" if c in "\\*()\0" else c for c in user)
        try:
            return page(f"<p>{count(f'(&(objectClass=person)(uid={user}))')} found</p>")
        except Exception as error:
            return page(f"<p>{type(error).__module__}.{type(error).__name__}: {escape(str(error))}</p>", 500)

    return handler


@pytest.mark.parametrize("detect", ["ldapi-error", "ldapi-boolean"])
def test_detect_proves_a_filter_of_a_real_directory(people: Callable[[str], int], detect: str):
    request = get("/people?user=ann")
    broken, repaired = (_directory(people, escaping=escaping) for escaping in (False, True))
    found = run_detect(DETECTS[detect], broken, request, points="GET_user_value").proofs
    assert list(found) == ["GET_user_value"]
    assert not run_detect(DETECTS[detect], repaired, request, points="GET_user_value").proofs

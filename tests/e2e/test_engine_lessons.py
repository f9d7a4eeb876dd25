"""What real applications taught: where input arrives, in which dress evidence comes back, what must stay."""

import base64
import html
import json
import random
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from engine_target import Asked, Said, record_exchanges, request, run_engine, web_target

from fastci.node.dsl import builtin_extensions

PLAIN_ERRORS = ["sqli-error"]
EVERY_DETECT = [detect.name for detect in builtin_extensions() if detect.oracle != "time"]


def looked_up(name: str, *, repaired: bool = False) -> str:
    """What SQLite says of a tea of this name, its error included."""
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE tea (name TEXT)")
        try:
            if repaired:
                rows = database.execute("SELECT name FROM tea WHERE name = ?", (name,)).fetchall()
            else:
                rows = database.execute(f"SELECT name FROM tea WHERE name = '{name}'").fetchall()
        except sqlite3.Error as error:
            return f"sqlite3.OperationalError: {error}"
    return f"{len(rows)} found"


def claim_of(token: str) -> str:
    data = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))["tea"])


def part(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


TOKEN = f"{part({'alg': 'HS256'})}.{part({'tea': 'Assam'})}.c2lnbmF0dXJl"
UPLOAD = (
    '--xX\r\nContent-Disposition: form-data; name="list"; filename="teas.txt"\r\n'
    "Content-Type: text/plain\r\n\r\nAssam\r\n--xX--\r\n"
)
PLACES: dict[str, tuple[Callable[[Asked], str], object, str]] = {
    "path": (
        lambda a: unquote(a.path.rpartition("/")[2]),
        request("GET", "/path/Assam"),
        "ACTION_NAME_value",
    ),
    "header": (
        lambda a: a.headers["x-tea"],
        request("GET", "/header", X_Tea="Assam"),
        "HEADER_X-Tea_value",
    ),
    "headername": (
        lambda a: next((n for n in a.headers if n.startswith("x-t")), ""),
        request("GET", "/headername", X_T="1"),
        "HEADER_X-T_name",
    ),
    "cookie": (
        lambda a: unquote(a.headers["cookie"].partition("tea=")[2]),
        request("GET", "/cookie", Cookie="tea=Assam"),
        "HEADER_Cookie_COOKIE_tea_value",
    ),
    "name": (lambda a: next(iter(a.query), ""), request("GET", "/name?tea=1"), "GET_tea_name"),
    "file": (
        lambda a: a.body.decode("latin-1").partition("\r\n\r\n")[2].partition("\r\n--xX")[0],
        request("POST", "/file", UPLOAD, Content_Type="multipart/form-data; boundary=xX"),
        "POST_MULTIPART_list_FILE_value",
    ),
    "filename": (
        lambda a: re.findall(r'filename="((?:[^"\\]|\\.)*)', a.body.decode("latin-1"))[0],
        request("POST", "/filename", UPLOAD, Content_Type="multipart/form-data; boundary=xX"),
        "POST_MULTIPART_list_FILENAME_value",
    ),
    "token": (
        lambda a: claim_of(a.headers["authorization"]),
        request("GET", "/token", Authorization=f"Bearer {TOKEN}"),
        "HEADER_Authorization_JWT_PAYLOAD_JSON_DOC_HASH_tea_value",
    ),
    "graphql": (
        lambda a: json.loads(
            '"' + str(json.loads(a.body)["query"]).partition('name: "')[2].rpartition('"')[0] + '"'
        ),
        request(
            "POST",
            "/graphql",
            json.dumps({"query": 'query Q { tea(name: "Assam") { id } }'}),
            Content_Type="application/json",
        ),
        "POST_JSON_DOC_HASH_query_GRAPHQL_Q_tea_name_value",
    ),
}


@pytest.mark.parametrize("repaired", [False, True])
def test_input_is_attacked_wherever_it_arrives(tmp_path: Path, repaired: bool):
    def handler(asked: Asked) -> Said:
        read = PLACES[asked.path.split("/")[1]][0]
        try:
            return Said(body=looked_up(read(asked), repaired=repaired))
        except (ValueError, KeyError, IndexError, TypeError):
            return Said(body="unreadable", status=400)

    policy = tmp_path / "places.yml"
    points = [place[2] for place in PLACES.values()]
    policy.write_text(json.dumps({"insertion-points": {"include": points}}))
    with web_target(handler) as target:
        record = record_exchanges(target.origin, [place[1] for place in PLACES.values()])  # type: ignore[misc]
        outcome = run_engine(record, [], tmp_path, policy=str(policy), detects=PLAIN_ERRORS)
    expected = {(f"/{name}", point) for name, (_, _, point) in PLACES.items()} - {
        ("/path", "ACTION_NAME_value")
    }
    expected.add(("/path/Assam", "ACTION_NAME_value"))
    found = {(route, point) for _, point, route in outcome.found}
    assert found == (set() if repaired else expected)


def test_cookies_are_sent_as_recorded(tmp_path: Path):
    """Whatever a cookie jar would make of them: other domains' ones, double ones, odd spelling."""
    cookies = "a=1; __Secure-x=2; a=3;odd ; tea=Assam"
    with web_target(lambda asked: Said(body=html.escape(asked.query.get("q", "")))) as target:
        record = record_exchanges(target.origin, [request("GET", "/teas?q=1", Cookie=cookies)])
        run_engine(record, [], tmp_path, detects=PLAIN_ERRORS)
        assert len(target.asked) > 3
        assert {asked.headers["cookie"] for asked in target.asked} == {cookies}


DRESSES: dict[str, Callable[[str], Said]] = {
    "html": lambda text: Said(body=f"<p>{html.escape(text)}</p>"),
    "json": lambda text: Said(body=json.dumps({"error": text}), kind="application/json"),
    "percent": lambda text: Said(body=f'<img src="/log?e={quote(text)}">'),
    "elsewhere": lambda text: Said(status=302, headers={"Location": f"/said?{quote(text)}"}),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_evidence_is_recognised_in_another_dress(tmp_path: Path, dress: str):
    def handler(asked: Asked) -> Said:
        if asked.path == "/said":
            return Said(body=html.escape(next(iter(asked.query), "")))
        return DRESSES[dress](looked_up(asked.query.get("tea", "")))

    with web_target(handler) as target:
        record = record_exchanges(target.origin, [request("GET", "/teas?tea=Assam")])
        outcome = run_engine(record, [], tmp_path, detects=PLAIN_ERRORS)
    assert outcome.found == [("sqli", "GET_tea_value", "/teas")]


def test_button_and_other_fields_stay_in_every_request(tmp_path: Path):
    """A form that does nothing unless its button was pressed, and its hidden field is there."""

    def handler(asked: Asked) -> Said:
        if asked.form.get("go") != "Search" or asked.form.get("view") != "list":
            return Said(body="<form>nothing asked</form>")
        return Said(body=looked_up(asked.form.get("tea", "")))

    with web_target(handler) as target:
        record = record_exchanges(target.origin, [request("POST", "/find", "tea=Assam&view=list&go=Search")])
        outcome = run_engine(record, [], tmp_path, detects=PLAIN_ERRORS)
    assert outcome.found == [("sqli", "POST_FORM_URLENCODED_tea_value", "/find")]


def test_application_that_answers_every_address_with_its_shell_has_no_flaws(tmp_path: Path):
    """Words of its paths are no inputs: few requests tell, where the detects would send many."""
    shell = "<!doctype html><title>Shop</title><div id=app></div><script src=/app.js></script>"
    with web_target(lambda asked: Said(body=shell)) as target:
        record = record_exchanges(target.origin, [request("GET", "/shop/teas")])
        outcome = run_engine(record, [], tmp_path, policy="thorough", detects=EVERY_DETECT)
        rows = {(r.point, r.type): r for r in outcome.run.checks[0].coverage}
    assert [found for found in outcome.found if found[0] != "headers"] == []
    path = sum(row.requests for (point, _), row in rows.items() if point == "PATH_0_value")
    assert path < 15
    assert rows["PATH_0_value", "sqli"].reason == "another word there leads where nothing is"


def test_shell_that_differs_by_tokens_times_and_ids_is_still_known_as_one(tmp_path: Path):
    rng = random.Random(3)

    def shell(asked: Asked) -> Said:
        varying = "".join(f"<meta name=n{n} content='{rng.getrandbits(64):x}'>" for n in range(6))
        return Said(
            body=f"<!doctype html><title>Shop</title>{varying}<div id=app></div><p>{rng.random()}</p>"
        )

    with web_target(shell) as target:
        record = record_exchanges(target.origin, [request("GET", "/shop/teas")])
        outcome = run_engine(record, [], tmp_path, policy="thorough", detects=EVERY_DETECT)
        rows = {(r.point, r.type): r for r in outcome.run.checks[0].coverage}
    assert [found for found in outcome.found if found[0] != "headers"] == []
    assert rows["PATH_0_value", "sqli"].reason == "another word there leads where nothing is"
    assert sum(row.requests for (point, _), row in rows.items() if point == "PATH_0_value") < 16


def test_application_that_answers_500_to_whatever_it_does_not_know_has_no_flaws(tmp_path: Path):
    def handler(asked: Asked) -> Said:
        if asked.path == "/teas" and asked.query.get("tea") == "Assam":
            return Said(body="<h1>Assam</h1><p>A strong tea from the valley of the Brahmaputra.</p>")
        return Said(body="<h1>Internal Server Error</h1>", status=500)

    with web_target(handler) as target:
        record = record_exchanges(target.origin, [request("GET", "/teas?tea=Assam")])
        outcome = run_engine(record, [], tmp_path, policy="thorough", detects=EVERY_DETECT)
    assert [found for found in outcome.found if found[0] != "headers"] == []


def test_word_of_the_path_that_is_an_input_is_attacked_although_others_lead_nowhere(tmp_path: Path):
    """Unknown teas get the same page as unknown addresses; a broken statement does not."""

    def handler(asked: Asked) -> Said:
        name = unquote(asked.path).removeprefix("/tea/")
        if name == unquote(asked.path):
            return Said(body="<h1>Not found</h1>", status=404)
        said = looked_up(name)
        if name == "Assam":
            return Said(body="Assam, 450")
        return Said(body="<h1>Not found</h1>", status=404) if "found" in said else Said(body=said, status=500)

    with web_target(handler) as target:
        record = record_exchanges(target.origin, [request("GET", "/tea/Assam")])
        outcome = run_engine(record, [], tmp_path, detects=PLAIN_ERRORS)
    assert outcome.found == [("sqli", "ACTION_NAME_value", "/tea/Assam")]


@pytest.mark.parametrize(
    "said", [Said(body="<p>thank you</p>"), Said(body=b"\x89PNG\r\n\x1a\n\0\xff" * 99, kind="image/png")]
)
def test_value_that_is_shown_nowhere_is_spared_what_needs_to_be_shown(tmp_path: Path, said: Said):
    with web_target(lambda asked: said) as target:
        record = record_exchanges(target.origin, [request("GET", "/say?tea=Assam")])
        names = ["xss-html", "xss-attribute", "xss-script", "xss-href", "xss-evasion"]
        outcome = run_engine(record, [], tmp_path, detects=names)
        rows = {(r.point, r.type): r for r in outcome.run.checks[0].coverage}
    assert outcome.run.state == "passed"
    assert rows["GET_tea_value", "xss"].requests == 4


NUMBERS: dict[str, tuple[Callable[[str], Said], bool]] = {
    "checked": (lambda v: Said(body=f"tea {int(v)}") if v.isdigit() else Said(status=422, body="no"), True),
    "checked, of another route": (
        lambda v: Said(body=f"tea {int(v)}") if v.isdigit() else Said(status=404, body="not found"), True,
    ),
    "repeats what it refuses": (
        lambda v: Said(body=f"tea {int(v)}") if v.isdigit() else Said(status=400, body=f"{v}?"), False,
    ),
    "computed": (lambda v: _computed(f"SELECT {v}"), False),
    "in quotes": (lambda v: _computed(f"SELECT '{v}'"), False),
    "a file": (
        lambda v: Said(body="tea") if v.replace("./", "") == "7" else Said(status=404, body="none"), False,
    ),
}  # fmt: skip


def _computed(statement: str) -> Said:
    with sqlite3.connect(":memory:") as database:
        try:
            return Said(body=f"tea {database.execute(statement).fetchall()}")
        except (sqlite3.Error, sqlite3.Warning):
            return Said(status=400, body="no")


@pytest.mark.parametrize("kind", NUMBERS)
def test_number_that_is_checked_before_everything_else_is_spared_the_rest(tmp_path: Path, kind: str):
    handler, spared = NUMBERS[kind]
    with web_target(lambda asked: handler(asked.query.get("id", ""))) as target:
        record = record_exchanges(target.origin, [request("GET", "/tea?id=7")])
        outcome = run_engine(record, [], tmp_path, detects=EVERY_DETECT)
        rows = [row for row in outcome.run.checks[0].coverage if row.point == "GET_id_value"]
    refused = [row.type for row in rows if row.reason == "anything but a number is refused alike"]
    assert ("sqli" in refused) is spared
    assert (sum(row.requests for row in rows) < 15) is spared
    if kind in ("computed", "in quotes"):
        assert ("sqli", "GET_id_value", "/tea") in outcome.found


class Stock:
    """Products with a code that is taken only once. `tells`: it complains of a code that exists already."""

    def __init__(self, *, tells: bool, repaired: bool) -> None:
        self.products: dict[str, str] = {}
        self.tells = tells
        self.repaired = repaired

    def __call__(self, asked: Asked) -> Said:
        if asked.path == "/products":
            shown = "".join(self.products.values())
            return Said(body=f"<ul>{html.escape(shown) if self.repaired else shown}</ul>")
        code, text = asked.form.get("code", ""), asked.form.get("text", "")
        if code in self.products and self.tells:
            return Said(body="This code is taken.", status=409)
        self.products.setdefault(code, f"<li>{text}</li>")
        return Said(status=303, headers={"Location": "/"}) if not self.tells else Said(body="Thank you.")


@pytest.mark.parametrize("repaired", [False, True])
@pytest.mark.parametrize("tells", [True, False])
def test_field_that_must_be_new_gets_new_values(tmp_path: Path, tells: bool, repaired: bool):
    with web_target(Stock(tells=tells, repaired=repaired)) as target:
        asked = [
            request("POST", "/products/add", "text=strong+tea&code=TEA17"),
            request("GET", "/products"),
        ]
        record = record_exchanges(target.origin, asked)
        outcome = run_engine(record, [], tmp_path, detects=["xss-html"])
    found = [("xss", "POST_FORM_URLENCODED_text_value", "/products/add")]
    assert outcome.found == ([] if repaired else found)


def test_field_that_must_be_new_is_looked_for_where_its_change_breaks_the_document(tmp_path: Path):
    """The text of a query holds the value that a page shows: spoilt, it holds no value any more."""

    def notes(asked: Asked) -> Said:
        if asked.path == "/notes":
            return Said(body="<ul><li>strong tea</li></ul>")
        return Said(body='{"data": {"add": 1}}', headers={"Content-Type": "application/json"})

    query = json.dumps({"query": 'mutation{add(text:"strong tea")}'})
    with web_target(notes) as target:
        asked = [
            request("POST", "/graphql", query, Content_Type="application/json"),
            request("GET", "/notes"),
        ]
        outcome = run_engine(record_exchanges(target.origin, asked), [], tmp_path, detects=["xss-html"])
    assert [check.error for check in outcome.run.checks] == ["", ""]
    assert outcome.run.state == "passed"

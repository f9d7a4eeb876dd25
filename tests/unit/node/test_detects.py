"""What every built-in detect owes besides firing (tests/targets): name, texts, documentation, economy."""

import html
import json
import re
from pathlib import Path

import pytest

from fastci.node.dsl import Attack, Extension, MarkerSource, builtin_extensions
from fastci.node.message import Field, Request, Response
from fastci.node.points import list_points
from fastci.node.vulnerabilities import VULNERABILITIES
from fastci.results import severity_of

ROOT = Path(__file__).parents[3]
DETECTS = builtin_extensions()
DOCUMENT = (ROOT / "docs" / "detects.md").read_text()
SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", DOCUMENT, re.M | re.S))
DESTROYS = re.compile(
    r"\b(?:DROP|DELETE|TRUNCATE|INSERT|UPDATE|ALTER|SHUTDOWN|rm|mkfs|kill|reboot|del)\b(?!_)"
)


def every(function):
    return pytest.mark.parametrize("detect", DETECTS, ids=lambda detect: detect.name)(function)


def payloads_of(detect: Extension) -> list[str]:
    return [*detect.payloads, *(text for pair in detect.oracle_options.get("pairs", ()) for text in pair)]


def test_there_are_detects_for_every_type_of_the_default_policy():
    types = {detect.type for detect in DETECTS}
    assert {"ptrav", "rce", "sqli", "xss", "xxe", "redir", "ssti"} <= types
    assert len(DETECTS) >= 25


@every
def test_detect_is_named_by_its_type_and_technique(detect: Extension):
    assert re.fullmatch(rf"{detect.type}-[a-z-]+", detect.name)
    assert detect.type in VULNERABILITIES
    assert detect.builtin


@every
def test_detect_has_its_own_title_description_and_cwe(detect: Extension):
    assert detect.title != detect.name
    assert len(detect.description) > 40
    assert detect.cwe
    assert detect.remediation


@every
def test_detect_has_a_section_of_the_fixed_shape_with_true_numbers(detect: Extension):
    section = SECTIONS[detect.name]
    labels = re.findall(r"^- \*\*(.+?)\*\*", section, re.M)
    assert labels == ["Looks at", "Proof", "Payloads", "Rating"]
    own = (detect.oracle_options.get("pairs", ()), detect.payloads, detect.headers, detect.sendings)
    count = next((len(each) for each in own if each), 0)
    assert f"- **Payloads** {count} " in section
    cwe = ", ".join(f"CWE-{number}" for number in detect.cwe)
    assert f"- **Rating** threat {detect.threat} ({severity_of(detect.threat)}), {cwe}\n" in section


def test_every_section_is_about_a_detect_that_exists():
    assert sorted(SECTIONS) == sorted(detect.name for detect in DETECTS)


@every
def test_payloads_destroy_nothing(detect: Extension):
    assert [text for text in payloads_of(detect) if DESTROYS.search(text)] == []


@every
def test_payloads_that_mean_every_row_are_for_reading_baselines(detect: Extension):
    widening = [text for text in payloads_of(detect) if re.search(r"\bOR\b(?!_)|-- $", text)]
    assert not widening or detect.oracle_options["or"] is True


@every
def test_payloads_have_a_marker_unless_a_file_or_a_message_is_the_proof(detect: Extension):
    endings = ("-argument", "-content", "-error", "-stacktrace", "-type", "-backup")
    by_content = detect.type in ("ptrav", "xxe") or detect.name.endswith(endings)
    assert by_content or all(re.search(r"_MARKER|\^|\[\$", text) for text in payloads_of(detect))


@every
def test_detect_names_no_application(detect: Extension):
    text = " ".join((detect.title, detect.description, *payloads_of(detect))).lower()
    assert not re.search(r"dvwa|juice|dvna|vampi|webgoat|bwapp|mutillidae", text)


# what drivers print

DRIVERS = {
    "sqli-error": [
        'sqlite3.OperationalError: near "x": syntax error',
        "sqlite3.OperationalError: unrecognized token: \"'tea'\"",
        'Error: SQLITE_ERROR: near "\'": syntax error',
        "Warning: SQLite3::query(): Unable to prepare statement: 1, near",
        "org.sqlite.SQLiteException: [SQLITE_ERROR] SQL error or missing database",
        "Microsoft.Data.Sqlite.SqliteException (0x80004005): SQLite Error 1: 'near",
        "ERROR 1064 (42000): You have an error in your SQL syntax; check the manual that corresponds to your "
        "MariaDB server version for the right syntax to use near ''\"'' at line 1",
        "PHP Warning:  mysqli_query(): (42000/1064): You have",
        "pymysql.err.ProgrammingError: (1064, 'You have",
        "Error: ER_PARSE_ERROR: You have",
        "com.mysql.jdbc.exceptions.jdbc4.MySQLSyntaxErrorException: You",
        "Mysql2::Error: You",
        'ERROR:  unterminated quoted string at or near "\'"',
        'PG::SyntaxError: ERROR:  syntax error at or near "x"',
        'psycopg2.errors.SyntaxError: syntax error at or near "x"',
        "org.postgresql.util.PSQLException: ERROR: unterminated",
        "Npgsql.PostgresException (0x80004005): 42601",
        "Warning: pg_query(): Query failed: ERROR",
        'ERROR: invalid input syntax for type integer: "1\'"',
        "System.Data.SqlClient.SqlException: Unclosed quotation mark after the character string ''.",
        "Msg 102, Level 15, State 1: Incorrect syntax near 'x'.",
        "com.microsoft.sqlserver.jdbc.SQLServerException: Unclosed",
        "[Microsoft][ODBC Driver 17 for SQL Server][SQL Server]Incorrect",
        "ORA-01756: quoted string not properly terminated",
        "ORA-00933: SQL command not properly ended",
        "java.sql.SQLSyntaxErrorException: ORA-00936: missing expression",
        "SQLSTATE[42000]: Syntax error or access violation: 1064",
        'sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) near "x"',
        "[SQL: SELECT name FROM tea WHERE id = 1']",
        "django.db.utils.ProgrammingError: syntax",
        "ActiveRecord::StatementInvalid (SQLite3",
        "SequelizeDatabaseError: near",
        "org.hibernate.exception.SQLGrammarException: could not",
        "DB2 SQL Error: SQLCODE=-104, SQLSTATE=42601",
        "Syntax error in string in query expression 'id = 1''.",
    ],
    "nosqli-error": [
        "MongoServerError: unknown operator: $x",
        "pymongo.errors.OperationFailure: SyntaxError",
        "com.mongodb.MongoQueryException: Query failed",
        '{"error":"query_parse_error","reason":"Invalid"}',
    ],
    "ldapi-error": [
        "javax.naming.directory.InvalidSearchFilterException: Unbalanced parenthesis",
        "Warning: ldap_search(): Search: Bad search filter in /srv/a.php",
        "ldap3.core.exceptions.LDAPInvalidFilterError: malformed filter",
        "ldap.FILTER_ERROR: {'result': -7, 'desc': 'Bad search filter'}",
        "[LDAP: error code 34 - invalid DN]",
        "System.DirectoryServices.DirectoryServicesCOMException (0x8007203E)",
    ],
    "xpathi-error": [
        "lxml.etree.XPathEvalError: Invalid expression",
        "Warning: SimpleXMLElement::xpath(): Invalid expression",
        "Warning: DOMXPath::query(): Unfinished literal",
        "javax.xml.xpath.XPathExpressionException: javax.xml.transform.TransformerException",
        "System.Xml.XPath.XPathException: '//a['' has an invalid token.",
    ],
    "info-stacktrace": [
        'Traceback (most recent call last):\n  File "/srv/app.py", line 3, in index\nValueError',
        "java.lang.NumberFormatException: x\n\tat java.lang.Integer.parseInt(Integer.java:652)\n",
        "\tat com.example.Shop$Cart.add(Shop.kt:12)\n",
        "TypeError: x\n    at Object.get (/srv/app/index.js:10:5)\n    at node:internal/main:12:3\n",
        "<pre>TypeError<br> &nbsp; &nbsp;at /srv/index.js:10:5<br> &nbsp; &nbsp;at node:internal/main:1:2",
        "   at Shop.Cart.Add(String name) in C:\\shop\\Cart.cs:line 12\n",
        "<b>Fatal error</b>:  Uncaught TypeError: x in <b>/srv/a.php</b> on line <b>3</b>",
        "Stack trace:\n#0 /srv/a.php(12): add()\n#1 {main}",
        "/srv/app.rb:12:in `index'",
        "goroutine 1 [running]:\nmain.main()",
        "thread 'main' panicked at src/main.rs:2:5",
        "Illegal division by zero at /srv/a.pl line 3.",
    ],
}
SAID = [(name, message) for name, messages in DRIVERS.items() for message in messages]
INNOCENT = (
    "Our shop sells books on SQL: 'Learn MySQL in a week', 'Oracle for beginners', 'PostgreSQL, the manual'. "
    "You have made an error in your order. Warning: hot tea. Look at line 3 of the manual. Syntax errors are "
    "explained in chapter 4. Fatal errors at sea, by A. Sailor; stack of traces (8 pieces). Unmatched prices."
)


def attack_by(name: str) -> tuple[Extension, Attack]:
    detect = next(each for each in DETECTS if each.name == name)
    request = Request(method=b"GET", target=b"/?q=a", fields=(Field.of(b"Host", b"h"),))
    point = next(point for point in list_points(request) if point.name == "GET_q_value")
    return detect, next(detect.attacks(request, point, MarkerSource(1)))


@pytest.mark.parametrize(("name", "message"), SAID, ids=[f"{name}: {text[:40]!r}" for name, text in SAID])
def test_message_of_a_driver_is_recognised_in_every_spelling(name: str, message: str):
    detect, attack = attack_by(name)
    for shown in (message, html.escape(message), json.dumps({"error": message})):
        assert detect.detect(attack, Response(status=500, body=f"<p>{shown}</p>".encode()))


@pytest.mark.parametrize("name", DRIVERS)
def test_page_that_only_speaks_of_databases_and_errors_is_not_taken_for_a_message(name: str):
    detect, attack = attack_by(name)
    assert detect.detect(attack, Response(status=200, body=INNOCENT.encode())) is None

"""The same record and the same seed: five runs send the same requests and find the same."""

import html
import sqlite3
from pathlib import Path

from engine_target import Asked, Said, record_exchanges, request, run_engine, web_target

from fastci.node.dsl import builtin_extensions

EVERY_DETECT = [detect.name for detect in builtin_extensions()]


def shop(asked: Asked) -> Said:
    """Three flaws, one page without any."""
    if asked.path == "/go":
        return Said(status=302, headers={"Location": asked.query.get("to", "/").replace("\n", "")})
    if asked.path == "/greet":
        return Said(body=f"<p>Hello {asked.query.get('name', '')}</p>")
    if asked.path == "/plain":
        return Said(body=f"<p>{html.escape(asked.query.get('q', ''))}</p>")
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE tea (name TEXT)")
        database.execute("INSERT INTO tea VALUES ('Assam')")
        try:
            rows = database.execute(f"SELECT name FROM tea WHERE name = '{asked.query.get('n', '')}'")
            return Said(body=f"<p>{html.escape(str(rows.fetchall()))}</p>")
        except (sqlite3.Error, sqlite3.Warning):
            return Said(body="<p>Something went wrong.</p>", status=500)


def test_five_runs_send_the_same_requests_and_find_the_same(tmp_path: Path):
    pages = ("/go?to=/teas", "/greet?name=Ann", "/plain?q=tea", "/tea?n=Assam")
    runs, sent = [], []
    policy = tmp_path / "all.yml"
    policy.write_text("name: all\nattacks: {types: all}\n")
    with web_target(shop) as target:
        baselines = record_exchanges(target.origin, [request("GET", each) for each in pages])
        for number in range(5):
            before = len(target.asked)
            folder = tmp_path / str(number)
            folder.mkdir()
            outcome = run_engine(
                baselines, [], folder, detects=EVERY_DETECT, policy=str(policy), FAST_OOB="false",
                WORKERS=str(2 * number + 1),
            )  # fmt: skip
            runs.append(
                [(f.code, f.point, f.route, f.confidence, f.evidence.payload) for f in outcome.run.findings]
            )
            sent.append(sorted((a.method, a.path, str(a.query), a.body) for a in target.asked[before:]))
    assert {(code.partition("-")[0], point) for code, point, *_ in runs[0]} >= {
        ("redir", "GET_to_value"), ("xss", "GET_name_value"), ("sqli", "GET_n_value"),
    }  # fmt: skip
    assert not [found for found in runs[0] if "/plain" in found[2]]
    assert all(found == runs[0] for found in runs)
    assert all(requests == sent[0] for requests in sent)
    assert len(sent[0]) > 300

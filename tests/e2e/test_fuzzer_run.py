"""Whole runs with the fuzzer on, against real targets."""

import itertools
import random
from pathlib import Path

from engine_target import Asked, Said, record_exchanges, request, run_engine, web_target

POLICY = """
insertion-points: {include: [GET_q, GET_id, POST_.*]}
fuzzer: SECTION
"""


def policy(folder: Path, section: str = "true") -> str:
    path = folder / "fuzz.yml"
    path.write_text(POLICY.replace("SECTION", section))
    return str(path)


def faulty(asked: Asked) -> Said:
    """`q` ends in an error at quotes and in nothing at high bytes; `id` minds nothing, whatever it is."""
    value = asked.query.get("q", "")
    if "'" in value:
        return Said(body="<p>Something went wrong.</p>", status=500)
    if any(0x80 <= ord(c) <= 0x9F for c in value):
        return Said(body="<p>Nothing</p>")
    rows = "".join(f"<tr><td>{n}</td><td>tea</td></tr>" for n in range(20))
    return Said(body=f"<table>{rows}</table>")


def test_planted_faults_are_found_with_their_bytes(tmp_path: Path):
    with web_target(faulty) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/s?q=tea&id=5")])
        outcome = run_engine(baselines, [], tmp_path, policy=policy(tmp_path))
        sent = len(target.asked) - 1
    assert outcome.found == [("anomaly", "GET_q_value", "/s")]
    finding = outcome.run.findings[0]
    assert "33 bytes change the answer: 0x27 ('), 0x80..0x9F" in finding.evidence.matched
    assert finding.evidence.notes[0] == "0x27 ('): status 500, otherwise 200"
    assert finding.evidence.notes[1].startswith("0x80..0x9F: ")
    assert finding.evidence.attack.status == 500
    assert finding.evidence.confirmation is not None
    assert finding.evidence.control is not None
    assert (finding.evidence.confirmation.status, finding.evidence.control.status) == (500, 200)
    rows = {row.point: row for row in outcome.run.checks[0].coverage if row.type == "anomaly"}
    assert rows["GET_id_value"].requests == 7 + 8
    assert sum(row.requests for row in rows.values()) == sent - 3  # controls before, between and after
    assert outcome.run.sent_requests == sent


def test_steady_target_with_natural_jitter_has_no_anomaly_in_twenty_runs(tmp_path: Path):
    """Tokens, counters, another order and number of rows and another saying on each page."""
    chance, count = random.Random(1), itertools.count()

    def steady(asked: Asked) -> Said:
        teas = chance.sample(["Assam", "Ceylon", "Sencha", "Oolong", "Matcha", "Keemun"], 6)
        saying = chance.choice(["Water first, said Confucius", "Leaves tell stories", "Patience brews"])
        rows = "".join(f"<li>{tea} {chance.random():.3f}</li>" for tea in teas[: chance.randint(4, 6)])
        page = f"<p>{saying}, visitor {next(count)}</p><ul>{rows}</ul>"
        return Said(
            body=f"{page}<input name=csrf value={chance.randbytes(16).hex()}>{asked.query['q'].lower()}"
        )

    with web_target(steady) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/s?q=tea")])
        found = [
            run_engine(
                baselines, [], tmp_path, policy=policy(tmp_path, "{payload: {size: 16}}"), FAST_SEED=str(seed)
            ).found
            for seed in range(20)
        ]
    assert found == [[]] * 20


def test_conditions_and_stop_of_a_policy_hold_in_a_run(tmp_path: Path):
    section = """
  payload: {size: 250, insert: beginning}
  anomaly-if: {body: SQLITE_ERROR}
  not-anomaly-if: {status: '< 500'}
  stop-if: {anomalies: '> 2'}
"""

    def login(asked: Asked) -> Said:
        email = asked.body.decode("utf-8", "replace").partition('email": "')[2]
        broken = "'" in email or "\\u00" in email
        return Said(
            body='{"error": "SQLITE_ERROR: near"}' if broken else "{}", status=500 if broken else 200,
            kind="application/json",
        )  # fmt: skip

    with web_target(login) as target:
        asked = request("POST", "/login", '{"email": "ann@tea.example"}', Content_Type="application/json")
        baselines = record_exchanges(target.origin, [asked])
        outcome = run_engine(baselines, [], tmp_path, policy=policy(tmp_path, section))
    assert outcome.found == [("anomaly", "POST_JSON_DOC_HASH_email_value", "/login")]
    assert outcome.run.findings[0].evidence.matched.startswith("3 bytes change the answer: 0x01..0x03;")


def test_byte_that_makes_the_target_hang_up_is_found(tmp_path: Path):
    def handler(asked: Asked) -> Said:
        if "%" in asked.query["q"]:
            raise ConnectionAbortedError
        return Said(body="<p>tea</p>")

    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, [request("GET", "/s?q=tea")])
        outcome = run_engine(baselines, [], tmp_path, policy=policy(tmp_path))
    assert outcome.found == [("anomaly", "GET_q_value", "/s")]
    assert "0x25 (%); the connection ends without an answer" in outcome.run.findings[0].evidence.matched

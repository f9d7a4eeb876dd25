"""What `fastci policy explain` tells is what a run then does, and nothing of it is sent."""

import re
from pathlib import Path

import pytest
from engine_target import Asked, Said, record_exchanges, request, run_engine, store_baselines, web_target

from fastci import cli

QUOTE = """
meta-info: {type: sqli}
generate: {payload: ["'", '"'], method: [prefix, postfix]}
detect: {response: [{body: 'never shown'}]}
"""
TAG = """
meta-info: {type: xss}
match: {GET_q: '.'}
generate: {payload: ['<STR_MARKER>'], into: GET}
detect: {response: [{body: 'never shown'}]}
"""
POLICY = """
name: Ours
use-only-custom-dsl: true
insertion-points: {include: ['GET_.*', 'POST_FORM_URLENCODED_.*'], exclude: [GET_token]}
per-type:
  sqli: {insertion-points: {include: ['GET_.*', 'POST_FORM_URLENCODED_.*', HEADER_USER-AGENT]}}
per-route:
  - {route: 'GET /admin/.*', skip: true}
  - {route: '/pages/{}', insertion-points: {include: [GET_q]}}
"""


def page(asked: Asked) -> Said:
    return Said(body=f"<p>{asked.path} {sorted(asked.query)}</p>")


def test_explained_run_is_the_run_that_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    policy = tmp_path / "ours.yml"
    policy.write_text(POLICY)
    targets = ["/search?q=tea&token=1", "/pages/1?q=a&b=2", "/pages/2?q=a&b=2", "/admin/users?q=1", "/plain"]
    requests = [request("GET", target) for target in targets] + [request("POST", "/say", "text=hello&n=1")]
    with web_target(page) as target:
        baselines = record_exchanges(target.origin, requests)
        asked = len(target.asked)
        store_baselines(tmp_path, baselines)
        outcome = run_engine(
            baselines, [QUOTE, TAG], tmp_path, policy=str(policy), FAST_SKIP_DUPLICATES="true"
        )
        sent = {check.baseline: check.requests for check in outcome.run.checks}
        after = len(target.asked)
        (tmp_path / "extensions").rename(tmp_path / "store" / "extensions")
        with pytest.raises(SystemExit) as ended:
            cli.main(["policy", "explain", "--policy", str(policy), "--workspace", str(tmp_path / "store")])
        assert len(target.asked) == after == asked + sum(sent.values())
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "policy   ours: Ours" in told
    sets = dict(re.findall(r"^\S+ \S+  (bl_\d)(.*?)(?=^$)", told, re.M | re.S))
    about = {name: int(re.search(r"up to about ([\d,]+) requests", text)[1]) for name, text in sets.items()}
    assert about == {name: count for name, count in sent.items() if count}
    assert about == {"bl_1": 1 + 2 * 4 + 1, "bl_2": 1 + 4 + 1, "bl_5": 1 + 4, "bl_6": 1 + 3 * 4 + 1}
    assert "  sqli: GET_q_value, HEADER_User-Agent_value\n  xss: GET_q_value\n" in sets["bl_1"]
    assert "GET_b" not in sets["bl_2"]
    assert "GET_token" not in told
    left = told.split("left out\n")[1]
    assert "bl_3 GET" in left
    assert "duplicate of bl_2" in left
    assert "the policy leaves this route out (ours.yml:8)" in left
    assert f"4 of 6 baselines, 4 routes, 7 points: up to about {sum(about.values())} requests" in told

"""Cross-site scripting proven by execution, in a real Chromium."""

import html
import os
import tempfile
from pathlib import Path

import pytest
from engine_target import Asked, Outcome, Said, record_exchanges, request, run_engine, web_target
from report_browser import CHROMIUM

from fastci.node.engine import browser

needs_chromium = pytest.mark.skipif(
    not CHROMIUM and os.environ.get("FAST_REQUIRE_CHROMIUM") != "1", reason="NOT RUN: there is no Chromium"
)
DETECTS = Path(__file__).parents[2] / "fastci" / "node" / "detects"
XSS = [(DETECTS / f"xss-{name}.yaml").read_text() for name in ("html", "attribute", "href", "script")]


def run(folder: Path, handler, *requests, setting: str = "auto") -> Outcome:
    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, list(requests))
        target.asked.clear()
        outcome = run_engine(baselines, XSS, folder, FAST_XSS_BROWSER=setting)
        outcome.asked = [asked.path for asked in target.asked]  # type: ignore[attr-defined]
        return outcome


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch):
    """The browsers of this test keep their profiles in its folder, so that others' are told from them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def browsers(folder: Path) -> list[str]:
    """The profiles in this folder that any process on this machine still names."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        found += [word.decode() for word in words if word.startswith(f"--user-data-dir={folder}/".encode())]
    return found


notes: list[str] = []


def shop(asked: Asked) -> Said:
    """One flaw of each kind; under /csp the same page may run nothing; /notes shows what was stored."""
    q, kept = asked.query.get("q", ""), html.escape(asked.query.get("q", ""))
    if asked.path == "/save":
        notes.append(asked.form["note"])
        return Said(status=302, headers={"Location": "/notes"})
    page = {
        "/html": f"<p>{q}</p><img src=/logo.png>",
        "/csp": f"<p>{q}</p>",
        "/attribute": f'<input value="{q.replace("<", "").replace(">", "")}">',
        "/href": f'<a href="{kept}">on</a>',
        "/script": f"<script>let tea = '{q.replace('<', '')}';</script>",
        "/notes": "".join(f"<p>{note}</p>" for note in notes),
        "/safe": f"<p>{kept}</p>",
    }.get(asked.path, "<p>nothing</p>")
    policy = {"Content-Security-Policy": "script-src 'self'"} if asked.path == "/csp" else {}
    return Said(body=f"<html><body>{page}</body></html>", headers=policy)


@needs_chromium
def test_what_runs_is_confirmed_what_a_policy_stops_is_firm_and_no_browser_stays(tmp_path: Path):
    notes.clear()
    paths = ("html", "csp", "attribute", "href", "script", "safe")
    asked = [request("GET", f"/{path}?q=tea") for path in paths]
    outcome = run(
        tmp_path, shop, *asked, request("POST", "/save", "note=Earl+Grey"), request("GET", "/notes")
    )
    found = {f.route: (f.confidence, f.evidence.notes[-1]) for f in outcome.run.findings}
    assert sorted(found) == ["/attribute", "/csp", "/href", "/html", "/save", "/script"]
    assert found.pop("/csp") == ("firm", "not seen to run in Chromium")
    assert all(confidence == "confirmed" for confidence, _ in found.values())
    assert all(note.startswith("executed: Chromium ran the call of ") for _, note in found.values())
    assert "/logo.png" not in outcome.asked  # type: ignore[attr-defined]
    assert browsers(tmp_path) == []
    assert not [line for line in outcome.lines if "[warn] no proof" in line]


def test_browser_is_not_started_unless_asked_for(tmp_path: Path):
    outcome = run(tmp_path, shop, request("GET", "/html?q=tea"), setting="")
    assert outcome.run.findings[0].evidence.notes == []


@pytest.mark.parametrize(
    ("script", "why"),
    [("exit 3", "it has ended"), ("exec sleep 600", "it did not answer in time"), (None, "no program")],
)
def test_browser_that_does_not_work_is_told_and_changes_nothing(
    tmp_path: Path, monkeypatch, script: str | None, why: str
):
    monkeypatch.setattr(browser, "_START_WITHIN", 1.0)
    program = tmp_path / "browser"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    outcome = run(tmp_path, shop, request("GET", "/html?q=tea"), setting=str(program))
    (finding,) = outcome.run.findings
    assert (finding.confidence, finding.evidence.notes) == ("confirmed", [])
    (line,) = [line for line in outcome.lines if "[warn] no proof by execution" in line]
    assert why in line
    assert browsers(tmp_path) == []

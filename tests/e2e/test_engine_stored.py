"""What stored effects and tokens for one use cost: pages are read as often as they can tell something new."""

import html
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_target import Asked, Said, baseline, record_exchanges, request, run_engine, web_target

from fastci.node.dsl import builtin_extensions

READING_ANSWERS = [d.name for d in builtin_extensions() if not d.oracle and not d.detection.callbacks]
POINT = "POST_FORM_URLENCODED_text_value"


def page(body: str, **options: object) -> Said:
    return Said(body=f"<html><body>{body}</body></html>", **options)  # type: ignore[arg-type]


POLICY = """
insertion-points: {include: [POST_FORM_URLENCODED_text_value]}
attacks: {types: all}
"""


def policy(folder: Path) -> str:
    path = folder / "policy.yml"
    path.write_text(POLICY)
    return str(path)


def notes_of(shown: Callable[[list[str]], list[str]], *, repaired: bool = False) -> Callable[[Asked], Said]:
    """An application that stores notes, and a page of those that are `shown`."""
    notes = ["the first"]

    def handler(asked: Asked) -> Said:
        if asked.method == "POST":
            notes.append(asked.form.get("text", ""))
            return page("saved")
        lines = [html.escape(note) if repaired else note for note in shown(notes)]
        return page("".join(f"<p>{line}</p>" for line in lines))

    return handler


PAGES = [request("GET", "/notes"), request("POST", "/add", "text=good+morning"), request("GET", "/notes")]


@pytest.mark.parametrize("repaired", [False, True])
@pytest.mark.parametrize(
    ("most", "reads"), [(1000, 0.75), (2, 0.75), (1, 1.1)], ids=["all", "the last two", "the newest"]
)
def test_page_of_stored_values_is_read_as_often_as_it_has_to_be(
    tmp_path: Path, most: int, reads: float, repaired: bool
):
    with web_target(notes_of(lambda notes: notes[-most:], repaired=repaired)) as target:
        baselines = record_exchanges(target.origin, PAGES)
        target.asked.clear()
        outcome = run_engine(
            baselines, [], tmp_path, detects=READING_ANSWERS, policy=policy(tmp_path), WORKERS="1"
        )
        asked = [a.method for a in target.asked]
    assert [f[0] for f in outcome.found if f[1] == POINT] == ([] if repaired else ["xss"])
    assert asked.count("POST") > 50
    # What is suspected is proven, and that reads the page each time.
    assert not repaired or asked.count("GET") < reads * asked.count("POST") + 10


def test_effect_of_one_attack_is_seen_before_two_more_drive_it_from_the_page(tmp_path: Path):
    """Only the first of a detect's attacks is computed, and the page shows the last two notes."""

    def computed(note: str) -> str:
        sum_ = re.search(r"^[^'\"${]*\+String\((\d+)\*(\d+)\)//'", note)
        return str(int(sum_[1]) * int(sum_[2])) if sum_ else html.escape(note)

    notes = ["the first"]

    def handler(asked: Asked) -> Said:
        if asked.method == "POST":
            notes.append(asked.form.get("text", ""))
            return page("saved")
        return page("".join(f"<p>{computed(note)}</p>" for note in notes[-2:]))

    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, PAGES)
        outcome = run_engine(
            baselines, [], tmp_path, detects=["rce-node"], policy=policy(tmp_path), WORKERS="1"
        )
    assert [f[:2] for f in outcome.found] == [("rce", POINT)]


def test_page_that_shows_only_effects_is_read_after_what_was_not_refused(tmp_path: Path):
    """A sum is stored and its total shown; whatever is none is refused, so that no word is ever shown."""
    totals: list[str] = []

    def handler(asked: Asked) -> Said:
        if asked.method == "POST":
            sum_ = re.search(r"(\d+) ?\* ?(\d+)", asked.form.get("text", ""))
            if not sum_ and asked.form.get("text") != "good morning":
                return page("no", status=400)
            totals.append(str(int(sum_[1]) * int(sum_[2])) if sum_ else "good morning")
            return page("saved")
        return page("".join(f"<p>{total}</p>" for total in totals))

    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, PAGES)
        target.asked.clear()
        outcome = run_engine(
            baselines, [], tmp_path, detects=READING_ANSWERS, policy=policy(tmp_path), WORKERS="1"
        )
        asked = [a.method for a in target.asked]
    assert "ssti" in [f[0] for f in outcome.found] or "rce" in [f[0] for f in outcome.found]
    assert asked.count("GET") < asked.count("POST") / 2 + 10


def test_page_that_an_answer_redirects_to_is_not_read_again(tmp_path: Path):
    newest = ["the first"]

    def handler(asked: Asked) -> Said:
        if asked.method == "POST":
            newest[0] = asked.form.get("text", "")
            return page("", status=302, headers={"Location": "/notes"})
        return page(f"<p>{html.escape(newest[0])}</p>")

    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, PAGES)
        target.asked.clear()
        run_engine(baselines, [], tmp_path, detects=READING_ANSWERS, policy=policy(tmp_path), WORKERS="1")
        asked = [a.method for a in target.asked]
    assert asked.count("POST") > 50
    assert asked.count("GET") < 1.1 * asked.count("POST") + 10


def test_tokens_of_a_page_that_attacks_lead_back_to_are_taken_from_it(tmp_path: Path):
    tokens: set[str] = set()
    rng = random.Random(3)

    def handler(asked: Asked) -> Said:
        if asked.method == "POST":
            fine = asked.form.get("csrf_token") in tokens and asked.form.get("text") == "good morning"
            tokens.clear()
            return page("", status=302, headers={"Location": "/thanks" if fine else "/form"})
        if asked.path == "/form":
            tokens.clear()
            tokens.add(f"{rng.getrandbits(128):032x}")
            hidden = f'<input type="hidden" name="csrf_token" value="{next(iter(tokens))}">'
            return page(f"<title>Say</title><h1>Say something</h1><form class=say>{hidden}<input name=text>")
        return page("thank you")

    with web_target(handler) as target:
        form = record_exchanges(target.origin, [request("GET", "/form")])[0]
        token = form.response.body.partition(b'value="')[2].partition(b'"')[0].decode()
        post = request("POST", "/say", f"csrf_token={token}&text=good+morning")
        said = record_exchanges(target.origin, [post])[0]
        baselines = [form, baseline(2, target.origin, post, said.response)]
        target.asked.clear()
        run_engine(baselines, [], tmp_path, detects=READING_ANSWERS, policy=policy(tmp_path), WORKERS="1")
        asked = [(a.method, a.path) for a in target.asked]
    posts, forms = asked.count(("POST", "/say")), asked.count(("GET", "/form"))
    assert posts > 50
    assert forms < 1.1 * posts + 10

"""From what single baselines showed to the findings of a run."""

from dataclasses import replace

from fastci import results
from fastci.node.dsl import parse_extension
from fastci.node.dsl.extension import Extension
from fastci.node.engine.check import Check, Found, marker_seed, parts_first
from fastci.node.engine.confirm import merge_cookies
from fastci.node.engine.control import Recorded
from fastci.node.engine.findings import merge_findings
from fastci.node.engine.plan import Item, Phase
from fastci.node.engine.scope import Scope
from fastci.node.message import Field, Origin, Request, Response
from fastci.node.points import list_points
from fastci.node.store import Baseline

SCOPE = Scope.parse("", (443,))


def extension(kind: str, name: str = "one", threat: int = 80) -> Extension:
    text = f"meta-info: {{type: {kind}, title: T, threat: {threat}, description: D}}\n"
    text += "generate: {payload: [x]}\n"
    loaded, faults = parse_extension(text + "detect: {response: [{body: x}]}\n", f"{name}.yaml")
    assert loaded is not None, faults
    return loaded


def check(sequence: int, target: str, *found: tuple[str, str], host: str = "shop.test") -> Check:
    """A check of GET `target` that found (type, point) each."""
    origin = Origin(scheme="http", host=host, port=80)
    asked = Request(method=b"GET", target=target.encode())
    baseline = Baseline(
        sequence=sequence, origin=origin, request=asked, response=Response(status=200), started=0,
        duration=0, connection=1, test=f"test_{sequence}", truncated=False,
    )  # fmt: skip
    recorded = Recorded(status=200, location=b"", asks_password=False)
    item = Item(baseline=baseline, target=SCOPE.target(origin), recorded=recorded, phase=Phase.READ)
    exchange = results.Exchange(request=b"GET %d" % sequence, response=b"", status=200, elapsed=0)
    evidence = results.Evidence(payload="x", matched="m", attack=exchange)
    made = Check(item=item, state="failed" if found else "passed")
    made.found = [
        Found(extension=extension(kind), point=point, route=item.route, evidence=evidence)
        for kind, point in found
    ]
    return made


def test_code_that_runs_at_a_point_explains_what_it_could_feign_there():
    one = check(1, "/calc?n=1&m=1", ("rce", "GET_n_value"))
    n, m = (p for p in list_points(one.item.baseline.request) if p.name in ("GET_n_value", "GET_m_value"))
    for kind in ("rce", "sqli", "nosqli", "ssti"):
        assert one.has(kind, n)
        assert not one.has(kind, m)
    assert not one.has("xss", n)
    assert one.row("GET_n_value", "sqli").reason.startswith("rce is proven there")


def test_same_type_point_and_route_is_one_finding_with_every_place():
    checks = [
        check(2, "/items/7?q=1", ("xss", "GET_q_value")),
        check(1, "/items/3?q=1", ("xss", "GET_q_value")),
    ]
    findings, ids = merge_findings(checks)
    assert [(f.id, f.route) for f in findings] == [("v1", "/items/{}")]
    assert [place.baseline for place in findings[0].places] == ["bl_1", "bl_2"]
    assert findings[0].evidence.attack.request == b"GET 1"
    assert ids == {"bl_1": ["v1"], "bl_2": ["v1"]}


def test_worst_of_several_detects_tells_the_finding_and_its_places_are_named_once():
    milder, worse = check(1, "/items/3?q=1"), check(2, "/items/7?q=1")
    one, two = (check(n, "/items/3?q=1", ("cors", "")).found[0] for n in (1, 2))
    milder.found = [replace(one, extension=extension("cors", "null", 45))]
    worse.found = [*milder.found, replace(two, extension=extension("cors", "origin", 55))]
    findings, ids = merge_findings([milder, worse])
    assert [(f.code, f.threat, f.evidence.attack.request) for f in findings] == [("origin", 55, b"GET 2")]
    assert [place.baseline for place in findings[0].places] == ["bl_2", "bl_1"]
    assert ids == {"bl_1": ["v1"], "bl_2": ["v1"]}


def test_other_type_point_route_or_host_is_another_finding():
    one = ("xss", "GET_q_value")
    checks = [
        check(1, "/a?q=1", one, ("sqli", "GET_q_value"), ("xss", "GET_r_value")),
        check(2, "/b?q=1", one),
        check(3, "/a?q=1", one, host="other.test"),
    ]
    findings, ids = merge_findings(checks)
    assert [f.id for f in findings] == ["v1", "v2", "v3", "v4", "v5"]
    assert ids["bl_3"] == ["v5"]


def test_finding_numbers_follow_the_record_not_the_order_of_ending():
    first, second = check(1, "/a?q=1", ("xss", "GET_q_value")), check(2, "/b?q=1", ("xss", "GET_q_value"))
    assert merge_findings([second, first]) == merge_findings([first, second])


def test_duplicates_that_were_left_out_are_places():
    made = check(1, "/a?q=1", ("xss", "GET_q_value"))
    made.item.duplicates.append(results.Place(baseline="bl_9", method="GET", url="http://shop.test/a?q=2"))
    findings, _ = merge_findings([made])
    assert [place.baseline for place in findings[0].places] == ["bl_1", "bl_9"]


def test_finding_carries_weakness_and_remedy_of_its_type():
    findings, _ = merge_findings([check(1, "/a?q=1", ("xss", "GET_q_value"))])
    assert findings[0].cwe == [79]
    assert findings[0].remediation


def test_points_that_hold_others_come_after_them():
    body = b'{"user": {"email": "a@b.test"}}'
    fields = (Field.of(b"Content-Type", b"application/json"), Field.of(b"Content-Length", b"%d" % len(body)))
    asked = Request(method=b"POST", target=b"/api/save?x=1", fields=fields, body=body)
    points = [p for p in list_points(asked) if p.name.endswith("_value") and not p.name.startswith("HEADER")]
    names = [point.name for point in parts_first(points)]
    assert names.index("URI_value") > names.index("ACTION_NAME_value")
    assert names.index("POST_JSON_DOC_value") > names.index("POST_JSON_DOC_HASH_user_HASH_email_value")
    assert sorted(names) == sorted(point.name for point in points)


def test_known_flaw_of_a_part_counts_for_what_holds_it():
    made = check(1, "/a/b?q=1", ("xss", "ACTION_NAME_value"), ("sqli", "GET_q_value"))
    points = {point.name: point for point in list_points(made.item.baseline.request)}
    assert made.has("xss", points["URI_value"])
    assert made.has("xss", points["ACTION_NAME_value"])
    assert not made.has("sqli", points["URI_value"])
    assert not made.has("xss", points["GET_q_value"])


def test_marker_seeds_differ_by_everything_and_repeat():
    parts = [(1, "bl_1", "a", "p"), (2, "bl_1", "a", "p"), (1, "bl_2", "a", "p"), (1, "bl_1", "b", "p"),
             (1, "bl_1", "a", "q")]  # fmt: skip
    seeds = [marker_seed(*part) for part in parts]
    assert len(set(seeds)) == len(parts)
    assert seeds == [marker_seed(*part) for part in parts]


def test_cookies_of_a_redirect_replace_and_add():
    merged = merge_cookies(b"a=1; sid=old", [b"sid=new; Path=/", b"flash=hi; HttpOnly"])
    assert merged == b"a=1; sid=new; flash=hi"
    assert merge_cookies(b"", [b"sid=1"]) == b"sid=1"

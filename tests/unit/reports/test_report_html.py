"""What can be known of the page without a browser; tests/e2e/test_html_report.py opens it in one."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser

from fastci.reports import REPORTS, html
from fastci.results import Finding, Run


def page(run: Run) -> LexborHTMLParser:
    return LexborHTMLParser(REPORTS["html"].render(run))


def blocks(tree: LexborHTMLParser) -> dict[str, Any]:
    return {
        node.attributes["id"] or "": json.loads(node.text())
        for node in tree.css("script[type='application/json']")
    }


def digest(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@pytest.mark.parametrize("run", ["sample", "hostile", "empty"])
def test_html_policy_allows_its_own_script_and_style_and_nothing_else(
    run: str, request: pytest.FixtureRequest
):
    tree = page(request.getfixturevalue(run))
    (script,) = [node for node in tree.css("script") if node.attributes.get("type") is None]
    (style,) = tree.css("style")
    policy = tree.css_first("meta[http-equiv='Content-Security-Policy']").attributes["content"]
    assert policy == (
        f"default-src 'none'; script-src {digest(script.text())}; style-src {digest(style.text())}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("run", ["sample", "hostile", "empty"])
def test_html_loads_nothing_and_carries_no_handler(run: str, request: pytest.FixtureRequest):
    tree = page(request.getfixturevalue(run))
    links = {"a": "href", "link": "href"}
    for node in tree.css("*"):
        for name, value in node.attributes.items():
            assert not name.startswith("on"), f"<{node.tag} {name}>"
            assert name not in ("src", "style", "srcset", "data", "action", "formaction", "background"), (
                node.html
            )
            if name == "href":
                assert links.get(node.tag or ""), node.html
                assert (value or "").startswith(
                    ("#", "https://cwe.mitre.org/data/definitions/", "data:image/svg+xml,")
                )


def test_html_of_hostile_run_has_the_elements_of_the_template_only(sample: Run, hostile: Run):
    def tags(run: Run) -> set[str]:
        return {node.tag or "" for node in page(run).css("*")}

    assert tags(hostile) <= tags(sample)


def test_html_json_blocks_hold_the_bytes_of_the_evidence(hostile: Run):
    found = blocks(page(hostile))
    assert set(found) == {"coverage", *(f"e{n}" for n in range(len(hostile.findings)))}
    attack = hostile.findings[0].evidence.attack
    (exchange,) = [e for e in found["e0"]["exchanges"] if e["name"] == "Attack"]
    assert exchange["request"] == [attack.request.decode("utf-8", "surrogateescape")]


def test_html_blocks_have_no_sign_that_could_end_them(hostile: Run):
    text = REPORTS["html"].render(hostile)
    for block in re.findall(r'<script type="application/json" id="[^"]+">(.*?)</script>', text, re.DOTALL):
        assert "<" not in block
        assert block.isascii()


def test_html_assets_can_stand_in_their_elements():
    script = html._asset("html.evidence.js.j2") + html._asset("html.page.js.j2")
    assert not re.search(r"</script|<!--|<script", script, re.IGNORECASE)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script
    )
    assert "</style" not in html._asset("html.css.j2").lower()


def with_response(finding: Finding, body: bytes, **changes: Any) -> Finding:
    attack = replace(finding.evidence.attack, response=b"HTTP/1.1 200 OK\r\n\r\n" + body)
    return replace(finding, evidence=replace(finding.evidence, attack=attack, **changes))


def response_of(run: Run) -> list[Any]:
    (exchange,) = [e for e in blocks(page(run))["e0"]["exchanges"] if e["name"] == "Attack"]
    response: list[Any] = exchange["response"]
    return response


def test_html_huge_answer_is_cut_and_says_how_much_is_missing(sample: Run):
    finding = with_response(sample.findings[0], b"x" * 5_000_000, matched="", payload="")
    text, missing = response_of(replace(sample, findings=[finding]))
    assert len(text) + missing == 5_000_000 + len("HTTP/1.1 200 OK\r\n\r\n")
    assert len(text) == 64_000


def test_html_huge_answer_keeps_the_proof_and_what_surrounds_it(sample: Run):
    body = b"a" * 900_000 + b"THE-PROOF" + b"b" * 900_000
    finding = with_response(sample.findings[0], body, matched="THE-PROOF")
    head, gap, middle, rest = response_of(replace(sample, findings=[finding]))
    assert head.startswith("HTTP/1.1 200 OK\r\n\r\naaa")
    assert "aaaTHE-PROOFbbb" in middle
    assert len(head) + gap + len(middle) + rest == len(body) + 19


def test_html_many_findings_stay_within_the_room_for_evidence(sample: Run):
    finding = with_response(sample.findings[0], b"x" * 100_000)
    many = [replace(finding, id=f"v{n}", point=f"GET_p{n}_value") for n in range(500)]
    assert len(REPORTS["html"].render(replace(sample, findings=many))) < 25_000_000


def test_html_coverage_block_says_what_happened_at_each_point(sample: Run):
    coverage = blocks(page(sample))["coverage"]
    types = [code for code, _ in coverage["types"]]
    tree = page(sample)
    route = next(
        n for n, r in enumerate(tree.css(".route")) if "POST /api/labels" in r.css_first("code").text()
    )
    packed = coverage["routes"][route]
    cells = {
        (packed["points"][point][1], types[kind]): (state, requests, coverage["reasons"][reason], finding)
        for point, kind, state, requests, reason, finding in packed["cells"]
    }
    count = "POST_JSON_DOC_HASH_items_ARRAY_0_HASH_count_value"
    assert cells[count, "ptrav"] == (3, 0, "a number cannot hold it", -1)
    assert cells[count, "xxe"] == (2, 0, "the value is not XML", -1)
    assert cells["POST_JSON_DOC_HASH_items_ARRAY_0_HASH_code_value", "rce"][3] == 0
    assert tree.css_first("#f0 .title").text() == "Command execution: the server ran the calculation"


def test_html_without_scripts_still_names_everything(sample: Run):
    text = page(sample).body.text()  # type: ignore[union-attr]
    for finding in sample.findings:
        for fact in (
            finding.title,
            finding.point,
            finding.evidence.payload,
            finding.curl,
            finding.remediation,
        ):
            assert fact in text
    assert "Auth failed: recorded 200, now 302 to /login" in text


def test_html_steps_and_pace_are_drawn_when_known(sample: Run):
    tree = page(sample)
    assert [node.text() for node in tree.css(".steps b")] == [step.name for step in sample.steps]
    assert len(tree.css_first(".pace polygon").attributes["points"].split()) == len(sample.pace) + 2  # type: ignore[union-attr]
    bare = page(replace(sample, steps=[], pace=[]))
    assert not bare.css(".steps, .pace")

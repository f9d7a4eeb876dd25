"""The HTML report in a real Chromium: nothing of the evidence runs, and a person can work with it."""

import base64
import json
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import judged_run
from report_browser import CHROMIUM, Browser, Page

from fastci.reports import redacted
from fastci.results import BaselineCheck, PointCoverage, parse_document

ROOT = Path(__file__).parents[2]
REQUIRED = os.environ.get("FAST_REQUIRE_CHROMIUM") == "1"

pytestmark = [
    pytest.mark.skipif(
        not CHROMIUM and not REQUIRED,
        reason="NOT RUN: no Chromium here, so no browser opened the report (apt-get install chromium)",
    ),
    pytest.mark.xdist_group("chromium"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = Browser(tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.fixture
def page(browser, tmp_path):
    tab = Page(browser, tmp_path)
    yield tab
    tab.close()


@pytest.fixture
def sample():
    golden = ROOT / "tests" / "golden" / "reports" / "sample.results.json"
    return redacted(parse_document(json.loads(golden.read_text()), source="sample"))


EVIL = (
    "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    "<svg onload='window.ran = 3'><iframe src='javascript:parent.ran = 4'></iframe>"
    "<!--<script> @{ 7*7 }@ {{7*7}} javascript:window.ran=5 "
    "\x00\x1b[2J\u202e\u2028\u200b\udc80 \"'`&amp;"
)


def evil(run):
    raw = EVIL.encode("utf-8", "surrogatepass")

    def exchange(one):
        return one and replace(
            one, request=b"GET /" + raw + b" HTTP/1.1\r\nX: " + raw + b"\r\n\r\n" + raw,
            response=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>" + raw + one.response,
        )  # fmt: skip

    findings = [
        replace(
            finding, title=EVIL, description=EVIL, remediation=EVIL, point=EVIL, route="/" + EVIL, code=EVIL,
            evidence=replace(
                finding.evidence, payload=EVIL, matched=EVIL, notes=[EVIL],
                attack=exchange(finding.evidence.attack), control=exchange(finding.evidence.control),
                confirmation=exchange(finding.evidence.confirmation),
            ),
            places=[replace(place, test=EVIL, url=f"javascript:{EVIL}") for place in finding.places],
        )
        for finding in run.findings
    ]  # fmt: skip
    checks = [
        replace(
            check, route="/" + EVIL, url=f"http://t/{EVIL}", test=EVIL, error=check.error and EVIL,
            coverage=[
                replace(row, point=EVIL + row.point, reason=row.reason and EVIL) for row in check.coverage
            ],
        )
        for check in run.checks
    ]  # fmt: skip
    return replace(
        run, name=EVIL, description=EVIL, target=EVIL, messages=[EVIL], seen={EVIL: 1}, findings=findings,
        checks=checks, steps=[replace(step, name=EVIL, note=EVIL) for step in run.steps],
    )  # fmt: skip


OPEN_ALL = """(async () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  while (document.querySelector(".evidence:empty, .route > .body:empty")) await frame();
  for (const button of document.querySelectorAll(".views button, .copy")) button.click();
  await frame();
})()"""


def test_page_of_hostile_evidence_runs_nothing_of_it(page, sample):
    page.open(evil(sample))
    page.run(OPEN_ALL)
    assert page.run("typeof window.ran") == "undefined"
    assert page.run("document.querySelectorAll('img, iframe, main script, svg[onload]').length") == 0
    assert page.run("document.querySelectorAll('.evidence:not(:empty)').length") == len(sample.findings)
    assert page.faults() == []


def test_page_shows_hostile_evidence_as_the_text_it_is(page, sample):
    page.open(evil(sample))
    page.run(OPEN_ALL)
    shown = page.run("""(() => {
      const message = document.querySelectorAll("#f0 .evidence .message")[1];
      [...message.querySelectorAll(".views button")].find((one) => one.textContent === "Attack").click();
      return message.querySelector("pre").textContent;
    })()""")
    assert "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 2'>" in shown
    assert r"\0\e[2J\u{202e}\u{2028}\u{200b}\xed\xb2\x80" in shown
    assert "49" not in shown.split("javascript:window")[0]
    assert page.run("document.querySelectorAll('#f0 pre .ctl').length") > 0


def test_page_policy_blocks_a_script_that_would_get_in(page, sample):
    page.open(sample)
    page.run("""(() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = 1";
      document.body.append(script);
      const image = "<img src='http://127.0.0.1:9/x' onerror='window.ran = 2'>";
      document.body.insertAdjacentHTML("beforeend", image);
    })()""")
    assert page.run("new Promise((done) => setTimeout(() => done(typeof window.ran), 50))") == "undefined"
    assert any("Content Security Policy" in fault for fault in page.faults())


def shown_titles(page):
    return page.run(
        "[...document.querySelectorAll('.finding:not([hidden]) .title')].map((one) => one.textContent)"
    )


def test_filters_by_threat_type_and_words_together(page, sample):
    page.open(sample)
    assert len(shown_titles(page)) == 5
    page.run("document.querySelector('.chip[data-severity=high]').click()")
    assert len(shown_titles(page)) == 3
    assert page.run("document.querySelector('#shown').textContent") == "3 of 5"
    page.run("document.querySelector('.chip[data-severity=low]').click()")
    assert len(shown_titles(page)) == 4
    page.choose("#type", "redir", "change")
    assert shown_titles(page) == ["Open redirect"]
    page.run("document.querySelector('#clear').click()")
    assert len(shown_titles(page)) == 5
    assert page.run("document.querySelector('#clear').hidden") is True


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("test_catalogue", 1),
        ("etc/passwd", 1),
        ("POST", 3),
        ("sql database", 1),
        ("get_name_value", 1),
        ("zzz", 0),
        ("HIGH", 3),
    ],
)
def test_search_finds_by_test_payload_method_and_point(page, sample, words, count):
    page.open(sample)
    page.press("/", "/")
    assert page.run("document.activeElement.id") == "query"
    page.type(words)
    assert len(shown_titles(page)) == count
    assert page.run("document.querySelector('#nothing').hidden") is (count > 0)
    page.press("Escape")
    assert len(shown_titles(page)) == 5


def test_order_by_type_and_back_by_threat(page, sample):
    page.open(sample)
    page.choose("#order", "type", "change")
    assert page.run("[...document.querySelectorAll('.finding')].map((one) => one.dataset.type)") == [
        "ptrav", "rce", "redir", "sqli", "xss",
    ]  # fmt: skip
    page.choose("#order", "threat", "change")
    assert page.run("[...document.querySelectorAll('.finding')].map((one) => one.dataset.threat)") == [
        "98", "90", "85", "60", "30",
    ]  # fmt: skip


def test_keyboard_opens_a_finding_and_walks_the_list(page, sample):
    page.open(sample)
    page.press("j", "j")
    page.press("j", "j")
    assert page.run("document.activeElement.closest('.finding').id") == "f1"
    page.press("Enter", "\r")
    page.until(
        "document.querySelector('#f1').open && document.querySelectorAll('#f1 .evidence > *').length === 2"
    )
    page.press("k", "k")
    assert page.run("document.activeElement.closest('.finding').id") == "f0"
    assert page.run("[...document.querySelectorAll('.bytes')].every((one) => one.tabIndex === 0)") is True


def test_evidence_shows_the_change_the_payload_and_the_proof(page, sample):
    page.open(sample)
    page.show("#f1")
    request, response = "#f1 .message:nth-child(1)", "#f1 .message:nth-child(2)"
    assert (
        page.run(f"document.querySelector('{request} .add').textContent")
        == "GET /search?q=tea%27fast7c1&sort=price HTTP/1.1"
    )
    assert page.run(f"document.querySelector('{request} .add em').textContent") == "%27"
    assert page.run(f"document.querySelector('{request} .del').textContent").startswith(
        "GET /search?q=teafast7c1"
    )
    assert (
        page.run(f"document.querySelector('{response} mark.proof').textContent")
        == "sqlite3.OperationalError: unrecognized token"
    )
    assert page.run(f"document.querySelector('{response} mark.payload').textContent") == "'fast7c1"
    page.view(request, "Attack")
    assert page.run(f"document.querySelector('{request} mark.payload').textContent") == "%27fast7c1"
    page.view(response, "Control")
    assert page.run(f"document.querySelectorAll('{response} mark').length") == 0
    assert "Results for teafast7c1" in page.run(f"document.querySelector('{response} pre').textContent")
    assert (
        page.run(f"document.querySelector('{response} .message-head .dim').textContent")
        == "status 200, 17 ms"
    )


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"\x00" * 200_000, r"\0" * 30_000),
        (random.Random(3).randbytes(200_000), ""),
        (b"".join(b"%d x\n" % number for number in range(30_000)), "1233 x\n1234 x\n"),
        ("\u202e".encode() * 60_000, r"\u{202e}" * 20_000),
    ],
    ids=["nul", "noise", "lines", "turned"],
)
def test_hostile_body_makes_few_elements_and_loses_no_byte(page, sample, body, shown):
    """Tens of thousands of elements would hold the page up for seconds; bench/reports.py tells how long."""
    finding = next(one for one in sample.findings if one.id == "v1")
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    attack = replace(finding.evidence.attack, request=head + body[::-1], response=head + body)
    control = replace(finding.evidence.control, request=head + body[7:], response=head + body[:-7])
    evidence = replace(finding.evidence, attack=attack, control=control, confirmation=attack)
    page.open(replace(sample, findings=[replace(finding, evidence=evidence)]))
    page.show("#f0")
    for number in (1, 2):
        message = f"#f0 .message:nth-child({number})"
        for name in ("Attack", "Against control"):
            page.view(message, name)
            assert page.run(f"document.querySelectorAll('{message} pre *').length") < 6_000
    page.view("#f0 .message:nth-child(2)", "Attack")
    assert shown in page.run("document.querySelector('#f0 .message:nth-child(2) pre').textContent")


def test_huge_answer_says_how_much_is_not_shown(page, sample):
    body = b"HTTP/1.1 200 OK\r\n\r\n" + b"<p>words</p>\n" * 300_000
    finding = sample.findings[0]
    attack = replace(finding.evidence.attack, response=body)
    page.open(
        replace(
            sample, findings=[replace(finding, evidence=replace(finding.evidence, attack=attack, matched=""))]
        )
    )
    page.show("#f0")
    gap = page.run("document.querySelector('.message:nth-child(2) .gap').textContent")
    assert gap == f"{len(body) - 64_000:,} bytes not shown here; the JSON report has them"


def test_copy_gives_the_curl_line(page, sample):
    page.open(sample)
    page.browser.call(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    page.call("Page.bringToFront")
    page.show("#f1")
    page.run("document.querySelector('#f1 .copy').click()")
    page.until("document.querySelector('#f1 .copy').textContent === 'Copied'")
    curl = next(finding.curl for finding in sample.findings if finding.id == "v1")
    assert page.run("navigator.clipboard.readText()") == curl


def test_address_with_a_fingerprint_opens_that_finding(page, sample):
    wanted = next(finding for finding in sample.findings if finding.id == "v2")
    page.open(sample, "#" + wanted.fingerprint)
    assert page.run(
        "[...document.querySelectorAll('.finding[open] .title')].map((one) => one.textContent)"
    ) == [wanted.title]


def test_tiles_and_charts_filter_the_list(page, sample):
    page.open(sample)
    page.run("document.querySelector('.tile[data-jump=medium]').click()")
    assert shown_titles(page) == ["Reflected cross-site scripting"]
    page.run("document.querySelector('[data-type-jump=sqli]').click()")
    assert shown_titles(page) == ["SQL injection: the database reports a broken query"]


def test_matrix_tells_tested_skipped_and_why_and_leads_to_the_finding(page, sample):
    page.open(sample)
    route = (
        "[...document.querySelectorAll('.route')].find((one) => one.textContent.includes('POST /api/labels'))"
    )
    page.run(route + ".querySelector('summary').click()")
    page.until("document.querySelector('.route[open] .baselines')")
    rows = page.run("""[...document.querySelectorAll('.route[open] .matrix tr')].map(
      (row) => [...row.children].map((cell) => cell.textContent))""")
    assert rows[0] == ["", "ptrav", "rce", "sqli", "xss", "xxe"]
    cells = {row[0]: row[1:] for row in rows[1:]}
    assert cells["JSON items[0].code"][1] == "found"
    assert cells["JSON items[0].count"][0] == "×2"
    assert cells["address"][0].isdigit()
    assert cells["address"][4] == "–1"
    why = page.run("[...document.querySelectorAll('.route[open] .why li')].map((one) => one.textContent)")
    assert why[1:] == ["1 the value is not XML", "2 a number cannot hold it"]
    page.run("document.querySelector('.route[open] td.found a').click()")
    page.until("document.querySelector('#f0').open")


def test_matrix_tells_budget_duplicate_truncated_policy_and_other_protocols(page, sample):
    def row(point, kind, state, requests=0, reason=""):
        return PointCoverage(point=point, type=kind, state=state, requests=requests, reason=reason)

    def check(number, route, *rows, **changes):
        facts = {"baseline": f"bl_{number}", "method": "GET", "url": f"http://shop.test{route}"}
        facts |= {"route": route, "state": "passed", "requests": sum(row.requests for row in rows)}
        return BaselineCheck(**facts | changes, coverage=list(rows))

    policy = "the policy leaves this route out (route 2)"
    switched = "the connection was switched to another protocol, as WebSocket does"
    checks = [
        check(
            1, "/search", row("GET_q_value", "xss", "tested", 7),
            row("GET_q_value", "sqli", "skipped", 0, "the test set ended before it was tried"),
            row("GET_n_value", "xss", "skipped", 0, "the policy leaves this point out"),
            row("GET_n_value", "sqli", "impossible", 0, "no extension of this type applies here"),
            row("HEADER_X_value", "xss", "failed", 2, "Connection failed: the target closed it"),
        ),
        check(2, "/other", row("*", "*", "skipped", 0, "duplicate of bl_1: same route, points and answer")),
        check(3, "/upload", row("*", "*", "skipped", 0, "its body was longer than what is recorded")),
        check(4, "/admin", row("*", "*", "skipped", 0, policy)),
        check(5, "/live", row("*", "*", "impossible", 0, switched)),
    ]  # fmt: skip
    seen = {"websocket shop.test": 3, "http2 grpc.test": 2, "tls-rejected pay.test": 1}
    page.open(replace(sample, findings=[], checks=checks, seen=seen))
    page.run("document.querySelectorAll('.route > summary').forEach((one) => one.click())")
    page.until("!document.querySelector('.route > .body:empty')")
    read = """[...document.querySelectorAll('.route')].map((route) => [
      route.querySelector('code').textContent,
      [...route.querySelectorAll('.matrix tr')].map((row) => [...row.children].map(
        ({ textContent, className }) => textContent + (className && textContent ? '/' + className : ''))),
      [...route.querySelectorAll('.why li')].map((one) => one.textContent),
      route.querySelector('.said') ? route.querySelector('.said').textContent : '',
    ])"""
    routes = {name: (cells, why, said) for name, cells, why, said in page.run(read)}
    cells, why, _ = routes["GET /search"]
    assert cells == [
        ["", "sqli", "xss"],
        ["query q", "–1/skipped", "7/tested"],
        ["query n", "×2/impossible", "–3/skipped"],
        ["header X", "", "!4/failed"],
    ]
    assert why[1:] == [
        "1 the test set ended before it was tried", "2 no extension of this type applies here",
        "3 the policy leaves this point out", "4 Connection failed: the target closed it",
    ]  # fmt: skip
    for number, route, sign in ((1, "other", "–"), (2, "upload", "–"), (3, "admin", "–"), (4, "live", "×")):
        cells, why, said = routes[f"GET /{route}"]
        reason = checks[number].coverage[0].reason
        assert (cells[1][1][0], said) == (sign, reason), route
        assert why[-1] == f"1 {reason}"
    unseen = (
        "[...document.querySelectorAll('.unseen')].map((one) => one.textContent.replace(/\\s+/g, ' ').trim())"
    )
    assert page.run(unseen) == [
        "connection of HTTP/2 alone, as gRPC is, passed through untouched grpc.test2 ×not possible to test",
        "connection of a client that did not trust the certificate pay.test1 ×not recorded",
        "connection switched to WebSocket shop.test3 ×not possible to test",
    ]
    read = """[...document.querySelectorAll('.reasons li')].map(
      (one) => [one.querySelector('.key').className, one.querySelector('.link').textContent])"""
    assert ["key fill-impossible", switched] in page.run(read)
    page.run("document.querySelector('.chip[data-cells=impossible]').click()")
    shown = "[...document.querySelectorAll('.route:not([hidden]) code')].map((one) => one.textContent)"
    assert sorted(page.run(shown)) == ["GET /live", "GET /search"]
    assert page.faults() == []


def test_page_without_scripts_shows_every_finding_its_proof_and_how_to_repeat_it(page, sample):
    run = judged_run(sample)
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(run)
    assert len(shown_titles(page)) == len(run.findings) + len(run.accepted)
    seen = "(one) => one.checkVisibility()"
    assert page.run(f"[...document.querySelectorAll('.tools, #theme, .columns')].some({seen})") is False
    notes = f"[...document.querySelectorAll('noscript p')].filter({seen}).length"
    assert page.run(notes) == 2
    page.call("Page.bringToFront")
    page.run("document.querySelector('#f0 > summary').click()")
    text = page.run("document.querySelector('#f0').innerText")
    worst = max(run.findings, key=lambda one: one.threat)
    for fact in (worst.title, worst.evidence.payload, worst.evidence.matched, worst.curl):
        assert fact in text
    assert page.faults() == []


def test_judged_run_shows_gate_and_standing_and_hides_what_is_accepted(page, sample):
    page.open(judged_run(sample))
    decision = " ".join(page.run("document.querySelector('.decision').textContent").split())
    assert decision == (
        "job fails 4 confirmed findings of any severity (1 accepted besides); FAST_FAIL_ON=low allows none"
    )
    badges = "[...document.querySelectorAll('.finding:not([hidden]) summary .badge')].map((b) => b.innerText)"
    assert page.run(badges) == ["new", "acceptance expired"]
    assert len(shown_titles(page)) == 4
    page.run("document.querySelector('.chip[data-state=accepted]').click()")
    assert shown_titles(page) == ["Open redirect"]
    page.run("document.querySelector('.chip[data-state=new]').click()")
    assert len(shown_titles(page)) == 2
    page.run("document.querySelector('#clear').click()")
    assert len(shown_titles(page)) == 4
    gone = "[...document.querySelectorAll('#gone tr')].map((row) => row.querySelector('.badge').textContent)"
    assert page.run(gone) == ["fixed", "not tested this time", "known, but absent"]
    broken = "[...document.querySelectorAll('.gate .broken code')].map((one) => one.textContent)"
    assert page.run(broken) == ["FAST_FAIL_ON=low", "FAST_FAIL_ON_ERRORS=true"]
    assert page.faults() == []


def test_address_of_an_accepted_finding_shows_it(page, sample):
    run = judged_run(sample)
    page.open(run, "#" + run.accepted[0].fingerprint)
    assert shown_titles(page) == [run.accepted[0].title]
    assert "office network only" in page.run("document.querySelector('.finding[open] .pairs').textContent")


def test_columns_sort_both_ways(page, sample):
    page.open(sample)
    types = "[...document.querySelectorAll('.finding')].map((one) => one.dataset.type)"
    page.run("document.querySelector('[data-order=type]').click()")
    assert page.run(types) == ["ptrav", "rce", "redir", "sqli", "xss"]
    page.run("document.querySelector('[data-order=type]').click()")
    assert page.run(types) == ["xss", "sqli", "redir", "rce", "ptrav"]
    pressed = "[...document.querySelectorAll('.columns [aria-pressed=true]')].map((one) => one.textContent)"
    assert page.run(pressed) == ["Type"]
    page.run("document.querySelector('[data-order=test]').click()")
    tests = page.run("[...document.querySelectorAll('.finding')].map((one) => one.dataset.test)")
    assert tests == [*sorted(filter(None, tests)), ""]


def test_routes_are_found_by_the_reason_why_they_were_not_tested(page, sample):
    page.open(sample)
    shown = (
        "[...document.querySelectorAll('.route:not([hidden]) summary code')].map((one) => one.textContent)"
    )
    reasons = page.run("[...document.querySelectorAll('[data-reason]')].map((one) => one.textContent)")
    number = reasons.index("a number cannot hold it")
    page.run(f"document.querySelector('[data-reason=\"{number}\"]').click()")
    assert page.run(shown) == ["POST /api/labels"]
    page.run(f"document.querySelector('[data-reason=\"{number}\"]').click()")
    assert len(page.run(shown)) == 9
    unseen = "[...document.querySelectorAll('.unseen .main')].map((one) => one.textContent)"
    assert page.run(unseen) == ["WebSocket connections", "gRPC streams"]


def test_routes_are_found_by_point_and_by_state(page, sample):
    page.open(sample)
    shown = "[...document.querySelectorAll('.route:not([hidden]) code')].map((one) => one.textContent)"
    page.choose("#route-query", "printer", "input")
    assert page.run(shown) == ["POST /api/labels"]
    page.choose("#route-query", "", "input")
    page.run("document.querySelector('.chip[data-cells=failed]').click()")
    assert page.run(shown) == ["GET /product/{}"]


@pytest.mark.parametrize("change", [judged_run, lambda run: evil(judged_run(run))], ids=["plain", "evil"])
def test_phone_shows_the_whole_page_without_scrolling_sideways(page, sample, change):
    page.size(390, 844)
    page.open(change(sample))
    page.run(OPEN_ALL)
    assert page.run("document.documentElement.scrollWidth") == 390
    assert (
        page.run("""[...document.querySelectorAll('button, input, select, summary')].filter(
      (one) => one.offsetParent && one.getBoundingClientRect().right > 391).length""")
        == 0
    )


CONTRAST = """(() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const blend = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const weak = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest("svg, noscript, option, .skip")) continue;
    const behind = [];
    for (let one = element; one; one = one.parentElement) {
      behind.unshift(getComputedStyle(one).backgroundColor);
    }
    const style = getComputedStyle(element);
    const [bright, dark] = [blend(behind), blend([...behind, style.color])].map(light).sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) weak.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [...weak];
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, sample, scheme):
    """Contrast of WCAG 2.2, 1.4.3: 4.5 to 1, 3 to 1 for large text."""
    page.size(1280, 900, scheme)
    page.open(judged_run(sample))
    page.run(OPEN_ALL)
    assert page.run(CONTRAST) == []


def test_theme_follows_the_system_and_can_be_chosen(page, sample):
    ground = "getComputedStyle(document.body).backgroundColor"
    page.open(sample)
    light = page.run(ground)
    page.size(1280, 900, "dark")
    dark = page.run(ground)
    assert light != dark
    page.run("document.querySelector('#theme').click()")
    assert (page.run("document.querySelector('#theme').textContent"), page.run(ground)) == (
        "Theme: light",
        light,
    )
    page.run("document.querySelector('#theme').click()")
    assert (page.run("document.querySelector('#theme').textContent"), page.run(ground)) == (
        "Theme: dark",
        dark,
    )
    page.run("document.querySelector('#theme').click()")


@pytest.mark.parametrize("state", ["passed", "interrupted"])
def test_page_without_findings_says_what_that_means(page, sample, state):
    checks = [replace(check, state="passed", error="", findings=[]) for check in sample.checks]
    page.open(replace(sample, state=state, complete=state == "passed", findings=[], checks=checks))
    assert page.run("document.querySelector('h1').textContent") == {
        "passed": "No vulnerability found",
        "interrupted": "Nothing found in what could be tested",
    }[state]  # fmt: skip
    assert page.faults() == []


def test_page_of_an_empty_run_opens(page, sample):
    page.open(
        replace(sample, findings=[], checks=[], steps=[], pace=[], seen={}, messages=[], complete=False)
    )
    assert page.run("document.querySelector('h1').textContent") == "Nothing was tested"
    assert page.faults() == []


def test_page_of_two_thousand_findings_is_searched_and_opened(page):
    """How long it takes to open is measured by bench/reports.py."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        from reports import big_run
    finally:
        sys.path.pop(0)
    page.open(big_run(2_000, 50_000))
    assert page.run("document.querySelectorAll('.finding').length") == 2_000
    page.choose("#query", "number 1999", "input")
    assert page.run("document.querySelector('#shown').textContent") == "1 of 2,000"
    page.show(".finding:not([hidden])")
    assert page.faults() == []


def test_screenshot_of_the_page_is_not_blank(page, sample, tmp_path):
    page.open(sample)
    picture = base64.b64decode(page.call("Page.captureScreenshot", format="png")["data"])
    assert len(picture) > 30_000

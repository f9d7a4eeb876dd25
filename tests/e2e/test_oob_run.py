"""Whole runs against targets that call back: attributed, confirmed, and silent where nothing is proven."""

import re
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from engine_target import (
    Asked,
    Outcome,
    Said,
    free_port,
    record_exchanges,
    request,
    run_engine,
    store_baselines,
    web_target,
)
from lxml import etree
from oob_kit import ldap_search, look_up, outside_server
from targets.documents import read_xml

DETECTS = Path(__file__).parents[2] / "fastci" / "node" / "detects"
DELAYED = """
meta-info: {type: ssrf, title: Stored address, threat: 50, description: d}
generate: {payload: ['http://DNS_MARKER/']}
detect: [delayed_oob: [http]]
"""
NAMES = """
meta-info: {type: rce, title: Name looked up, threat: 50, description: d}
generate: {payload: [';nslookup DNS_MARKER'], method: [postfix]}
detect: [oob: [dns]]
"""


def detect(name: str) -> str:
    return (DETECTS / f"{name}.yaml").read_text()


def fetch(address: str) -> None:
    """As a program without proxies would."""
    with suppress(OSError, ValueError):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5).close()


def run(
    folder: Path, handler: Callable[[Asked], Said], extensions: list[str], *targets: str, **variables: str
) -> Outcome:
    """Record these GET targets and test them; listens no longer than asked."""
    with web_target(handler) as target:
        baselines = record_exchanges(target.origin, [request("GET", each) for each in targets])
        record = store_baselines(folder, baselines)
        return run_engine(baselines, extensions, folder, record=record, **{"FAST_OOB_WAIT": "0", **variables})


def feeds(asked: Asked) -> Said:
    """`from` is fetched, `safe` only when it is one of ours."""
    fetch(asked.query.get("from", ""))
    if re.match(r"https?://feeds\.example/", asked.query.get("safe", "")):
        fetch(asked.query["safe"])
    return Said(body="<p>Thank you.</p>")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_fetched_address_is_found_at_its_point_and_not_at_the_repaired_one(tmp_path: Path, processes: str):
    outcome = run(
        tmp_path, feeds, [detect("ssrf-oob")],
        "/a?from=http://feeds.example/&safe=http://feeds.example/", "/b?id=tea", "/c?from=x",
        # Between processes a callback takes a moment longer than the answer.
        PROCESSES=processes, FAST_OOB_WAIT="1",
    )  # fmt: skip
    assert sorted(outcome.found) == [("ssrf", "GET_from_value", "/a"), ("ssrf", "GET_from_value", "/c")]
    finding = outcome.run.findings[0]
    assert finding.confidence == "confirmed"
    assert "was called back by HTTP" in finding.evidence.matched
    assert "Python-urllib" in finding.evidence.matched
    tokens = [
        re.search(rb"\b(c[a-z0-9]{32})\b|%2F(c[a-z0-9]{32})", e.request)
        for e in (finding.evidence.attack, finding.evidence.confirmation)
        if e is not None
    ]
    assert len({match[1] or match[2] for match in tokens if match}) == 2
    assert finding.evidence.control is not None
    assert outcome.run.state == "failed"
    assert outcome.run.messages == []


def shell(asked: Asked) -> Said:
    """Runs a program in a shell on the value; its output goes nowhere."""
    subprocess.run(
        ["sh", "-c", f"echo route to {asked.query['host']}"],
        capture_output=True, timeout=20, env={"PATH": "/usr/bin:/bin", "no_proxy": "*"}, check=False,
    )  # fmt: skip
    return Said(body="<p>On its way.</p>")


def preview(asked: Asked) -> Said:
    """Runs nothing, but fetches every address it meets."""
    for address in re.findall(r"https?://[^\s'\"|;&#)>]+", asked.query["host"]):
        fetch(address)
    return Said(body="<p>On its way.</p>")


def test_command_in_a_real_shell_is_found_and_a_preview_of_links_is_not(tmp_path: Path):
    outcome = run(tmp_path, shell, [detect("rce-oob")], "/r?host=localhost")
    assert outcome.found == [("rce", "GET_host_value", "/r")]
    outcome = run(tmp_path / "preview", preview, [detect("rce-oob")], "/r?host=localhost")
    assert outcome.found == []
    assert outcome.run.state == "passed"


def logs(asked: Asked) -> Said:
    """A logger that reads lookups and asks the directory they name."""
    for host, port, entry in re.findall(r"\$\{jndi:ldap://([\d.]+):(\d+)/([^}]+)\}", asked.query["q"]):
        with suppress(OSError):
            ldap_search((host, int(port)), entry)
    return Said(body="<p>tea</p>")


def test_lookup_in_a_log_is_found_by_the_directory_that_it_asks(tmp_path: Path):
    outcome = run(tmp_path, logs, [detect("rce-jndi-oob")], "/s?q=tea")
    assert outcome.found == [("rce", "GET_q_value", "/s")]
    assert "LDAP" in outcome.run.findings[0].evidence.matched


class _Fetching(etree.Resolver):
    def resolve(self, url: str, public_id: str, context: object) -> object:
        fetch(url)
        return self.resolve_string("", context)


def imports(asked: Asked) -> Said:
    """Reads XML and fetches what its declaration names, unless the path says that it is repaired."""
    parser = etree.XMLParser(load_dtd=asked.path == "/import", resolve_entities=asked.path == "/import")
    parser.resolvers.add(_Fetching())
    with suppress(etree.XMLSyntaxError):
        read_xml(asked.body, parser)
    return Said(body="<p>Thank you.</p>")


def test_entity_that_a_parser_fetches_is_found(tmp_path: Path):
    document = '<?xml version="1.0"?><list><item>Tea</item></list>'
    with web_target(imports) as target:
        requests = [
            request("POST", path, document, Content_Type="application/xml") for path in ("/import", "/safe")
        ]
        baselines = record_exchanges(target.origin, requests)
        outcome = run_engine(baselines, [detect("xxe-oob")], tmp_path, FAST_OOB_WAIT="0")
    found = [(type_, route) for type_, _, route in outcome.found]
    assert found == [("xxe", "/import")], [outcome.lines, outcome.run.checks]


def test_late_callback_leads_back_to_its_request(tmp_path: Path):
    """A queue whose worker takes a second, so that the answer is long gone and other baselines are tested."""

    def queue(asked: Asked) -> Said:
        if asked.path == "/jobs":
            threading.Timer(1.0, fetch, [asked.query["url"]]).start()
        return Said(body="<p>Queued.</p>")

    outcome = run(
        tmp_path,
        queue,
        [detect("ssrf-oob")],
        "/jobs?url=tea&id=1",
        "/other?url=tea",
        WORKERS="1",
        FAST_OOB_WAIT="3",
    )
    assert outcome.found == [("ssrf", "GET_url_value", "/jobs")]
    assert re.search(r"called back 1\.\d s after", outcome.run.findings[0].evidence.notes[0])
    states = {check.baseline: check.state for check in outcome.run.checks}
    assert states == {"bl_1": "failed", "bl_2": "passed"}


def test_stored_address_that_is_fetched_once_in_a_while_is_firm(tmp_path: Path):
    """The first one that was stored is fetched by a job that comes once, the repetition never."""
    stored: list[str] = []

    def guestbook(asked: Asked) -> Said:
        if asked.query["link"].startswith("http") and not stored:
            stored.append(asked.query["link"])
            threading.Timer(0.5, fetch, [stored[0]]).start()
        return Said(body="<p>Saved.</p>")

    outcome = run(tmp_path, guestbook, [DELAYED], "/g?link=tea", FAST_OOB_WAIT="2")
    assert outcome.found == [("ssrf", "GET_link_value", "/g")]
    assert outcome.run.findings[0].confidence == "firm"
    stored.clear()
    again = run(tmp_path / "twice", guestbook, [detect("ssrf-oob")], "/g?link=tea", FAST_OOB_WAIT="2")
    assert again.found == []


def test_visits_of_others_are_no_findings(tmp_path: Path):
    """A scanner on another address fetches what it has seen in a log, some time after the answer."""
    visits: list[str] = []

    def scanned(asked: Asked) -> Said:
        match = re.match(r"http://([\d.]+):(\d+)(/\S+)", asked.query["url"])
        if match:
            threading.Timer(0.4, scan, match.groups()).start()
        return Said(body="<p>Saved.</p>")

    def scan(host: str, port: str, path: str) -> None:
        with socket.socket() as visitor:
            visitor.bind(("127.0.0.2", 0))
            visitor.connect(("127.0.0.1", int(port)))
            visitor.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            visits.append(visitor.recv(20).decode())

    outcome = run(
        tmp_path, scanned, [detect("ssrf-oob")], "/s?url=tea", FAST_OOB_WAIT="1", FAST_OOB_ADDRESS=""
    )
    assert visits
    assert outcome.found == []
    assert outcome.run.state == "passed"
    assert sum("a visit from 127.0.0.2 does not count" in line for line in outcome.lines) == 1


# names


def resolves(port: int) -> Callable[[Asked], Said]:
    """A shell whose resolver is the node."""

    def handler(asked: Asked) -> Said:
        for name in re.findall(r"nslookup ([\w.-]+)", asked.query["host"]):
            look_up(name, port)
        return Said(body="<p>On its way.</p>")

    return handler


def test_name_that_a_command_looks_up_is_found_where_a_domain_leads_here(tmp_path: Path):
    port = free_port()
    outcome = run(
        tmp_path, resolves(port), [NAMES], "/r?host=localhost", FAST_OOB_DOMAIN="oob.example",
        FAST_OOB_LISTEN_DNS=f"127.0.0.1:{port}", FAST_OOB_LISTEN_HTTP=f"127.0.0.1:{free_port()}",
    )  # fmt: skip
    assert outcome.found == [("rce", "GET_host_value", "/r")]
    assert "oob.example was called back by DNS" in outcome.run.findings[0].evidence.matched


def test_name_that_cannot_be_heard_is_not_sent_and_said_in_the_coverage(tmp_path: Path):
    asked: list[str] = []

    def handler(request_: Asked) -> Said:
        asked.append(request_.query["host"])
        return Said(body="<p>On its way.</p>")

    outcome = run(tmp_path, handler, [NAMES], "/r?host=localhost")
    assert set(asked) == {"localhost"}
    row = next(r for r in outcome.run.checks[0].coverage if r.point == "GET_host_value")
    assert (row.state, row.requests) == ("impossible", 0)
    assert row.reason.startswith("oob dns: not possible because no domain leads to this node")
    assert sum("oob dns: not possible because" in line for line in outcome.lines) == 1


def test_outside_server_attributes_what_it_met(tmp_path: Path):
    with outside_server() as outside:

        def handler(asked: Asked) -> Said:
            for name in re.findall(r"nslookup ([\w.-]+)", asked.query["host"]):
                outside.meet(name)
            return Said(body="<p>On its way.</p>")

        outcome = run(
            tmp_path, handler, [NAMES], "/r?host=localhost&b=1", FAST_OOB_SERVER=outside.url,
            FAST_OOB_DOMAIN="oast.example", FAST_OOB_WAIT="3",
        )  # fmt: skip
        assert outside.gone == list(outside.registered)
    assert outcome.found == [("rce", "GET_host_value", "/r")]


def test_extension_that_waits_for_nothing_opens_no_port(tmp_path: Path):
    started = time.monotonic()
    extension = """
meta-info: {type: info, title: Look, threat: 50, description: d}
generate: {payload: ['STR_MARKER']}
detect: {response: [{body: 'never there'}]}
"""
    outcome = run(tmp_path, feeds, [extension], "/b?id=tea", FAST_OOB_WAIT="60")
    assert not [line for line in outcome.lines if "oob" in line]
    assert time.monotonic() - started < 30

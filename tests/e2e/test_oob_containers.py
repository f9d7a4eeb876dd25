"""Callbacks of targets in containers: over the bridge, behind a published port, by name, to a node in one."""

import json
from pathlib import Path

import pytest
from engine_target import record_exchanges, request, run_engine
from jobs import sending, until
from test_oob_run import NAMES, detect

from fastci.node.message import Origin
from fastci.results import parse_document

pytestmark = pytest.mark.engine

# Fetches `url`; looks up what stands behind the word nslookup in `host`.
APP = """
import http.server, re, socket, urllib.parse, urllib.request
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        try:
            if query.get('url', '').startswith('http://'):
                urllib.request.urlopen(query['url'], timeout=3).close()
            for name in re.findall(r'nslookup ([a-z0-9.]+)', query.get('host', '')):
                socket.getaddrinfo(name, 80)
        except OSError:
            pass
        self.send_response(200)
        self.send_header('Content-Length', '3')
        self.end_headers()
        self.wfile.write(b'tea')
http.server.ThreadingHTTPServer(('', 7000), App).serve_forever()
"""
POLICY = "insertion-points: {include: [GET_.*]}\nattacks: {types: [ssrf]}\n"


@pytest.fixture
def app(engine, base_image, lan):
    """A target on a network of its own, whose resolver is this machine, published on loopback."""
    container = engine.containers.run(
        base_image, ["python3", "-c", APP], detach=True, network=lan.name, name=f"{lan.name}-app",
        dns=[lan.gateway], ports={"7000/tcp": ("127.0.0.1", None)}, labels={"fast-action-test": "1"},
    )  # fmt: skip
    yield container
    container.remove(v=True, force=True)


def answers(origin: Origin) -> bool:
    try:
        return bool(record_exchanges(origin, [request("GET", "/")]))
    except OSError:
        return False


@pytest.fixture
def direct(app, lan) -> Origin:
    """The target under the address of its container."""
    app.reload()
    address = app.attrs["NetworkSettings"]["Networks"][lan.name]["IPAddress"]
    origin = Origin(scheme="http", host=address, port=7000)
    until(lambda: answers(origin), "the target answers")
    return origin


def test_container_calls_back_over_the_bridge_and_behind_a_port(app, direct, lan, tmp_path: Path):
    port = int(app.attrs["NetworkSettings"]["Ports"]["7000/tcp"][0]["HostPort"])
    published = Origin(scheme="http", host="127.0.0.1", port=port)
    for origin, told in ((direct, lan.gateway), (published, "")):
        baselines = record_exchanges(origin, [request("GET", "/f?url=tea")])
        outcome = run_engine(baselines, [detect("ssrf-oob")], tmp_path, FAST_OOB_WAIT="0")
        assert outcome.found == [("ssrf", "GET_url_value", "/f")]
        matched = outcome.run.findings[0].evidence.matched
        assert matched.startswith(told)
        assert f"from {direct.host}" in matched


def test_container_calls_back_by_name(direct, lan, tmp_path: Path):
    baselines = record_exchanges(direct, [request("GET", "/r?host=tea")])
    outcome = run_engine(
        baselines, [NAMES], tmp_path, FAST_OOB_WAIT="0", FAST_OOB_DOMAIN="oob.test",
        FAST_OOB_LISTEN_DNS=f"{lan.gateway}:53", FAST_OOB_LISTEN_HTTP=f"{lan.gateway}:0",
    )  # fmt: skip
    assert outcome.found == [("rce", "GET_host_value", "/r")]
    assert "oob.test was called back by DNS" in outcome.run.findings[0].evidence.matched


def test_node_in_a_container_is_called_back_on_the_network_of_the_target(fastci_docker, lan, app):
    policy = fastci_docker.folder / "ssrf.yml"
    policy.write_text(POLICY)
    url = f"http://{app.name}:7000"
    done = fastci_docker(
        "run", "--network", lan.name, "--target-uri", url, "--policy", str(policy), "--",
        *sending(f"{url}/f?url=tea"), TEST_RUN_POLICY_ID="",
    )  # fmt: skip
    assert done.status == 1, done
    (path,) = fastci_docker.workspace.runs.glob("tr_*.json")
    run = parse_document(json.loads(path.read_text()), source=path.name)
    assert [(finding.type, finding.point) for finding in run.findings] == [("ssrf", "GET_url_value")]
    assert "was called back by HTTP" in run.findings[0].evidence.matched

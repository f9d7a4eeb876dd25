"""Real clients of every kind, given the environment that a recording exports: all that they ask is on record.

Over HTTP and HTTPS with TLS looked into, to a target on localhost and to one under a container's name that
this machine itself cannot resolve. All clients ask at the same time; where all must run, none may be missing.
"""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from clients import need, npm_install

from fastci.node.store import Store

JAVA = """
import java.net.URI;
import java.net.http.*;

public class Ask {
    public static void main(String[] urls) throws Exception {
        for (String url : urls) {
            new java.net.URL(url + "url").openStream().close();
            var request = HttpRequest.newBuilder(URI.create(url + "httpclient")).build();
            HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding());
        }
    }
}
"""
PYTHON = """
import asyncio, sys, urllib.request
import aiohttp, httpx, requests

async def ask(url):
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(url + "aiohttp") as answer:
        answer.raise_for_status()

for url in sys.argv[1:]:
    requests.get(url + "requests").raise_for_status()
    urllib.request.urlopen(url + "urllib").close()
    httpx.get(url + "httpx").raise_for_status()
    asyncio.run(ask(url))
"""
NODE = """
const ask = (url) => new Promise((done, fail) => {
  const end = (answer) => { answer.resume(); answer.on('end', done) }
  require(url.split(':')[0]).get(url, end).on('error', fail)
})
const all = async (urls) => {
  for (const url of urls) {
    if (!(await fetch(url + 'fetch')).ok) process.exit(1)
    await ask(url + 'get')
    await require('axios').get(url + 'axios')
  }
}
all(process.argv.slice(1)).catch((error) => { console.error(error); process.exit(1) })
"""
RUBY = """
require 'net/http'
ARGV.each { |url| Net::HTTP.get_response(URI(url + 'nethttp')).value }
"""
# The two lines of docs/recording.md for each.
PLAYWRIGHT = """
const { chromium } = require('playwright-core')
const all = async ([program, ...urls]) => {
  const args = (process.env.FAST_BROWSER_ARGS || '').split(' ').filter(Boolean)
  const browser = await chromium.launch({ executablePath: program, args, chromiumSandbox: false })
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()
  await page.setExtraHTTPHeaders({ 'X-Fast-Test': 'tests/shop.spec.js:7:1 > finds' })
  for (const url of urls) await page.goto(url + 'playwright')
  await browser.close()
}
all(process.argv.slice(1)).catch((error) => { console.error(error); process.exit(1) })
"""
NEWMAN = """
const naming =
  'pm.request.headers.upsert({ key: "X-Fast-Test", value: `tests/shop.json::${pm.info.requestName}` })'
const schema = 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json'
const collection = {
  info: { name: 'shop', schema },
  event: [{ listen: 'prerequest', script: { exec: [naming] } }],
  item: process.argv.slice(1).map((url) => ({ name: 'finds', request: url + 'newman' })),
}
require('newman').run({ collection, bail: true }, (error) => {
  if (error) { console.error(error); process.exit(1) }
})
"""
SELENIUM = """
import os, sys
from selenium import webdriver
options = webdriver.ChromeOptions()
options.binary_location = sys.argv[1]
for word in ("--headless", "--no-sandbox", "--disable-gpu", *os.environ["FAST_BROWSER_ARGS"].split()):
    options.add_argument(word)
options.set_capability("acceptInsecureCerts", True)
driver = webdriver.Chrome(options, webdriver.ChromeService(sys.argv[2]))
for url in sys.argv[3:]:
    driver.get(url + "selenium")
driver.quit()
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """How to ask URLs that lack their end, by the ends that each tool's clients put there."""
    (folder / "Ask.java").write_text(JAVA)
    (folder / "node_modules").symlink_to(
        npm_install("axios@1.21.1", "newman@6.2.2", "playwright-core@1.65.1")
    )
    node, chromium = need("node"), need("chromium")
    return {
        "curl": [need("curl"), "-fsS", "-o", "/dev/null", "-o", "/dev/null"],
        "requests urllib httpx aiohttp": [sys.executable, "-c", PYTHON],
        "fetch get axios": [node, "-e", NODE],
        "url httpclient": [need("java"), "-Xshare:auto", "-XX:TieredStopAtLevel=1", "Ask.java"],
        "nethttp": [need("ruby"), "-e", RUBY],
        "newman": [node, "-e", NEWMAN],
        "playwright": [node, "-e", PLAYWRIGHT, chromium],
        "selenium": [sys.executable, "-c", SELENIUM, chromium, need("chromedriver")],
    }


def all_ask(job, folder: Path, urls: list[str], *, without: str = "") -> list[str]:
    """Let every tool ask these URLs in the exported environment; what is to be on record then."""
    script = f'. {job.workspace.script_file}; exec "$@"'
    environ = {**job.environ, "no_proxy": "localhost,127.0.0.1"}
    asked, running = [], {}
    for names, command in commands(folder).items():
        if names == without:
            continue
        ends = [f"{url}/safe?q={'curl' if names == 'curl' else ''}" for url in urls]
        running[names] = subprocess.Popen(
            ["sh", "-ec", script, "sh", *command, *ends],
            env=environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        asked += [f"{url.split(':')[0]} {name}" for url in ends for name in names.split()]
    said = {}
    for names, process in running.items():
        try:
            said[names] = process.communicate(timeout=120)[0]
        finally:
            process.kill()
    assert {names: said[names] for names, one in running.items() if one.returncode} == {}
    return asked


def recorded(job) -> list[str]:
    store = Store(job.workspace.root)
    paths = [(b.origin.scheme, b.request.target.decode()) for b in store.baselines(store.choose())]
    # Browsers ask for an icon, too.
    return [f"{scheme} {path.rpartition('=')[2]}" for scheme, path in paths if "safe" in path]


def test_clients_of_every_kind_are_recorded_with_the_target_on_localhost(
    fastci, target, certificate, tmp_path
):
    secure = target.secure(certificate)
    fastci("record", "--target-uri", target.url, BACKEND_HTTPS_PORTS=secure.rpartition(":")[2])
    # Ruby sends nothing for localhost to any proxy.
    asked = all_ask(fastci, tmp_path, [target.url, secure], without="nethttp")
    fastci("stop")
    assert sorted(recorded(fastci)) == sorted(asked)
    store = Store(fastci.workspace.root)
    named = {b.request.target: b.test for b in store.baselines(store.choose()) if b.test}
    named.pop(b"/favicon.ico", None)
    assert named == {
        b"/safe?q=newman": "tests/shop.json::finds",
        b"/safe?q=playwright": "tests/shop.spec.js:7:1 > finds",
    }


SERVER = """
import http.server, os, ssl, threading
class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
with open("/tmp/pem", "w") as file:
    file.write(os.environ["PEM"])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/pem")
secure = http.server.ThreadingHTTPServer(("", 8443), Pages)
secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=secure.serve_forever).start()
http.server.ThreadingHTTPServer(("", 8000), Pages).serve_forever()
"""


@pytest.fixture
def shop(engine, base_image, lan, certificate):
    """A target that has a name on a Docker network, unknown to this machine."""
    container = engine.containers.run(
        base_image, ["python3", "-c", SERVER], detach=True, network=lan.name, name=f"{lan.name}-shop",
        environment={"PEM": certificate.read_text()}, labels={"fast-action-test": "1"},
    )  # fmt: skip
    yield container.name
    container.remove(v=True, force=True)


@pytest.mark.engine
def test_clients_of_every_kind_are_recorded_with_the_target_under_a_containers_name(
    fastci_docker, lan, shop, tmp_path
):
    with pytest.raises(socket.gaierror):
        socket.gethostbyname(shop)
    plain, secure = f"http://{shop}:8000", f"https://{shop}:8443"
    done = fastci_docker(
        "record", "--network", lan.name, "--target-uri", plain, BACKEND_HTTPS_PORTS="443;8443"
    )
    assert done.status == 0, done
    asked = all_ask(fastci_docker, tmp_path, [plain, secure])
    fastci_docker("stop")
    assert sorted(recorded(fastci_docker)) == sorted(asked)

"""A node that is not ours: it obeys the documented contract of `wallarm/fast` and shares no code with it.

Its cloud is a folder behind HTTP: PUT and GET of /records/<id> at WALLARM_API_HOST. Its only check is whether
a quote in the query makes the target speak of SQL.
"""

import http.client
import http.server
import json
import os
import re
import signal
import socketserver
import sys
import threading
import time
import urllib.parse
from pathlib import Path

BASELINES = []


def cloud(method, path, body=None):
    connection = http.client.HTTPConnection(os.environ["WALLARM_API_HOST"], timeout=5)
    connection.request(method, path, body, {"X-Token": os.environ["WALLARM_API_TOKEN"]})
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        print(f"[error] Can't create new instance - {response.reason}")
        sys.exit(1)
    return content


def ask(url):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    connection.request("GET", parts.path + ("?" + parts.query if parts.query else ""))
    response = connection.getresponse()
    return response.status, response.read()


class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith("http"):
            self.send_error(400)
            return
        status, body = ask(self.path)
        BASELINES.append(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def record():
    server = Server(("0.0.0.0", 8080), Proxy)
    name = os.environ.get("TEST_RECORD_NAME") or time.strftime("TestRecord %b %d %H:%M UTC", time.gmtime())
    record_id = f"rec_{int(time.time() * 1000)}"

    def stop(number, frame):
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    if os.environ.get("STANDIN_READY") == "supervisor":
        Path("/tmp/proxy.state").write_text(
            "proxy                            RUNNING   pid 7, uptime 0:00:01\n"
        )
    else:
        print(f"[info] TestRecord#{record_id} {name} starts to record")
    server.serve_forever()
    cloud("PUT", f"/records/{record_id}", json.dumps(BASELINES))
    cloud("PUT", "/records/last", record_id)


def test():
    record_id = os.environ.get("TEST_RECORD_ID") or cloud("GET", "/records/last").decode()
    urls = json.loads(cloud("GET", f"/records/{record_id}"))
    name = os.environ.get("TEST_RUN_NAME") or time.strftime("TestRun %b %d %H:%M UTC", time.gmtime())
    print(f"[info] Use TestRecord#{record_id} for creating TestRun")
    print(f"[info] TestRun#tr_1234 {name} created")
    for path in ("/opt/custom_extensions", "/opt/dsl_auths"):
        print(f"[info] {path} holds {sorted(item.name for item in Path(path).iterdir())}")
    found = []
    for number, url in enumerate(urls):
        if "=" in url and b"SQL" in ask(url + "%27")[1]:
            found.append({"type": "sqli", "threat": 80, "url": url})
            print(f"[info] Found 1 vulnerabilities, marking the test set for baseline #bl_{number} as failed")
    state = "failed" if found else "passed"
    stem = Path(f"/opt/reports/{name}.{int(time.time())}")
    summary = {"name": name, "state": state, "baseline_count": len(urls), "vulns": found}
    Path(f"{stem}.json").write_text(json.dumps(summary))
    Path(f"{stem}.txt").write_text(f"{name}: {state}, {len(urls)} baselines\n")
    print(f"[info] TestRun#tr_1234 {state}")
    sys.exit(1 if found else 0)


def main():
    print(" __      __    _ _\n \\ \\    / /_ _| | |__ _ _ _ _ __\n  \\ \\/\\/ / _` | | / _` | '_| '  \\\n")
    unknown = [name for name in os.environ if re.match(r"FAST_|TARGET_URI", name)]
    if unknown:
        print(f"[error] not of this contract: {unknown}")
        sys.exit(1)
    if not os.environ.get("WALLARM_API_TOKEN"):
        print("[error] Can't create new instance - access denied")
        sys.exit(1)
    {"recording": record, "testing": test}[os.environ["CI_MODE"]]()


main()

"""False alarms at well-made applications that strangers wrote: what is reported there, and is it so?

    python bench/alarms.py [--quick] [--json FILE]

Each application is installed from PyPI into an environment of its own, started on loopback, used by an
ordinary client through the recorder, and tested by all detects. The reference is what is known to be so of it
by its own documentation or source: anything else that is reported is looked at by a person, and is a
false alarm until then. --quick leaves the largest one out.
"""

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
import venv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from recording import free_port

WORKERS = "8"
POLICY = "name: All types\ndescription: The default points, every type\nattacks:\n  types: all\n"
EVENT = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//a//b//EN\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART:20260101T000000Z\r\nSUMMARY:Tea\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
PAGES = ("redirect/2", "status/404", "bytes/64", "stream/3", "html", "xml", "json", "gzip", "brotli", "uuid")
DAV = 'xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"'


def use_httpbin(url: str, ask: requests.Session) -> None:
    """It shows each client what it sent, so that nearly every attack comes back in some way."""
    form, data = {"name": "Ann", "comment": "nice one", "n": "5"}, {"name": "Ann", "age": 31, "tags": ["a"]}
    ask.get(f"{url}/get", params={"q": "hello", "id": "7"})
    ask.get(f"{url}/anything/foo/42", params={"search": "red shoes"})
    for method in ("post", "put", "patch", "delete"):
        ask.request(method, f"{url}/{method}", data=form)
    ask.post(f"{url}/post", json=data)
    ask.post(f"{url}/anything", data="<a><b>hi</b></a>", headers={"Content-Type": "application/xml"})
    ask.post(f"{url}/post", files={"file": ("x.txt", b"hello", "text/plain")}, data={"title": "t"})
    ask.get(f"{url}/cookies/set", params={"theme": "dark"})
    ask.get(f"{url}/response-headers", params={"freeform": "abc"})
    ask.get(f"{url}/redirect-to", params={"url": "/get"})
    ask.get(f"{url}/headers", headers={"X-Tenant": "acme"})
    for path in PAGES:
        ask.get(f"{url}/{path}")
    ask.get(f"{url}/base64/SFRUUEJJTiBpcyBhd2Vzb21l")
    ask.get(f"{url}/basic-auth/user/passwd", auth=("user", "passwd"))


def use_radicale(url: str, ask: requests.Session) -> None:
    """Calendars over WebDAV: methods of its own, XML both ways."""
    ask.auth = ("ann", "x")
    calendar, xml = f"{url}/ann/cal/", {"Content-Type": "application/xml", "Depth": "1"}
    kind = "<resourcetype><collection/><C:calendar/></resourcetype><displayname>Work</displayname>"
    ask.get(f"{url}/.web/")
    ask.request(
        "PROPFIND", f"{url}/ann/", headers=xml, data=f"<propfind {DAV}><prop><displayname/></prop></propfind>"
    )
    ask.request("MKCOL", calendar, headers=xml, data=f"<mkcol {DAV}><set><prop>{kind}</prop></set></mkcol>")
    ask.put(f"{calendar}1.ics", headers={"Content-Type": "text/calendar"}, data=EVENT)
    ask.get(f"{calendar}1.ics")
    query = '<prop><C:calendar-data/></prop><C:filter><C:comp-filter name="VCALENDAR"/></C:filter>'
    ask.request("REPORT", calendar, headers=xml, data=f"<C:calendar-query {DAV}>{query}</C:calendar-query>")


def use_wagtail(url: str, ask: requests.Session) -> None:
    """A content management system on Django: searches, lists that sort, forms with a token."""
    ask.headers["Referer"] = f"{url}/admin/"

    def send(page: str, **fields: str) -> None:
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', ask.get(url + page).text)
        ask.post(url + page, data={"csrfmiddlewaretoken": token[1] if token else "", **fields})

    ask.get(f"{url}/search/", params={"query": "home", "page": "1"})
    send("/admin/login/", username="admin", password="tea-and-cups-9", next="/admin/")
    ask.get(f"{url}/admin/pages/3/", params={"ordering": "title", "p": "1"})
    ask.get(f"{url}/admin/pages/search/", params={"q": "home"})
    ask.get(f"{url}/admin/users/", params={"q": "adm"})
    ask.get(f"{url}/admin/images/", params={"q": "x", "ordering": "-created_at"})
    send(
        "/admin/redirects/add/",
        old_path="/old",
        site="",
        is_permanent="on",
        redirect_page="",
        redirect_link="/search/",
    )
    send("/admin/collections/add/", parent="1", name="Cups")


@dataclass(frozen=True, kw_only=True)
class Application:
    """`start` are commands in a fresh folder, the last of which serves on {port}. `so` are the detects that
    report what this application does on purpose, or leaves to the server before it.
    """

    packages: tuple[str, ...]
    start: tuple[str, ...]
    use: Callable[[str, requests.Session], None]
    so: frozenset[str]


_SERVE = "gunicorn --workers 2 --threads 4 --bind 127.0.0.1:{port}"
APPLICATIONS = {
    "httpbin": Application(
        packages=("httpbin", "gunicorn"),
        start=(f"{_SERVE} httpbin:app",),
        use=use_httpbin,
        # Any origin may read it, redirects and decodes whatever it is told, addresses are made from Host.
        so=frozenset({"cors-origin", "headers-protection", "host-poisoning", "redir-location", "xss-html"}),
    ),
    "radicale": Application(
        packages=("radicale",),
        start=(
            "python -m radicale --hosts 127.0.0.1:{port} --storage-filesystem-folder data --auth-type none",
        ),
        use=use_radicale,
        so=frozenset({"headers-protection"}),
    ),
    "wagtail": Application(
        packages=("wagtail", "gunicorn"),
        start=(
            "wagtail start pages .",
            "sed -i s/DEBUG.=.True/DEBUG=False/ pages/settings/dev.py",
            "python manage.py migrate --verbosity 0",
            "python manage.py createsuperuser --noinput --username admin --email admin@site.example",
            f"{_SERVE} pages.wsgi",
        ),
        use=use_wagtail,
        so=frozenset(),
    ),
}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Install, start, record and test one application; the figures of the run."""
    application, url = APPLICATIONS[name], f"http://127.0.0.1:{(port := free_port())}"
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    install = [programs / "pip", "install", "--quiet", *application.packages]
    subprocess.run(install, check=True, timeout=600, capture_output=True)
    environ = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DJANGO_SUPERUSER_PASSWORD": "tea-and-cups-9",
        "DJANGO_SETTINGS_MODULE": "pages.settings.dev",
    }
    (work := folder / "work").mkdir()
    *prepare, serve = (command.format(port=port).split() for command in application.start)
    for command in prepare:
        subprocess.run(command, cwd=work, env=environ, check=True, timeout=300, capture_output=True)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(serve, cwd=work, env=environ, stdout=log, stderr=log)
    try:
        wait_for(url, server)
        (folder / "policy.yml").write_text(POLICY)
        use = [sys.executable, __file__, "--use", name, url]
        command = [sys.executable, "-m", "fastci", "run", "--runtime", "process", "--target-uri", url]
        command += ["--workers", WORKERS, "--policy", "policy.yml", "--", *use]
        began = time.monotonic()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=3600)
        seconds = time.monotonic() - began
    finally:
        server.terminate()
        server.wait()
    results = folder / ".fast" / "latest" / "results.json"
    if not results.is_file():
        raise SystemExit(f"{name}: fastci ended with status {done.returncode}\n{done.stderr}")
    run = json.loads(results.read_text())["run"]
    [version] = [
        d.version for d in importlib.metadata.distributions(path=[site_of(folder)]) if d.name.lower() == name
    ]
    return {
        "version": version,
        "baselines": len(run["checks"]),
        "failed": sum(check["state"] == "tech_failed" for check in run["checks"]),
        "requests": sum(check["requests"] for check in run["checks"]),
        "minutes": seconds / 60,
        "known": Counter(f["code"] for f in run["findings"] if f["code"] in application.so),
        "alarms": [
            f"{f['code']} {f['route']} {f['point']}"
            for f in run["findings"]
            if f["code"] not in application.so
        ],
    }


def site_of(folder: Path) -> str:
    return str(next((folder / "venv" / "lib").glob("python*/site-packages")))


def wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < end:
        try:
            requests.get(url, timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise SystemExit(f"{url} is not served: {server.args!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without the largest")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--use", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.use:
        name, url = options.use
        APPLICATIONS[name].use(url, requests.Session())
        return 0
    heads = f"{'baselines':>9} {'failed':>6} {'requests':>8} {'minutes':>7} {'so':>3} {'alarms':>6}"
    print(f"{'application':<18} {heads}")
    results = {}
    for name in list(APPLICATIONS)[: -1 if options.quick else None]:
        with TemporaryDirectory() as folder:
            row = results[name] = measure(name, Path(folder))
        columns = f"{row['baselines']:>9} {row['failed']:>6} {row['requests']:>8,} {row['minutes']:>7.1f}"
        print(
            f"{name + ' ' + row['version']:<18} {columns} {row['known'].total():>3} {len(row['alarms']):>6}",
            flush=True,
        )
        for alarm in row["alarms"]:
            print(f"  {alarm}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 1 if any(row["alarms"] or row["failed"] for row in results.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())

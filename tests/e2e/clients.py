"""What tests with real CI clients share: a copy of the product, a repository to run in, running a client."""

import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from jobs import PATIENCE, until

from fastci.lifecycle.labels import SELECTOR

ROOT = Path(__file__).parents[2]
PRODUCT = (
    "action.yml",
    "action",
    "entrypoint.py",
    "fastci",
    "pyproject.toml",
    "locked",
    "Dockerfile",
    "templates",
    "vars",
)
LONG = 420.0
PAGES = """\
import http.server, urllib.parse
class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        body = ("<p>" + query.get("q", ["nothing"])[0] + "</p>").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8000), Pages).serve_forever()
"""
WAIT = """\
import socket, sys, time
host, port = sys.argv[1].rsplit(":", 1)
end = time.monotonic() + 30
while True:
    try:
        socket.create_connection((host, int(port)), 1).close()
        sys.exit(0)
    except OSError:
        if time.monotonic() > end:
            sys.exit("nobody listens")
        time.sleep(0.1)
"""


def copy_product(folder: Path) -> Path:
    """The files that make up a release, without what a checkout gathers."""
    for name in PRODUCT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif source.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def product_files(source: Path, below: str = "") -> dict[str, str]:
    """The product as files of a repository."""
    paths = [path for path in source.rglob("*") if path.is_file()]
    return {f"{below}{path.relative_to(source)}": path.read_text() for path in paths}


def make_repository(folder: Path, files: dict[str, str], *, shop: bool = False) -> Path:
    """A git repository with these files committed, and the example shop if wanted."""
    folder.mkdir(parents=True)
    if shop:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "github", "gitlab", "jenkins")
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / ".gitignore").write_text(".fast/\nvenv/\nshop.*\n.gitlab-ci-local/\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "start"]):
        subprocess.run(["git", *words], cwd=folder, check=True, timeout=60)
    return folder


def example(path: str) -> str:
    """A committed example, made quick: few of the shop's tests, a port and an environment that are there."""
    text = (ROOT / path).read_text()
    for committed, quick in (
        ("5000", str(free_port())),
        ("--quiet examples/shop/tests", "--quiet examples/shop/tests/test_catalogue.py -k search"),
        ("python3 -m venv venv", f"ln -sfn {shlex.quote(sys.prefix)} venv"),
    ):
        assert committed in text
        text = text.replace(committed, quick)
    return text


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Client:
    """A CI client at work in a folder, its log in a file, in a session of its own."""

    def __init__(self, command: list[str], folder: Path, log: Path, environ: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;]*[mK]", "", self._log.read_text(errors="replace"))

    def says(self, words: str, patience: float = PATIENCE) -> None:
        """Wait until the log holds these words; fails when the client ends without them."""
        until(lambda: words in self.text or self.process.poll() is not None, f"{words!r}", patience)
        assert words in self.text, self.text

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def send_group(self, number: int) -> None:
        """To the client and everything it started that is still in its process group."""
        os.killpg(self.process.pid, number)

    def wait(self, patience: float = LONG) -> int:
        try:
            return self.process.wait(patience)
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def node_names(text: str) -> set[str]:
    """Names of nodes that a log speaks of."""
    return set(re.findall(r"\bfast-(?:recording|testing|report)-[0-9a-f]{6,}\b", text))


def still_there(names: set[str]) -> list[str]:
    """Which of these nodes still exist: as containers, or as processes by their folder."""
    found = []
    docker = shutil.which("docker")
    if docker:
        listed = subprocess.run(
            [docker, "ps", "--all", "--format", "{{.Names}}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        found += sorted(names & set(listed.stdout.split()))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # A client that clears up takes the folder from under a node that was forgotten.
                place = str((entry / "cwd").readlink()).removesuffix(" (deleted)")
            except OSError:
                continue
            found += [f"{name} (process {entry.name})" for name in names if place.endswith(f"/{name}")]
    return found


class Lifetime:
    """A deadline that the nodes of one test alone have: by it what is theirs is told from what is others'."""

    def __init__(self) -> None:
        self.seconds = random.randrange(600, 6000, 10)

    def left(self) -> list[str]:
        """Containers, volumes and networks on the engine, if one is there, that the test has left behind."""
        docker = shutil.which("docker")
        if docker is None:
            return []
        found = []
        for kind, name in (("container", "{{.Names}}"), ("volume", "{{.Name}}"), ("network", "{{.Name}}")):
            times = "".join(f' {{{{.Label "org.fast-action.{key}"}}}}' for key in ("created", "deadline"))
            words = [docker, kind, "ls", *(["--all"] if kind == "container" else [])]
            words += ["--filter", f"label={SELECTOR}", "--format", name + times]
            listed = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
            for line in listed.stdout.splitlines():
                who, created, deadline = line.split()
                if abs(int(deadline) - int(created) - self.seconds) < 2:
                    found.append(f"{kind} {who}")
        return found

    def ends(self) -> None:
        """Nothing is left, at the latest when the engine has done what it was asked to."""
        until(lambda: not self.left(), f"the end of {self.left()}", 30)


def npm_install(*packages: str) -> Path:
    """A folder with these npm packages, made once for this machine; two tests may do it at the same time."""
    npm = need("npm")
    name = re.sub(r"[^\w.-]+", "-", "-".join(packages))
    folder = Path(tempfile.gettempdir()) / f"fast-action-{name}-{os.getuid()}"
    if not folder.exists():
        made = Path(tempfile.mkdtemp(prefix="fast-action-npm."))
        command = [npm, "install", "--silent", "--no-audit", "--no-fund", *packages]
        subprocess.run(command, cwd=made, check=True, timeout=300)
        try:
            made.rename(folder)
        except OSError:
            shutil.rmtree(made)
    return folder / "node_modules"


def need(program: str) -> str:
    """Where a program of the machine is. Without it the test is not run; where all must run, it fails."""
    found = shutil.which(program)
    if found is None:
        give_up = pytest.fail if os.environ.get("FAST_REQUIRE_ENGINE") else pytest.skip
        give_up(f"{program} is not installed")
    return str(found)


def tool(name: str) -> str:
    """A program of the test environment."""
    return str(Path(sys.executable).with_name(name))

"""The action's scripts on a real node, around a product that is a stand-in."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from clients import ROOT, Client, need

ENTRYPOINT = """\
import json, os, signal, sys, time
def leave(number, frame):
    print("got", signal.Signals(number).name, flush=True)
    sys.exit(4)
signal.signal(signal.SIGINT, leave)
signal.signal(signal.SIGTERM, leave)
facts = {"arguments": sys.argv[1:], "prefix": sys.prefix, "run": os.environ.get("INPUT_RUN")}
print("facts " + json.dumps(facts), flush=True)
while os.environ.get("INPUT_RUN") == "wait":
    time.sleep(0.05)
sys.exit(int(os.environ.get("INPUT_STATUS", "0")))
"""


class Shim:
    def __init__(self, folder: Path) -> None:
        self.node = need("node")
        self.folder = folder
        self.product = folder / "product"
        self.cache = folder / "cache"
        self.cache.mkdir()
        shutil.copytree(ROOT / "action", self.product / "action")
        (self.product / "locked").mkdir()
        shutil.copy(ROOT / "locked" / "uv.txt", self.product / "locked")
        self.require("")
        (self.product / "entrypoint.py").write_text(ENTRYPOINT)
        self.state = folder / "state"
        self.state.write_text("")
        self._clients: list[Client] = []

    def require(self, text: str, name: str = "action.txt") -> None:
        (self.product / "locked" / name).write_text(text + "\n")

    def start(self, script: str, **environ: str) -> Client:
        given = {
            "PATH": str(Path(sys.executable).parent),
            "RUNNER_TOOL_CACHE": str(self.cache),
            "GITHUB_STATE": str(self.state),
            # Most of these products need nothing, so nothing is downloaded either.
            "PIP_NO_INDEX": "1",
            **environ,
        }
        log = self.folder / f"{script}{len(self._clients)}.log"
        command = [self.node, str(self.product / "action" / script)]
        self._clients.append(Client(command, self.folder, log, given))
        return self._clients[-1]

    def environments(self) -> list[Path]:
        return sorted((self.cache / "fast-action").glob("*"))

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def shim(tmp_path):
    made = Shim(tmp_path)
    yield made
    made.close()


def locked(name: str) -> str:
    """What is locked of a package."""
    (found,) = re.findall(rf"^{name}==(?:.+\\\n)+.+", (ROOT / "locked/action.txt").read_text(), re.MULTILINE)
    return str(found)


def facts(client: Client) -> dict[str, object]:
    (line,) = [line for line in client.text.splitlines() if line.startswith("facts ")]
    return dict(json.loads(line.removeprefix("facts ")))


def test_main_on_a_fresh_runner_makes_one_environment_and_hands_over(shim):
    client = shim.start("main.js", INPUT_RUN="npm test")
    assert client.wait(120) == 0, client.text
    (environment,) = shim.environments()
    told = facts(client)
    assert told["prefix"] == str(environment)
    assert told["run"] == "npm test"
    assert told["arguments"] == []
    assert shim.state.read_text() == f"python={environment / 'bin' / 'python'}\n"


def test_main_on_a_warm_runner_takes_the_environment_that_is_there(shim):
    assert shim.start("main.js").wait(120) == 0
    (environment,) = shim.environments()
    made = environment.stat().st_ctime_ns
    assert shim.start("main.js").wait(120) == 0
    assert [path.stat().st_ctime_ns for path in shim.environments()] == [made]


def test_main_for_other_dependencies_makes_another_environment(shim):
    assert shim.start("main.js").wait(120) == 0
    shim.require("# others")
    assert shim.start("main.js").wait(120) == 0
    assert len(shim.environments()) == 2


@pytest.mark.parametrize(
    ("settings", "installer"),
    [({"PIP_NO_INDEX": ""}, "uv"), ({"PIP_NO_INDEX": "", "PIP_INDEX_URL": "https://pypi.org/simple"}, "pip")],
)
def test_main_installs_by_uv_unless_pip_is_told_of_an_index_of_its_own(shim, settings, installer):
    shim.require(locked("certifi"))
    given = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    client = shim.start("main.js", **given, **settings)
    assert client.wait(170) == 0, client.text
    (environment,) = shim.environments()
    (note,) = environment.glob("lib/*/site-packages/certifi-*.dist-info/INSTALLER")
    assert note.read_text().strip() == installer
    assert not (environment / "uv").exists()


def test_main_twice_at_once_leaves_one_whole_environment(shim):
    clients = [shim.start("main.js") for _ in range(3)]
    assert [client.wait(170) for client in clients] == [0, 0, 0]
    assert len(shim.environments()) == 1


def test_main_whose_dependencies_cannot_be_had_says_so_and_leaves_nothing(shim):
    shim.require(f"fast-action-has-no-such-dependency==1 --hash=sha256:{'0' * 64}")
    client = shim.start("main.js")
    assert client.wait(120) == 3
    assert "::error title=FAST::the Python environment of the action cannot be made" in client.text
    assert "fast-action-has-no-such-dependency" in client.text
    assert shim.environments() == []


@pytest.mark.parametrize(("same", "status"), [(True, 0), (False, 3)])
def test_main_installs_a_file_only_if_it_is_the_one_that_was_locked(shim, same, status):
    wheel = shim.folder / "small-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small.py", "")
        archive.writestr("small-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1\n")
        archive.writestr("small-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr("small-1.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes() if same else b"another").hexdigest()
    shim.require(f"small==1 --hash=sha256:{digest}")
    client = shim.start("main.js", PIP_FIND_LINKS=str(shim.folder))
    assert client.wait(120) == status, client.text
    assert ("DO NOT MATCH THE HASHES" in client.text) is not same


def test_main_with_a_store_in_a_database_installs_its_driver_too(shim):
    shim.require("broken, and not read", "action.txt")
    shim.require("", "image.txt")
    client = shim.start("main.js", FAST_STORE="postgresql://fast@db/fast")
    assert client.wait(120) == 0, client.text


def test_main_without_a_python_on_the_path_takes_the_newest_of_the_tool_cache(shim):
    architecture = subprocess.run(
        [shim.node, "-p", "process.arch"], capture_output=True, text=True, timeout=60, check=True
    )
    for version in ("3.9.1", "3.11.9"):
        folder = shim.cache / "Python" / version / architecture.stdout.strip() / "bin"
        folder.mkdir(parents=True)
        (folder / "python").symlink_to(os.path.realpath(sys.executable))
    client = shim.start("main.js", PATH="/nowhere")
    assert client.wait(120) == 0, client.text


def test_main_without_any_python_says_what_to_do(shim):
    client = shim.start("main.js", PATH="/nowhere")
    assert client.wait(60) == 3
    assert "::error title=FAST::no Python 3.11" in client.text
    assert "actions/setup-python" in client.text


def test_main_passes_the_status_on(shim):
    assert shim.start("main.js", INPUT_STATUS="2").wait(120) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_main_that_is_cancelled_hands_the_signal_on_and_waits(shim, number):
    client = shim.start("main.js", INPUT_RUN="wait")
    client.says("facts ")
    client.send(number)
    assert client.wait(30) == 4
    assert f"got {number.name}" in client.text


def test_main_with_python_variables_of_the_job_is_not_led_astray(shim, tmp_path):
    astray = tmp_path / "astray"
    astray.mkdir()
    (astray / "json.py").write_text("raise SystemExit('astray')\n")
    client = shim.start("main.js", PYTHONPATH=str(astray), PYTHONHOME="/nowhere")
    assert client.wait(120) == 0, client.text


def test_post_without_a_main_before_it_does_nothing(shim):
    client = shim.start("post.js")
    assert client.wait(30) == 0
    assert client.text == ""


def test_post_after_a_main_cleans_with_the_same_python(shim):
    assert shim.start("main.js").wait(120) == 0
    name, _, python = shim.state.read_text().strip().partition("=")
    client = shim.start("post.js", **{f"STATE_{name}": python})
    assert client.wait(60) == 0
    assert facts(client)["arguments"] == ["post"]

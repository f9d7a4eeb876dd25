"""docs/extensions.md says what is so: its extensions load, its commands print what it shows."""

import re
import shlex
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dsl_kit import load

from fastci import cli
from fastci.node.dsl import ORACLES, parse_extension

GUIDE = (Path(__file__).parents[4] / "docs" / "extensions.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", GUIDE, re.M | re.S)
EXTENSIONS = {
    text.partition("\n")[0].removeprefix("# "): text
    for kind, text in BLOCKS
    if kind == "yaml" and "$schema" not in text
}
SESSIONS = [text for kind, text in BLOCKS if kind == "console"]


def block(kind: str) -> str:
    return next(text for found, text in BLOCKS if found == kind)


@pytest.mark.parametrize("name", EXTENSIONS)
def test_extension_of_the_guide_loads(name: str):
    assert name.endswith(".yaml")
    load(EXTENSIONS[name], name)


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The shop of the guide on a free port."""
    program: dict[str, Any] = {"__name__": "shop"}
    exec(compile(block("python"), "shop.py", "exec"), program)
    quiet = type("Quiet", (program["Shop"],), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def settled(text: str, shop: str) -> list[str]:
    """Without what differs from run to run: the port, seconds, random words."""
    text = re.sub(r"\d\.\d{3} s", "0.001 s", text.replace(shop, "http://127.0.0.1:8000"))
    return re.sub(r"(tea(?:%20%5B)?)[a-z][a-z0-9]{9}\b", r"\1MARKER", text).splitlines()


@pytest.mark.parametrize("session", SESSIONS, ids=[text.partition("\n")[0][2:60] for text in SESSIONS])
def test_session_of_the_guide_prints_what_it_shows(
    session: str,
    shop: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    for name, text in EXTENSIONS.items():
        Path(name).write_text(text)
    Path("search.http").write_text(block("http"))
    Path("other.http").write_text("GET /find?q=tea HTTP/1.1\nHost: shop.example\n")
    command, _, shown = session.partition("\n")
    program, *arguments = shlex.split(command.removeprefix("$ ").replace("http://127.0.0.1:8000", shop))
    assert program == "fastci"
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert settled(capsys.readouterr().out, shop) == settled(shown, shop)
    assert ended.value.code == (1 if "vulnerable:" in shown else 0)


def test_faults_that_the_guide_shows_are_what_the_loader_says():
    shown = block("").splitlines()
    text = (
        "meta-info:\n  type: info\ngenerate:\n- payload: [a]\n- method:\n         - sufix\n"
        "detect:\n- response:\n    - body:   'near('\n"
    )
    _, faults = parse_extension(text, "search.yaml")
    assert faults == shown


def test_every_oracle_has_an_example():
    shown = {load(text, name).oracle for name, text in EXTENSIONS.items()}
    assert shown - {""} == set(ORACLES)

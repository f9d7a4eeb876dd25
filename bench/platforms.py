"""The same shop, tests and planted flaws through every CI client that runs on this machine.

    python bench/platforms.py [--quick] [--json FILE] [--only WORD]

Each way runs a committed example with all functional tests of the shop and must report the same findings. The
reference is `fastci run` in a shell. `overhead` is the whole time less the functional tests alone and less
the attacks: what client, containers, recorder and reports take. --quick leaves out the ways that need a
Docker Engine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import yaml

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "e2e"), str(ROOT / "examples" / "shop")]

import clients  # noqa: E402
from test_act import Act  # noqa: E402
from test_gitlab import SHELL, VERSION, GitLab  # noqa: E402
from test_jenkins import Jenkins  # noqa: E402
from verify import TRUTH, matches  # noqa: E402

SHOP_IMAGE = "fast-action-bench/shop:1"
BASE = os.environ.get("FAST_BASE_IMAGE", "local/python-base:ci")


def example(path: str, port: int) -> str:
    """A committed example on a free port, with the environment that is here already."""
    text = (ROOT / path).read_text().replace("5000", str(port))
    return text.replace("python3 -m venv venv", f"ln -sfn {sys.prefix} venv")


def by_hand(folder: Path, port: int) -> Path:
    repository = clients.make_repository(folder / "repository", {}, shop=True)
    url = f"http://127.0.0.1:{port}"
    shop = start_shop(port, repository / "shop.log")
    try:
        policy = "examples/shop/fast-policy.yml"
        tests = [sys.executable, "-m", "pytest", "--quiet", "examples/shop/tests"]
        command = [clients.tool("fastci"), "run", "--target-uri", url, "--policy", policy, "--", *tests]
        environ = {**os.environ, "SHOP_URL": url, "FAST_RUNTIME": "process"}
        subprocess.run(command, cwd=repository, env=environ, capture_output=True, check=False, timeout=600)
    finally:
        shop.terminate()
        shop.wait()
    return repository / ".fast/latest/results.json"


def by_act(folder: Path, port: int) -> Path:
    product = clients.copy_product(folder / "product")
    act = Act(folder, product)
    act.start(example("examples/github/fast.yml", port), shop=True, FAST_RUNTIME="process").wait()
    reports = (folder / "artifacts" / "fast-reports").glob("*.json")
    return next(path for path in reports if ".gl-" not in path.name)


def gitlab(folder: Path) -> GitLab:
    return GitLab(folder, clients.npm_install(f"gitlab-ci-local@{VERSION}") / ".bin" / "gitlab-ci-local")


def by_gitlab_with_engine(folder: Path, port: int) -> Path:
    server = gitlab(folder)
    pipeline = example(".gitlab-ci.example.yml", port)
    server.start(pipeline, SHELL, shop=True, FAST_RUNTIME="docker", FAST_BASE_IMAGE=BASE).wait()
    return server.repository / ".fast/latest/results.json"


def by_gitlab_without_engine(folder: Path, port: int) -> Path:
    server = gitlab(folder)
    text = (ROOT / "examples/gitlab/fast-service.yml").read_text()
    for committed, here in (
        ("shop:latest", SHOP_IMAGE),
        ("python:3.13", SHOP_IMAGE),
        ("ghcr.io/org/fast-action:v1", node_image()),
        ("python3 -m venv venv", "ln -sfn /opt/shop venv"),
        ("venv/bin/pip install --quiet --requirement examples/shop/requirements.txt", "true"),
    ):
        assert committed in text, committed
        text = text.replace(committed, here)
    helpers = (
        "--pull-policy",
        "if-not-present",
        "--helper-image",
        SHOP_IMAGE,
        "--wait-image",
        f"{SHOP_IMAGE}-wait",
    )
    server.start(text, *helpers, shop=True).wait()
    return server.repository / ".fast/latest/results.json"


def by_groovy(folder: Path, port: int) -> Path:
    controller = Jenkins(folder)
    controller.start(example("examples/jenkins/Jenkinsfile", port), shop=True).wait()
    return controller.workspace / ".fast/latest/results.json"


WAYS: dict[str, tuple[Callable[[Path, int], Path], bool]] = {
    "fastci run": (by_hand, False),
    "act, GitHub workflow": (by_act, False),
    "gitlab-ci-local, shell executor, node in a container": (by_gitlab_with_engine, True),
    "gitlab-ci-local, docker executor, node as a service, no engine": (by_gitlab_without_engine, True),
    "Groovy, Jenkinsfile": (by_groovy, False),
}
"""Each way, and whether it needs a Docker Engine."""


def start_shop(port: int, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        shop = subprocess.Popen(
            [sys.executable, "-m", "shop", "--port", str(port)],
            cwd=ROOT / "examples/shop",
            stdout=output,
            stderr=output,
        )
    while b"listens" not in log.read_bytes():
        assert shop.poll() is None, log.read_text()
        time.sleep(0.05)
    return shop


def node_image() -> str:
    from fastci.config import parse_settings
    from fastci.lifecycle.container import ContainerRuntime
    from fastci.lifecycle.interrupts import Signals

    with Signals() as signals:
        runtime = ContainerRuntime.connect(
            parse_settings({"FAST_BASE_IMAGE": BASE}), os.environ, signals, print
        )
        said = runtime.prepare()
        runtime.close()
    return said.split()[1].rstrip(",")


def make_images(folder: Path) -> None:
    """The shop as an image, which is also the one of its tests and of the client's helpers."""
    engine = docker.from_env()
    (folder / "wait.py").write_text(clients.WAIT)
    clients.make_repository(folder / "tree", {}, shop=True)
    (folder / "Dockerfile").write_text(
        f"FROM {BASE}\n"
        "RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends rsync >/dev/null\n"
        "COPY tree/examples/shop /shop\nCOPY wait.py /\n"
        "RUN python3 -m venv /opt/shop && /opt/shop/bin/pip install --quiet -r /shop/requirements.txt\n"
        "WORKDIR /shop\nEXPOSE 5000\n"
        'CMD ["/opt/shop/bin/python", "-m", "shop", "--host", "0.0.0.0", "--port", "5000"]\n'
    )
    engine.images.build(path=str(folder), tag=SHOP_IMAGE, forcerm=True)
    (folder / "Dockerfile").write_text(f'FROM {SHOP_IMAGE}\nENTRYPOINT ["python3", "/wait.py"]\n')
    engine.images.build(path=str(folder), tag=f"{SHOP_IMAGE}-wait", forcerm=True)
    engine.close()
    node_image()


def time_of_tests(folder: Path) -> float:
    """Seconds that the functional tests take by themselves."""
    port = clients.free_port()
    shop = start_shop(port, folder / "shop.log")
    begin = time.monotonic()
    environ = {**os.environ, "SHOP_URL": f"http://127.0.0.1:{port}"}
    words = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "examples/shop/tests"]
    subprocess.run(words, cwd=ROOT, env=environ, check=True, capture_output=True, timeout=300)
    seconds = time.monotonic() - begin
    shop.terminate()
    shop.wait()
    return seconds


def measure(way: Callable[[Path, int], Path], folder: Path, alone: float) -> dict[str, Any]:
    begin = time.monotonic()
    path = way(folder, clients.free_port())
    seconds = time.monotonic() - begin
    run = json.loads(path.read_text())["run"]
    truth = yaml.safe_load(TRUTH.read_text())
    planted = truth["vulnerabilities"]
    known = [*planted, *truth.get("consequences", [])]
    found = sum(any(matches(flaw, finding) for finding in run["findings"]) for flaw in planted)
    false = sum(not any(matches(flaw, finding) for flaw in known) for finding in run["findings"])
    attacks = run["end_time"] - run["start_time"]
    return {
        "planted": len(planted), "found": found, "false": false, "baselines": len(run["checks"]),
        "requests": sum(check["requests"] for check in run["checks"]), "minutes": seconds / 60,
        "testing_s": attacks, "overhead_s": seconds - attacks - alone,
        "findings": sorted([f["type"], f["route"], f["point"]] for f in run["findings"]),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory(prefix="fast-platforms.") as place:
        alone = time_of_tests(Path(place))
        ways = {
            name: way for name, (way, engine) in WAYS.items()
            if options.only in name and not (engine and options.quick)
        }  # fmt: skip
        if any(WAYS[name][1] for name in ways):
            images = Path(place) / "images"
            images.mkdir()
            make_images(images)
        print(f"functional tests alone: {alone:.1f} s")
        print(f"{'way':<62} {'found':>8} {'false':>5} {'requests':>8} {'minutes':>7} {'attacks':>8} overhead")
        for number, (name, way) in enumerate(ways.items()):
            folder = Path(place) / str(number)
            folder.mkdir()
            row = rows[name] = measure(way, folder, alone)
            print(
                f"{name:<62} {row['found']:>2} of {row['planted']:>2} {row['false']:>5} {row['requests']:>8} "
                f"{row['minutes']:>7.2f} {row['testing_s']:>6.1f} s {row['overhead_s']:>6.1f} s",
                flush=True,
            )
    findings = [row["findings"] for row in rows.values()]
    same = all(each == findings[0] for each in findings)
    print("the findings are the same everywhere" if same else "THE FINDINGS DIFFER")
    reference = rows.get("fastci run", {}).get("minutes", 0)
    if options.json:
        ratios = {name: round(row["minutes"] / reference, 3) for name, row in rows.items() if reference}
        overhead = {name: round(row["overhead_s"], 2) for name, row in rows.items()}
        document = {"ways": rows, "ratios": ratios, "overhead_s": overhead, "tests_s": alone, "same": same}
        options.json.write_text(json.dumps(document, indent=2))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())

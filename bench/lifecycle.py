"""What the road costs around tests that cost nothing: record, stop, test, report, beyond the engine's work.

    python bench/lifecycle.py [--quick] [--json FILE]

One round is `fastci run` in containers around a test command that asks the target for one page, under a
policy that tries one type at one point; beside it the same image is started, stopped and removed by the
docker command, once for each of the two nodes that the road starts. `overhead_s` is the difference of the
medians and has to stay under 2 s. The start of the action is the time from its first process to its first
line, in an environment that is there (under 0.5 s) and in one that has to be made (under 6 s).
"""

import argparse
import http.server
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
LIMIT, WARM, COLD = 2.0, 0.5, 6.0
POLICY = """\
name: Little
description: One type at one point.
insertion-points: {include: [GET_.*]}
attacks: {types: [crlf]}
"""
FASTCI = [sys.executable, "-m", "fastci"]


@contextmanager
def target() -> Iterator[str]:
    """A page on a port of its own; its URL."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(command: list[str], *, cwd: Path, status: int = 0, **environ: str) -> str:
    """The output of a command; ends the measurement when it ends otherwise than expected."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode != status:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def road(folder: Path, url: str) -> tuple[dict[str, float], str]:
    """One whole road; seconds of its steps by their number, and of all of it, and the image of its nodes."""
    words = ["run", "--runtime", "docker", "--target-uri", url, "--policy", "little.yml"]
    words += ["--", "curl", "-s", f"{url}/?q=1"]
    told: list[str] = []
    whole = seconds(lambda: told.append(run([*FASTCI, *words], cwd=folder)))
    steps = {number: float(took) for number, took in re.findall(r"\[(\d)/7\] .+?(\d+\.\d\d) s ", told[0])}
    image = re.search(r"image ([^\s,]+),", told[0])
    assert image
    return {**steps, "whole": whole}, image[1]


def bare(folder: Path, image: str) -> float:
    """The engine's own work for two nodes: start, stop, remove."""

    def once() -> None:
        start = ["docker", "run", "--detach", "--network", "host", "--stop-signal", "KILL"]
        start += ["--entrypoint", "sleep", image, "600"]
        name = run(start, cwd=folder).strip()
        run(["docker", "stop", name], cwd=folder)
        run(["docker", "rm", "--volumes", name], cwd=folder)

    return seconds(once) + seconds(once)


def action(folder: Path, cache: Path) -> float:
    """From the start of the action's script to the first line of its program."""
    environ = {"RUNNER_TOOL_CACHE": str(cache), "INPUT_MODE": "stop", "FAST_RUNTIME": "process"}
    script = ["node", str(ROOT / "action" / "main.js")]
    began = time.perf_counter()
    with subprocess.Popen(
        script, cwd=folder, env={**os.environ, **environ}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    ) as started:  # fmt: skip
        assert started.stdout
        first = started.stdout.readline()
        took = time.perf_counter() - began
        rest = started.stdout.read()
    if "no node of this job is recording" not in first + rest:
        raise SystemExit(f"the action did not start: {first}{rest}")
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three rounds instead of nine")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    options = parser.parse_args()
    rounds = 3 if options.quick else 9
    results: dict[str, object] = {}
    limits: list[tuple[str, float, float]] = []
    os.environ.setdefault("FAST_BASE_IMAGE", run([str(ROOT / "scripts" / "base-image")], cwd=ROOT).strip())
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "little.yml").write_text(POLICY)
        if which("node"):
            cold = action(folder, folder / "cache")
            warm = statistics.median(action(folder, folder / "cache") for _ in range(rounds))
            limits += [
                ("action, environment to be made", cold, COLD),
                ("action, environment there", warm, WARM),
            ]
            results |= {"action_cold_s": cold, "action_warm_s": warm}
        with target() as url:
            image = road(folder, url)[1]
            pairs = [(road(folder, url)[0], bare(folder, image)) for _ in range(rounds)]
    whole = statistics.median(steps["whole"] for steps, _ in pairs)
    engine = statistics.median(took for _, took in pairs)
    print(f"{'the road, medians of ' + str(rounds):<40} {'seconds':>8}")
    for key in pairs[0][0]:
        took = statistics.median(steps[key] for steps, _ in pairs)
        print(f"{'step ' + key if key != 'whole' else key:<40} {took:>8.2f}")
    print(f"{'docker run, stop, rm, twice':<40} {engine:>8.2f}")
    limits.append(("overhead of the road", whole - engine, LIMIT))
    for what, took, limit in limits:
        print(f"{what:<40} {took:>8.2f}   limit {limit:g} s: {'kept' if took <= limit else 'BROKEN'}")
    if options.json:
        results |= {"road_s": whole, "bare_s": engine, "overhead_s": whole - engine}
        results["ratios"] = {"docker_run_stop_rm_twice": whole / engine}
        options.json.write_text(json.dumps(results, indent=1))
    return 0 if all(took <= limit for _, took, limit in limits) else 1


if __name__ == "__main__":
    raise SystemExit(main())

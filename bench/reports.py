"""How long and how much memory each report format takes for a big run: 2,000 findings, 50,000 tested points.

    python bench/reports.py [--quick] [--json FILE]

Each format is rendered in a process of its own, secrets taken out before. The reference is what Python's own
json takes to write the same results file: the ratio says how many times its processor time all formats, or
one, take. Where there is a Chromium, it opens the page, and a word is searched in it. Limits: all formats
together in 5 seconds of processor time (of the clock on a machine with nothing else to do) and 300 MB; the
page opens in 2 seconds.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from fastci.reports import REPORTS, write_reports
from fastci.results import BaselineCheck, Evidence, Exchange, Finding, Place, PointCoverage, Run, to_document

TYPES = ("sqli", "xss", "rce", "ptrav", "xxe")
CWE = {"sqli": 89, "xss": 79, "rce": 78, "ptrav": 22, "xxe": 611}
REFERENCE = "json.dumps"
OPENING = "opening"
LIMIT_SECONDS, LIMIT_MEGABYTES, LIMIT_OPENING = 5.0, 300.0, 2.0
ROOT = Path(__file__).parents[1]


def big_run(findings: int, points: int) -> Run:
    """A run of that many findings, with answers of 2 KB, and rows of coverage; always the same."""
    checks = []
    per_check = 100
    for number in range(points // per_check):
        route = f"/shop/area{number % 120}/part{number // 120}/{{}}"
        rows = [
            PointCoverage(
                point=f"GET_field{row // len(TYPES)}_value",
                type=TYPES[row % len(TYPES)],
                state="skipped" if row % 7 == 3 else "tested",
                requests=0 if row % 7 == 3 else 5 + row % 11,
                reason="the policy leaves this point out" if row % 7 == 3 else "",
            )
            for row in range(per_check)
        ]
        checks.append(
            BaselineCheck(
                baseline=f"bl_{number:05}", method="GET", url=f"http://shop.test{route.format(number)}",
                route=route, state="failed", elapsed=3.5, coverage=rows,
                requests=sum(row.requests for row in rows),
                test=f"tests/test_area{number % 120}.py:{number + 1}::test_part",
            )
        )  # fmt: skip
    found = [_finding(number, checks[number % len(checks)]) for number in range(findings)]
    return Run(
        id="tr_0001", name="big", state="failed", record_id="rec_0001", record_name="big", policy="default",
        target="http://shop.test", node_version="0.1.0", start_time=1_790_000_000.0,
        end_time=1_790_003_600.0, checks=checks, findings=found,
        pace=[100 + number % 40 for number in range(120)],
    )  # fmt: skip


def _finding(number: int, check: BaselineCheck) -> Finding:
    kind = TYPES[number % len(TYPES)]
    cookie = f"session={number % 50:032x}"
    payload = f"'\"><b>mark{number:06}</b>"

    def exchange(value: str, note: str) -> Exchange:
        head = f"Host: shop.test\r\nCookie: {cookie}\r\n\r\n"
        request = f"GET {check.route.format(number)}?field{number % 20}={value} HTTP/1.1\r\n{head}"
        rows = "".join(
            f"<li class=row>article {number * 7 + row} of the shop, on stock</li>\n" for row in range(36)
        )
        body = f"<!doctype html>\n<title>shop</title>\n<p>{note}</p>\n<ul>\n{rows}</ul>\n"
        answer = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: {cookie}; Path=/\r\n\r\n{body}"
        return Exchange(request=request.encode(), response=answer.encode(), status=200, elapsed=0.02)

    return Finding(
        id=f"v{number}", type=kind, threat=20 + number * 7 % 80, code=f"{kind}-basic",
        title=f"{kind} number {number}",
        description="What it is, in a sentence or two, as a detect says it of what it found.",
        point=f"GET_field{number % 20}_value", route=check.route, confidence="confirmed", cwe=[CWE[kind]],
        remediation="How it is mended, in a sentence or two, as the list of vulnerabilities says it.",
        evidence=Evidence(
            payload=payload, matched=f"<b>mark{number:06}</b>",
            attack=exchange(f"%27%22%3E%3Cb%3Emark{number:06}%3C%2Fb%3E", payload),
            confirmation=exchange(f"%27%22%3E%3Cb%3Eagain{number:06}%3C%2Fb%3E", f"<b>again{number:06}</b>"),
            control=exchange(f"plain{number:06}", f"plain{number:06}"),
        ),
        places=[Place(baseline=check.baseline, method="GET", url=check.url, test=check.test)],
    )  # fmt: skip


def reference(findings: int, points: int) -> dict[str, float]:
    """The same for `json.dumps` of the results file, and nothing else of ours."""
    document = to_document(big_run(findings, points))
    with TemporaryDirectory() as folder:
        started, busy = time.perf_counter(), time.process_time()
        path = Path(folder) / "big.json"
        path.write_text(json.dumps(document))
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        size = path.stat().st_size
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": busy, "megabytes": memory, "size": size / 1e6}


def measure(formats: list[str], findings: int, points: int) -> dict[str, float]:
    """Seconds and peak megabytes of writing these formats, the run itself included in the memory."""
    run = big_run(findings, points)
    with TemporaryDirectory() as folder:
        started, busy = time.perf_counter(), time.process_time()
        paths = write_reports(run, Path(folder), "big", formats)
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        size = sum(path.stat().st_size for path in paths)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": busy, "megabytes": memory, "size": size / 1e6}


def opening(findings: int, points: int) -> dict[str, float]:
    """Seconds until Chromium has loaded the page of that run, its own processor time, and of one search."""
    sys.path.insert(0, str(ROOT / "tests" / "e2e"))
    from report_browser import CHROMIUM, Browser, Page

    if not CHROMIUM:
        return {}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (path,) = write_reports(big_run(findings, points), Path(folder), "big", ["html"])
        browser = Browser(Path(folder) / "profile")
        try:
            page = Page(browser, Path(folder))
            page.call("Performance.enable", timeDomain="threadTicks")
            started = time.perf_counter()
            page.visit(path.as_uri())
            seconds = time.perf_counter() - started
            metrics = page.call("Performance.getMetrics")["metrics"]
            busy = next(one["value"] for one in metrics if one["name"] == "TaskDuration")
            started = time.perf_counter()
            page.choose("#query", f"number {findings - 1}", "input")
            assert page.run("document.querySelectorAll('.finding:not([hidden])').length") == 1
            search = time.perf_counter() - started
            page.open(noisy_run())
            started = time.perf_counter()
            page.show("#f0")
            noise = time.perf_counter() - started
        finally:
            browser.close()
    return {"seconds": seconds, "cpu": busy, "search": search, "noise": noise}


def noisy_run() -> Run:
    """A run with one finding whose messages are noise: nearly every byte of it is shown by its name."""
    run = big_run(1, 100)
    noise = random.Random(1).randbytes(200_000)
    evidence = run.findings[0].evidence
    attack = replace(evidence.attack, request=b"POST / HTTP/1.1\r\n\r\n" + noise, response=noise)
    return replace(
        run, findings=[replace(run.findings[0], evidence=replace(evidence, attack=attack, control=attack))]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    findings, points = (200, 5_000) if options.quick else (2_000, 50_000)
    if options.only:
        formats = options.only.split(",")
        if formats == [OPENING]:
            row = opening(findings, points)
        elif formats == [REFERENCE]:
            row = reference(findings, points)
        else:
            row = measure(formats, findings, points)
        print(json.dumps(row))
        return 0
    results = {}
    print(f"{findings:,} findings, {points:,} points")
    print(f"{'format':<12} {'seconds':>8} {'cpu s':>6} {'peak MB':>8} {'file MB':>8} {'x dumps':>7}")

    def alone(formats: str) -> dict[str, float]:
        command = [sys.executable, __file__, "--only", formats, *(["--quick"] if options.quick else [])]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        return json.loads(done.stdout)

    for name in (REFERENCE, *REPORTS, "all"):
        row = results[name] = alone(",".join(REPORTS) if name == "all" else name)
        ratio = row["cpu"] / results[REFERENCE]["cpu"]
        columns = f"{row['seconds']:>8.2f} {row['cpu']:>6.2f} {row['megabytes']:>8.0f} {row['size']:>8.1f}"
        print(f"{name:<12} {columns} {ratio:>7.1f}")
    whole = results["all"]
    good = whole["cpu"] <= LIMIT_SECONDS and whole["megabytes"] <= LIMIT_MEGABYTES
    limits = f"{LIMIT_SECONDS:.0f} s of processor time, {LIMIT_MEGABYTES:.0f} MB"
    print(f"limit {limits}: {'kept' if good else 'BROKEN'}")
    opened = alone(OPENING)
    if opened:
        quick = opened["cpu"] <= LIMIT_OPENING
        good = good and quick
        print(
            f"Chromium opens it in {opened['seconds']:.2f} s, {opened['cpu']:.2f} s of processor time, "
            f"searches in {opened['search']:.2f} s, shows a finding of noise in {opened['noise']:.2f} s; "
            f"limit {LIMIT_OPENING:.0f} s of processor time: {'kept' if quick else 'BROKEN'}"
        )
    else:
        print("NOT MEASURED: no Chromium here opens the page")
    if options.json:
        base = results[REFERENCE]["cpu"]
        ratios = {f"{name} to {REFERENCE}": row["cpu"] / base for name, row in results.items()}
        document = {"results": results, "opening": opened, "ratios": ratios}
        options.json.write_text(json.dumps(document, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())

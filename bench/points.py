"""The language's figures: points a second, loading extensions, memory over many baselines.

`python bench/points.py [--quick] [--json FILE] [--collection FOLDER]` prints a table. `ratios` in the JSON
are against what this project owes: 20,000 points listed and rewritten a second on one core; every built-in
extension, and those of a folder such as a checkout of wallarm/fast-detects, loaded in one second of processor
time; as much memory after 100,000 baselines as after 10,000.
"""

import argparse
import base64
import gc
import gzip
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, urlencode

from fastci.node.message import Request, parse_request
from fastci.node.points import compile_point, list_points

OWED = 20_000
LOADED_WITHIN = 1.0
MANY, FEW = 100_000, 10_000
GROWTH = 8.0
"""MiB that memory may differ by between the two: what an allocator keeps for itself."""
PAYLOAD = b"'\"><x y=1>{{7*7}}"


def request(start: str, body: bytes = b"", *headers: str) -> Request:
    lines = (start + " HTTP/1.1", "Host: shop.example", "User-Agent: tests/1.0", "Accept: */*", *headers)
    return parse_request("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n", body)


def corpus() -> dict[str, list[Request]]:
    """Requests as functional tests of a shop make them, by format."""
    form = {"email": "joe@example.com", "password": "s3cret pass", "items[]": "1", "address[city]": "Köln"}
    order = {
        "customer": {"name": "Joe", "mail": "joe@example.com", "vip": True, "since": None},
        "lines": [{"sku": f"A-{n}", "count": n, "price": 9.99, "note": 'say "hi"'} for n in range(8)],
    }
    part = '--b7\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    parts = [part.format(f"field{n}", "", f"value {n}") for n in range(6)]
    parts.append(
        part.format("doc", '; filename="a.json"\r\nContent-Type: application/json', json.dumps(order))
    )
    items = "".join(f'<item id="{n}"><name>Tea &amp; {n}</name><qty>{n}</qty></item>' for n in range(10))
    xml = f'<?xml version="1.0"?>\n<!DOCTYPE o [<!ENTITY e "x">]>\n<order><!-- new -->{items}</order>'
    state = base64.b64encode(gzip.compress(json.dumps(order).encode())).decode()
    cookies = (
        "; ".join(f"c{n}=value{n}" for n in range(8)) + "; cart=" + quote(json.dumps({"a": 1, "b": "x"}))
    )
    token = ".".join(
        base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=")
        for p in ({"alg": "HS256"}, {"sub": "joe", "role": "user"})
    )
    return {
        "query": [
            request("GET /search/tea/list.html?q=green+tea&page=2&sort=price&tag=a&tag=b&f%5Bmin%5D=3")
        ],
        "form": [
            request(
                "POST /login", urlencode(form).encode(), "Content-Type: application/x-www-form-urlencoded"
            )
        ],
        "json": [request("POST /api/orders", json.dumps(order).encode(), "Content-Type: application/json")],
        "multipart": [
            request(
                "POST /up",
                ("".join(parts) + "--b7--\r\n").encode(),
                "Content-Type: multipart/form-data; boundary=b7",
            )
        ],
        "xml": [request("POST /import", xml.encode(), "Content-Type: application/xml")],
        "cookies": [
            request("GET /account", b"", f"Cookie: {cookies}", f"Authorization: Bearer {token}.c2ln")
        ],
        "nested": [request(f"GET /resume?state={quote(state)}&uid=MDEyMzQ=")],
    }


def measure(requests: list[Request], seconds: float) -> tuple[int, float]:
    """Points listed and rewritten, and the seconds of processor time that took."""
    points = 0
    started = time.process_time()
    while time.process_time() - started < seconds:
        for each in requests:
            for point in list_points(each):
                point.write(PAYLOAD)
                points += 1
    return points, time.process_time() - started


def load(collection: Path | None) -> tuple[int, int, float]:
    """Extensions loaded, files refused, and the seconds of processor time, in a process of its own."""
    program = (
        "import sys, time; from pathlib import Path; start = time.process_time();"
        "from fastci.node.dsl import builtin_extensions, load_extensions; begin = time.process_time();"
        "own, faults = load_extensions(Path(sys.argv[1]), builtin=False);"
        "count = len(builtin_extensions()) + len(own); took = time.process_time() - begin;"
        "print(count, len({fault.split(':')[0] for fault in faults}), took)"
    )
    command = [sys.executable, "-c", program, str(collection or "/nonexistent")]
    count, refused, took = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(count), int(refused), float(took)


def resident() -> float:
    """MiB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def remembered(few: int, many: int) -> tuple[float, float]:
    """MiB held after few and after many baselines, no two alike, each listed and selected from."""
    pattern = compile_point("GET")
    held = 0.0
    for number in range(many):
        body = b'{"a%d": "%d", "list": [1, 2]}' % (number, number)
        start = f"POST /shop/{number}/p{number % 977}?q{number}=x&page=2"
        points = list_points(request(start, body, "Content-Type: application/json", f"Cookie: c{number}=1"))
        pattern.select(points)
        if number + 1 == few:
            gc.collect()
            held = resident()
    gc.collect()
    return held, resident()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=0.5, help="per format")
    parser.add_argument("--quick", action="store_true", help="a tenth of the baselines")
    parser.add_argument(
        "--collection", type=Path, help="a folder of extensions to load beside the built-in ones"
    )
    options = parser.parse_args()
    rates = {}
    print(f"{'format':<12}{'points':>9}{'points/s':>12}{'of 20,000':>12}")
    everything = corpus()
    everything["all"] = [each for requests in everything.values() for each in requests]
    for name, requests in everything.items():
        points, took = measure(requests, options.seconds)
        rates[name] = points / took
        print(f"{name:<12}{points:>9,}{rates[name]:>12,.0f}{rates[name] / OWED:>11.1f}x")
    count, refused, took = min((load(options.collection) for _ in range(3)), key=lambda each: each[2])
    print(f"loading: {count} extensions in {took:.2f} s ({LOADED_WITHIN} owed), {refused} files refused")
    few, many = (FEW // 10, MANY // 10) if options.quick else (FEW, MANY)
    before, after = remembered(few, many)
    held = f"{before:.1f} MiB after {few:,} baselines, {after:.1f} after {many:,}"
    print(f"memory: {held} ({GROWTH} more allowed)")
    if options.json:
        facts = {
            "points_per_second": rates,
            "loading_s": took,
            "memory_mib": {str(few): before, str(many): after},
            "ratios": {
                "owed 20,000/s": rates["all"] / OWED,
                "owed 1 s of loading": LOADED_WITHIN / took,
                "memory of few baselines": before / after,
            },
        }
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()

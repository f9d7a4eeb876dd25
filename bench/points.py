"""Points a second: listing every point of recorded requests, and writing a payload at each.

`python bench/points.py [--json FILE] [--seconds N]` prints a table; `ratios` in the JSON compares with the
figure this project owes, 20,000 points listed and rewritten a second on one core.
"""

import argparse
import base64
import gzip
import json
import time
from pathlib import Path
from urllib.parse import quote, urlencode

from fastci.node.message import Request, parse_request
from fastci.node.points import list_points

OWED = 20_000
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=0.5, help="per format")
    options = parser.parse_args()
    rates = {}
    print(f"{'format':<12}{'points':>9}{'points/s':>12}{'of 20,000':>12}")
    everything = corpus()
    everything["all"] = [each for requests in everything.values() for each in requests]
    for name, requests in everything.items():
        points, took = measure(requests, options.seconds)
        rates[name] = points / took
        print(f"{name:<12}{points:>9,}{rates[name]:>12,.0f}{rates[name] / OWED:>11.1f}x")
    if options.json:
        facts = {"points_per_second": rates, "ratios": {"owed 20,000/s": rates["all"] / OWED}}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()

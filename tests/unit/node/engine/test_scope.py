"""Where requests go and which redirects stay inside."""

import pytest

from fastci.node.engine.scope import Scope
from fastci.node.message import Origin, Response, parse_request
from fastci.node.store import Baseline

RECORDED = Origin(scheme="http", host="shop.test", port=8000)
HEAD = (
    b"GET /a?b=1 HTTP/1.1\r\nhost: shop.test:8000\r\nOrigin: http://shop.test:8000\r\n"
    b"Referer: http://shop.test:8000/x\r\nAccept-Encoding: gzip, br\r\nX-Host: shop.test:8000\r\n\r\n"
)


def baseline(head: bytes = HEAD) -> Baseline:
    return Baseline(
        sequence=1, origin=RECORDED, request=parse_request(head), response=Response(status=200), started=0,
        duration=0, connection=0, test="", truncated=False,
    )  # fmt: skip


def test_request_without_replacement_keeps_every_byte_but_the_codings():
    scope = Scope.parse("", (443,))
    assert scope.request(baseline()).render() == HEAD.replace(b"gzip, br", b"identity")
    assert scope.target(RECORDED).origin == RECORDED


def test_request_with_replacement_follows_in_host_origin_and_referer():
    scope = Scope.parse("https://app-test:3000", (443,))
    expected = (
        HEAD.replace(b"host: shop.test:8000", b"host: app-test:3000")
        .replace(b"http://shop.test:8000", b"https://app-test:3000")
        .replace(b"gzip, br", b"identity")
    )
    assert scope.request(baseline()).render() == expected
    assert str(scope.target(RECORDED).origin) == "https://app-test:3000"


def test_referer_of_another_site_stays():
    head = HEAD.replace(b"Referer: http://shop.test:8000/x", b"Referer: http://shop.test:80001/x")
    sent = Scope.parse("http://t", ()).request(baseline(head))
    assert sent.get(b"referer") == b"http://shop.test:80001/x"


def test_base_path_stands_before_the_target():
    target = Scope.parse("http://t:1/app/", ()).target(RECORDED)
    assert target.address(parse_request(HEAD).target) == b"/app/a?b=1"
    assert target.url(b"/a") == "http://t:1/app/a"
    assert target.inside(parse_request(HEAD), b"/app/c") == b"/c"


def test_target_that_is_no_path_goes_out_as_it_is():
    target = Scope.parse("http://t:1/app", ()).target(RECORDED)
    assert target.address(b"http://evil/") == b"http://evil/"


@pytest.mark.parametrize(("ports", "scheme"), [((443,), "http"), ((443, 8000), "https")])
def test_backend_https_ports_are_spoken_to_with_tls(ports: tuple[int, ...], scheme: str):
    assert Scope.parse("", ports).target(RECORDED).origin.scheme == scheme


@pytest.mark.parametrize(
    ("location", "reached"),
    [
        (b"/c?d=1#e", b"/c?d=1"),
        (b"c", b"/x/c"),
        (b"?q", b"/x/y?q"),
        (b"http://app:3000/c", b"/c"),
        (b"http://SHOP.test:8000/c", b"/c"),
        (b"//app:3000/c", b"/c"),
        (b"/a b", b"/a%20b"),
        (b"http://app:3001/c", None),
        (b"https://app/c", None),
        (b"http://evil/c", None),
        (b"//evil/c", None),
        (b"http://app:3000@evil/c", None),
        (b"http://app:3000.evil/c", None),
        (b"http://[bad/c", None),
        (b"javascript:alert(1)", None),
        (b"mailto:a@app", None),
    ],
)
def test_redirects_are_followed_inside_only(location: bytes, reached: bytes | None):
    target = Scope.parse("http://app:3000", ()).target(RECORDED)
    assert target.inside(parse_request(b"GET /x/y HTTP/1.1\r\n\r\n"), location) == reached

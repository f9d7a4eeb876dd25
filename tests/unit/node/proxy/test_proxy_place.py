import pytest

from fastci.node.proxy.place import Places, parse_authority
from fastci.node.proxy.wire import BadMessage


@pytest.mark.parametrize(
    ("target", "origin", "path"),
    [
        (b"http://A.test", "http://a.test", b"/"),
        (b"http://a.test:80/x#y", "http://a.test", b"/x"),
        (b"https://a.test/x", "https://a.test", b"/x"),
        (b"http://a.test:443/", "https://a.test", b"/"),
        (b"http://a.test:8443/", "https://a.test:8443", b"/"),
        (b"http://a.test:3000?x", "http://a.test:3000", b"/?x"),
        (b"http://u:p@[::1]:3000/x", "http://[::1]:3000", b"/x"),
    ],
)
def test_place_of_absolute_target(target: bytes, origin: str, path: bytes):
    place, rest = Places((443, 8443)).of_target(target, b"GET")
    assert (str(place.origin), rest) == (origin, path)
    assert place.key.server_name == (place.origin.host if place.origin.scheme == "https" else "")


def test_place_remembered_for_the_next_request():
    places = Places(())
    assert places.of_target(b"http://a.test/x", b"GET")[0] is places.of_target(b"http://a.test/y", b"GET")[0]


@pytest.mark.parametrize(
    ("target", "host", "rest"),
    [
        (b"http://a.tests", "a.tests", b"/"),
        (b"http://a.test", "a.test", b"/"),
        (b"http://a.test?q=/x", "a.test", b"/?q=/x"),
        (b"http://a.test/x#y", "a.test", b"/x"),
        (b"HTTP://A.test/x", "a.test", b"/x"),
    ],
)
def test_known_place_is_told_from_others(target: bytes, host: str, rest: bytes):
    places = Places(())
    places.of_target(b"http://a.test/x", b"GET")
    place, path = places.of_target(target, b"GET")
    assert (place.origin.host, path) == (host, rest)


@pytest.mark.parametrize(
    "target", [b"", b"a.test:80", b"ftp://a.test/", b"http://", b"http://a:b/", b"http://[::1/"]
)
def test_place_of_no_target_refused(target: bytes):
    with pytest.raises(BadMessage):
        Places(()).of_target(target, b"GET")


@pytest.mark.parametrize(
    ("authority", "parts"),
    [(b"A.test:80", ("a.test", 80)), (b"[::1]:443", ("::1", 443)), (b"1.2.3.4:1", ("1.2.3.4", 1))],
)
def test_authority_read(authority: bytes, parts: tuple[str, int]):
    assert parse_authority(authority) == parts


@pytest.mark.parametrize(
    "authority", [b"a.test", b"a.test:", b"a.test:0", b"a.test:65536", b":80", b"::1:80", b"a b:1"]
)
def test_authority_without_host_or_port_refused(authority: bytes):
    with pytest.raises(BadMessage):
        parse_authority(authority)

import pytest

from fastci.lifecycle.probe import address_of, is_loopback


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://app-test:3000", ("app-test", 3000)),
        ("http://app-test", ("app-test", 80)),
        ("https://app.example/x", ("app.example", 443)),
        ("http://[::1]:8080", ("::1", 8080)),
        ("", ("", 80)),
    ],
)
def test_address_of_url_has_the_port_of_its_scheme(url, address):
    assert address_of(url) == address


def test_loopback_is_every_name_of_this_machine():
    assert all(is_loopback(host) for host in ("localhost", "app.localhost", "127.0.0.1", "127.1.2.3", "::1"))
    assert not any(is_loopback(host) for host in ("app", "10.0.0.1", "localhost.example", "1270.example"))

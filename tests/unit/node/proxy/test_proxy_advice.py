import pytest

from fastci.node.proxy.advice import Traffic, advise


def traffic(**facts) -> Traffic:
    given = {
        "baselines": 0,
        "requests": 5,
        "silent": 0,
        "seen": {},
        "clients": {},
        "allowed_hosts": "shop.test",
    }
    return Traffic(**{**given, **facts})


def test_advice_nothing_came_names_the_proxy_and_the_tools_that_need_more():
    first, second = advise(traffic(requests=0, silent=2))
    assert first.startswith("no request came to the node (2 connections said nothing)")
    assert "HTTP_PROXY" in first
    for word in ("NODE_USE_ENV_PROXY", "JAVA_TOOL_OPTIONS", "<-loopback>", "Go and Ruby"):
        assert word in second


@pytest.mark.parametrize(
    ("agent", "mend"),
    [
        ("curl/7.88.1", "CURL_CA_BUNDLE"),
        ("python-requests/2.31", "REQUESTS_CA_BUNDLE"),
        ("Java/17.0.15", "javax.net.ssl.trustStore"),
        ("Go-http-client/1.1", "set SSL_CERT_FILE"),
        ("Mozilla/5.0 (X11) HeadlessChrome/120", "acceptInsecureCerts"),
        ("Mozilla/5.0 Gecko/20100101 Firefox/115", "acceptInsecureCerts"),
        ("node", "NODE_EXTRA_CA_CERTS"),
        ("", "proxy.sh"),
    ],
)
def test_advice_refused_certificate_mended_for_the_client_that_refused_it(agent: str, mend: str):
    (line,) = advise(traffic(seen={("tls-rejected", "shop.test"): 3}, clients={"shop.test": agent}))
    assert line.startswith(f"3 TLS connections to shop.test broken off by {agent or 'a client'}, ")
    assert mend in line.partition(": ")[2]


@pytest.mark.parametrize(
    ("kind", "host", "mend"),
    [
        ("filtered", "app", "add app"),
        ("tls-to-proxy", "", "http:// for HTTPS targets"),
        ("http2", "app", "gRPC is not recorded"),
        ("untouched", "app", "take app out"),
        ("tunnel", "app", "HTTP/1.1"),
        ("bad-request", "", "as the proxy of the tests"),
        ("unauthorized", "", "http://name:password@host:port"),
        ("upstream-failed", "app", "FAST_NETWORK"),
        ("address-refused", "169.254.1.1", "FAST_LINK_LOCAL=true"),
    ],
)
def test_advice_each_cause_that_was_seen_is_one_line_with_its_mend(kind: str, host: str, mend: str):
    (line,) = advise(traffic(seen={(kind, host): 1}))
    assert mend in line.partition(": ")[2]
    assert line.startswith("1 ")
    assert "\n" not in line


def test_advice_says_nothing_about_what_is_usual_beside_many_baselines():
    seen = {
        ("filtered", "cdn.test"): 40,
        ("tunnel", "push.test"): 2,
        ("bad-request", ""): 1,
        ("upgrade", "a"): 1,
        ("http2", "grpc.test"): 20,
    }
    assert advise(traffic(baselines=50, seen=seen)) == []
    assert len(advise(traffic(baselines=30, seen=seen))) == 1
    assert len(advise(traffic(baselines=50, seen={("tls-rejected", "a"): 1}))) == 1

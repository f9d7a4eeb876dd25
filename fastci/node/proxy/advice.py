"""Why little or nothing was recorded, judged by what the node saw, and the one line that mends it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_TRUST = (
    (
        r"python|requests|urllib3|aiohttp",
        "set REQUESTS_CA_BUNDLE (requests) or SSL_CERT_FILE (httpx, aiohttp)",
    ),
    (r"curl", "set CURL_CA_BUNDLE, or give curl --cacert"),
    (r"node|undici|axios|got", "set NODE_EXTRA_CA_CERTS before node starts: it is read only then"),
    (r"java|okhttp|apache-http", "start Java with -Djavax.net.ssl.trustStore, in JAVA_TOOL_OPTIONS"),
    (r"go-http-client", "set SSL_CERT_FILE"),
    (r"ruby|faraday", "set SSL_CERT_FILE"),
    (
        r"chrom|edg/",
        "accept insecure certificates in the browser's options (acceptInsecureCerts, ignoreHTTPSErrors)",
    ),
    (r"firefox|gecko", "set acceptInsecureCerts; Firefox does not read the system's authorities"),
)
_ANY_TRUST = (
    "source proxy.sh of the workspace before it starts, or give it the CA certificate by its own option"
)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What came to the node.

    `requests` counts requests to targets and tunnels, `silent` connections that said nothing; `clients` has,
    by host, what those call themselves who refused the certificate for it.
    """

    baselines: int
    requests: int
    silent: int
    seen: Mapping[tuple[str, str], int]
    clients: Mapping[str, str]
    allowed_hosts: str


def advise(traffic: Traffic) -> list[str]:
    """One line for each cause that was seen, what mends it behind the colon; the gravest first."""
    return [line for kind in _CAUSES for line in kind(traffic)]


def _nothing_came(traffic: Traffic) -> Iterator[str]:
    if traffic.requests or any(kind == "tls-to-proxy" for kind, _ in traffic.seen):
        return
    silent = f" ({_times(traffic.silent, 'connection')} said nothing)" if traffic.silent else ""
    yield (
        f"no request came to the node{silent}, so the tests do not use it as their proxy: give their process "
        "HTTP_PROXY and HTTPS_PROXY (source proxy.sh of the workspace), and keep the target out of NO_PROXY"
    )
    yield (
        "some tools need more than HTTP_PROXY: Node NODE_USE_ENV_PROXY=1 or NODE_OPTIONS of proxy.sh; "
        "Java the "
        "options in JAVA_TOOL_OPTIONS; Chrome --proxy-server and --proxy-bypass-list=<-loopback>; Go "
        "and Ruby "
        "never send localhost through a proxy, so name the target by this machine's host name there"
    )


def _refused(traffic: Traffic) -> Iterator[str]:
    for host, count in _of(traffic, "tls-rejected"):
        agent = traffic.clients.get(host, "")
        mend = next((mend for who, mend in _TRUST if agent and re.search(who, agent, re.I)), _ANY_TRUST)
        yield (
            f"{_times(count, 'TLS connection')} to {host} broken off by {agent[:80] or 'a client'}, which "
            "does not "
            f"trust the certificate of the node: {mend}"
        )


def _wrong_scheme(traffic: Traffic) -> Iterator[str]:
    for _, count in _of(traffic, "tls-to-proxy"):
        yield (
            f"{_times(count, 'client')} spoke TLS to the proxy's own port: the address of the proxy begins "
            "with "
            "http:// for HTTPS targets too (HTTPS_PROXY=http://...)"
        )


def _left_out(traffic: Traffic) -> Iterator[str]:
    for host, count in _of(traffic, "filtered"):
        yield (
            f"{_times(count, 'request')} to {host} passed without being recorded, as ALLOWED_HOSTS="
            f"{traffic.allowed_hosts} does not cover it: add {host} if it belongs to the target"
        )


def _not_readable(traffic: Traffic) -> Iterator[str]:
    for host, count in _of(traffic, "tunnel"):
        yield (
            f"{_times(count, 'connection')} to {host} passed as a tunnel, unread: HTTP/2 alone, gRPC and "
            "hosts of "
            "FAST_TUNNEL_HOSTS are not recorded; let the client speak HTTP/1.1 if it can"
        )


def _not_asked_as_a_proxy(traffic: Traffic) -> Iterator[str]:
    for _, count in _of(traffic, "bad-request"):
        yield (
            f"{_times(count, 'request')} made no sense to a proxy, like one for a page of the node itself: "
            "set the "
            "node as the proxy of the tests, not as the address of the target"
        )


def _not_let_in(traffic: Traffic) -> Iterator[str]:
    for _, count in _of(traffic, "unauthorized"):
        yield (
            f"{_times(count, 'request')} without the credentials of FAST_PROXY_AUTH: put them into the "
            "proxy's "
            "address, http://name:password@host:port"
        )


def _not_reached(traffic: Traffic) -> Iterator[str]:
    for host, count in _of(traffic, "upstream-failed"):
        yield (
            f"{_times(count, 'request')} to {host} got no answer from there: see that it is up and that the "
            "node "
            "reaches it (in a container: FAST_NETWORK, and a name that is known there instead of localhost)"
        )
    for host, count in _of(traffic, "address-refused"):
        yield (
            f"{_times(count, 'request')} to {host} refused, where clouds keep their metadata: "
            "FAST_LINK_LOCAL=true "
            "allows it"
        )


_USUAL = frozenset(("filtered", "tunnel", "bad-request"))
_CAUSES = (
    _nothing_came, _refused, _wrong_scheme, _left_out, _not_let_in, _not_reached, _not_asked_as_a_proxy,
    _not_readable,
)  # fmt: skip


def _of(traffic: Traffic, kind: str) -> list[tuple[str, int]]:
    """Host and count of what was seen of this kind, the most first.

    What is usual beside a target is left out while it is less than what was recorded.
    """
    least = traffic.baselines if kind in _USUAL else 0
    found = [(host, count) for (one, host), count in traffic.seen.items() if one == kind and count > least]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:5]


def _times(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"

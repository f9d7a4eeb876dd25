"""Why little or nothing was recorded, judged by what the node saw, and the one line that mends it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


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


@dataclass(frozen=True, kw_only=True)
class _Cause:
    """One line for what was counted as `kind`: what was found, and behind the colon what mends it.

    Both know {host}, {allowed}, {agent} and {trust}. `usual` is what comes beside every target: it is told
    where there was more of it than was recorded.
    """

    kind: str
    what: str
    found: str
    mend: str
    usual: bool = False


_NOTHING_CAME = (
    "no request came to the node{silent}, so the tests do not use it as their proxy: give their process "
    "HTTP_PROXY and HTTPS_PROXY (source proxy.sh of the workspace), and keep the target out of NO_PROXY",
    "some tools need more than HTTP_PROXY: Node NODE_USE_ENV_PROXY=1 or NODE_OPTIONS of proxy.sh; Java the "
    "options in JAVA_TOOL_OPTIONS; Chrome --proxy-server and --proxy-bypass-list=<-loopback>; Go and Ruby "
    "never send localhost through a proxy, so name the target by this machine's host name there",
)
_CAUSES = (
    _Cause(
        kind="tls-rejected",
        what="TLS connection",
        found="to {host} broken off by {agent}, which does not trust the certificate of the node",
        mend="{trust}",
    ),
    _Cause(
        kind="tls-to-proxy",
        what="client",
        found="spoke TLS to the proxy's own port",
        mend="the address of the proxy begins with http:// for HTTPS targets too (HTTPS_PROXY=http://...)",
    ),
    _Cause(
        kind="filtered",
        what="request",
        found="to {host} passed without being recorded, as ALLOWED_HOSTS={allowed} does not cover it",
        mend="add {host} if it belongs to the target",
        usual=True,
    ),
    _Cause(
        kind="unauthorized",
        what="request",
        found="without the credentials of FAST_PROXY_AUTH",
        mend="put them into the proxy's address, http://name:password@host:port",
    ),
    _Cause(
        kind="upstream-failed",
        what="request",
        found="to {host} got no answer from there",
        mend="see that it is up and that the node reaches it (in a container: FAST_NETWORK, and a name that "
        "is known there instead of localhost)",
    ),
    _Cause(
        kind="address-refused",
        what="request",
        found="to {host} refused, where clouds keep their metadata",
        mend="FAST_LINK_LOCAL=true allows it",
    ),
    _Cause(
        kind="bad-request",
        what="request",
        found="made no sense to a proxy, like one for a page of the node itself",
        mend="set the node as the proxy of the tests, not as the address of the target",
        usual=True,
    ),
    _Cause(
        kind="http2",
        what="connection",
        found="to {host} passed unread, as the client offered HTTP/2 alone (so does gRPC)",
        mend="let the client speak HTTP/1.1 if it can; gRPC is not recorded",
        usual=True,
    ),
    _Cause(
        kind="untouched",
        what="connection",
        found="to {host} passed unread, as FAST_TUNNEL_HOSTS asks",
        mend="take {host} out of it if it belongs to the target",
        usual=True,
    ),
    _Cause(
        kind="tunnel",
        what="connection",
        found="to {host} passed unread, being neither HTTP/1.1 nor TLS that could be intercepted",
        mend="let the client speak HTTP/1.1 if it can",
        usual=True,
    ),
)
_PYTHON = "set REQUESTS_CA_BUNDLE (requests) or SSL_CERT_FILE (httpx, aiohttp)"
_BROWSER = "accept insecure certificates in the browser's options (acceptInsecureCerts, ignoreHTTPSErrors)"
_TRUST = (
    (r"python|requests|urllib3|aiohttp", _PYTHON),
    (r"curl", "set CURL_CA_BUNDLE, or give curl --cacert"),
    (r"node|undici|axios|got", "set NODE_EXTRA_CA_CERTS before node starts: it is read only then"),
    (r"java|okhttp|apache-http", "start Java with -Djavax.net.ssl.trustStore, in JAVA_TOOL_OPTIONS"),
    (r"go-http-client", "set SSL_CERT_FILE"),
    (r"ruby|faraday", "set SSL_CERT_FILE"),
    (r"chrom|edg/", _BROWSER),
    (r"firefox|gecko", "set acceptInsecureCerts; Firefox does not read the system's authorities"),
    (
        r"",
        "source proxy.sh of the workspace before it starts, or give it the CA certificate by its own option",
    ),
)
"""What makes a client trust the node's authority, by what it calls itself."""


def advise(traffic: Traffic) -> list[str]:
    """One line for each cause that was seen, what mends it behind the colon; the gravest first."""
    return [*_nothing_came(traffic), *(line for cause in _CAUSES for line in _lines(cause, traffic))]


def _nothing_came(traffic: Traffic) -> list[str]:
    if traffic.requests or any(kind == "tls-to-proxy" for kind, _ in traffic.seen):
        return []
    silent = f" ({_times(traffic.silent, 'connection')} said nothing)" if traffic.silent else ""
    return [_NOTHING_CAME[0].format(silent=silent), *_NOTHING_CAME[1:]]


def _lines(cause: _Cause, traffic: Traffic) -> Iterator[str]:
    """A line for each host, the most first."""
    least = traffic.baselines if cause.usual else 0
    counted = [(host, n) for (kind, host), n in traffic.seen.items() if kind == cause.kind and n > least]
    for host, count in sorted(counted, key=lambda pair: (-pair[1], pair[0]))[:5]:
        agent = traffic.clients.get(host, "")
        words = {
            "host": host,
            "allowed": traffic.allowed_hosts,
            "agent": agent[:80] or "a client",
            "trust": next(mend for who, mend in _TRUST if re.search(who, agent, re.I)),
        }
        found = cause.found.format_map(words)
        yield f"{_times(count, cause.what)} {found}: {cause.mend.format_map(words)}"


def _times(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"

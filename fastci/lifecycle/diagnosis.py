"""What is wrong between the test tool, the recorder and the target, and the line that mends it."""

import base64
import http.client
import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fastci.lifecycle.probe import address_of, is_loopback
from fastci.lifecycle.surroundings import covers

_TIMEOUT = 15.0
_ERROR = "FAST proxy: "
_KINDS = ("canary", "canary-filtered", "filtered")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: what it was, whether it is in order, and if not what mends it."""

    name: str
    fine: bool
    found: str
    mend: str = ""


def check_node(proxy_url: str) -> tuple[Check, dict[str, Any]]:
    """Whether a recorder answers there, and what it says about itself."""
    try:
        status, body = _ask(_connection(proxy_url), "/health", {})
        facts: dict[str, Any] = json.loads(body) if status == 200 else {}
    except (OSError, ValueError, http.client.HTTPException) as error:
        facts, body = {}, str(error).encode()
    if facts.get("status") != "recording":
        why = body.decode("utf-8", "replace")[:100].strip()
        mend = "start one: fastci record, from the same folder, and source the proxy.sh that it names"
        return Check(name="recorder", fine=False, found=f"none answers at {proxy_url}: {why}", mend=mend), {}
    count = facts["baselines"]
    found = f"{proxy_url} records {facts['record']}, {count} baseline{'' if count == 1 else 's'} so far"
    return Check(name="recorder", fine=True, found=found), facts


def send_canary(proxy_url: str, target: str, ca_file: Path | None) -> Iterator[Check]:
    """Send a request of our own through the recorder to the target; it is not recorded."""
    parts = urlsplit(target)
    host, port = address_of(target)
    before = _canaries(proxy_url, host)
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
            connection: http.client.HTTPConnection = _Tunneled(proxy_url, host, port, context)
            path = parts.path or "/"
        else:
            connection, path = _connection(proxy_url), target if parts.path else target + "/"
        status, body = _ask(
            connection, path, {**_credentials(proxy_url), "Host": parts.netloc, "X-Fast-Canary": "1"}
        )
    except ssl.SSLError as error:
        if _canaries(proxy_url, host)["filtered"] > before["filtered"]:
            yield _not_covered(host)
            return
        mend = f"trust the recorder's authority: {ca_file or 'http://fast.node/ca.pem'}"
        yield Check(
            name="canary", fine=False, found=f"TLS inside the tunnel failed: {error.reason}", mend=mend
        )
        return
    except (OSError, http.client.HTTPException) as error:
        mend = "see that the target is up, and that the recorder reaches it (FAST_NETWORK for a container)"
        yield Check(
            name="canary", fine=False, found=f"no way through the recorder to {target}: {error}", mend=mend
        )
        return
    said = body.decode("utf-8", "replace")
    if said.startswith(_ERROR):
        yield Check(
            name="canary", fine=False, found=said.removeprefix(_ERROR).strip(), mend=_mend_for(status, host)
        )
        return
    yield Check(name="canary", fine=True, found=f"{target} answers with status {status} through the recorder")
    after = _canaries(proxy_url, host)
    if after["canary-filtered"] > before["canary-filtered"]:
        yield _not_covered(host)
    elif after["canary"] > before["canary"]:
        yield Check(name="ALLOWED_HOSTS", fine=True, found=f"covers {host}")


def _not_covered(host: str) -> Check:
    mend = f"record it: ALLOWED_HOSTS={host}"
    return Check(name="ALLOWED_HOSTS", fine=False, found=f"does not cover {host}", mend=mend)


def _mend_for(status: int, host: str) -> str:
    if status == 407:
        return "put name and password into the proxy's address: http://name:password@host:port"
    if status == 403:
        return "FAST_LINK_LOCAL=true lets the recorder reach such addresses"
    if is_loopback(host):
        return "localhost in a container is the container itself: FAST_NETWORK=host, or its container's name"
    return "start the target, or name the Docker network that knows its name in FAST_NETWORK"


def check_environment(environ: Mapping[str, str], proxy_url: str, target: str) -> Iterator[Check]:
    """The variables that the tools of the tests read, as they are in this shell."""
    secure = target.startswith("https:")
    name = "HTTPS_PROXY" if secure else "HTTP_PROXY"
    value = environ.get(name.lower()) or environ.get(name) or ""
    mend = "source proxy.sh of the workspace in the shell that runs the tests"
    if address_of(value) == address_of(proxy_url):
        yield Check(name=name, fine=True, found=value.rpartition("@")[2])
    else:
        found = f"is {value.rpartition('@')[2]}, not the recorder" if value else "is not set here"
        yield Check(name=name, fine=False, found=found, mend=mend)
    host = address_of(target)[0]
    bypass = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    covering = [word for word in re.split(r"[\s,]+", bypass) if word and host and covers(word, host)]
    if covering:
        found = f"covers {host} by {', '.join(covering)}, so tools go past the recorder"
        yield Check(
            name="NO_PROXY",
            fine=False,
            found=found,
            mend=f"take {', '.join(covering)} out of it for the tests",
        )
    else:
        yield Check(name="NO_PROXY", fine=True, found=f"does not cover {host or 'the target'}")
    if secure:
        yield from _check_trust(environ, mend)


def _check_trust(environ: Mapping[str, str], mend: str) -> Iterator[Check]:
    readers = {
        "REQUESTS_CA_BUNDLE": "Python requests, which trusts certifi otherwise",
        "SSL_CERT_FILE": "httpx, aiohttp, Go, Ruby, .NET",
        "CURL_CA_BUNDLE": "curl",
        "NODE_EXTRA_CA_CERTS": "Node, which reads it only when it starts",
    }
    for name, reader in readers.items():
        value = environ.get(name, "")
        there = bool(value) and Path(value).is_file()
        found = value if there else f"{'names no file' if value else 'is not set here'}; read by {reader}"
        yield Check(name=name, fine=there, found=found, mend="" if there else mend)
    java = "javax.net.ssl.trustStore" in environ.get("JAVA_TOOL_OPTIONS", "")
    found = "has a trust store for Java" if java else "has no trust store; Java does not read the system's"
    yield Check(name="JAVA_TOOL_OPTIONS", fine=java, found=found, mend="" if java else mend)


def check_tools(environ: Mapping[str, str], target: str) -> Iterator[Check]:
    """Tools that need more than the usual variables, of those that are there."""
    if node := shutil.which("node", path=environ.get("PATH")):
        version = _version_of(node)
        heeds = version >= (24, 5) or (22, 21) <= version < (23, 0)
        told = (
            environ.get("NODE_USE_ENV_PROXY") == "1"
            if heeds
            else "node_proxy.cjs" in environ.get("NODE_OPTIONS", "")
        )
        variable = "NODE_USE_ENV_PROXY=1" if heeds else "NODE_OPTIONS with node_proxy.cjs"
        found = f"{'.'.join(map(str, version))} is {'' if told else 'not '}told to use proxies ({variable})"
        mend = "" if told else "source proxy.sh of the workspace: fetch ignores HTTP_PROXY otherwise"
        yield Check(name="node", fine=told, found=found, mend=mend)
    if not is_loopback(address_of(target)[0]):
        return
    if any(
        shutil.which(name, path=environ.get("PATH"))
        for name in ("chromium", "google-chrome", "chromium-browser")
    ):
        found = "keeps loopback addresses from every proxy unless told not to"
        yield Check(
            name="Chrome", fine=True, found=f"{found}: --proxy-bypass-list=<-loopback>, in FAST_BROWSER_ARGS"
        )
    for name in ("go", "ruby"):
        if shutil.which(name, path=environ.get("PATH")):
            found = (
                "never sends loopback addresses through a proxy: name the target by this machine's host name"
            )
            yield Check(name=name, fine=True, found=found)


def _version_of(node: str) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [node, "-p", "process.versions.node"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=True,
        )
        return tuple(int(part) for part in done.stdout.strip().split(".")[:2])
    except (OSError, ValueError, subprocess.SubprocessError):
        return (0, 0)


def advice_of(facts: Mapping[str, Any]) -> Sequence[str]:
    """What the recorder itself says about requests that it saw and did not record."""
    advice = facts.get("advice")
    return [str(line) for line in advice] if isinstance(advice, list) else []


class _Tunneled(http.client.HTTPSConnection):
    """HTTPS through the recorder."""

    def __init__(self, proxy_url: str, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(*address_of(proxy_url), timeout=_TIMEOUT, context=context)
        self.set_tunnel(host, port, headers={**_credentials(proxy_url), "User-Agent": "fastci doctor"})


def _connection(proxy_url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*address_of(proxy_url), timeout=_TIMEOUT)


def _credentials(proxy_url: str) -> dict[str, str]:
    parts = urlsplit(proxy_url)
    if not parts.username:
        return {}
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(words.encode()).decode()}


def _ask(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    try:
        connection.request("GET", path, headers={**headers, "Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read(1 << 20)
    finally:
        connection.close()


def _canaries(proxy_url: str, host: str) -> dict[str, int]:
    _, facts = check_node(proxy_url)
    seen = [entry for entry in facts.get("seen", []) if entry[1] == host]
    return {kind: sum(count for one, _, count in seen if one == kind) for kind in _KINDS}

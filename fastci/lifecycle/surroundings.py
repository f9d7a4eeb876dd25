"""The environment of the test command: what makes its tools speak through the node, and trust it."""

import ipaddress
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from fastci.lifecycle.probe import address_of, is_loopback
from fastci.lifecycle.workspace import Workspace

_TRUST_PASSWORD = "changeit"
"""Java's own default. The store holds public certificates only."""
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def proxy_environment(
    proxy_url: str,
    *,
    environ: Mapping[str, str],
    targets: Sequence[str],
    workspace: Workspace,
    ca: bytes | None,
) -> dict[str, str]:
    """The variables to add for the test command.

    `targets` are hosts that must not go past the proxy; `ca` the node's authority, written to the workspace
    with the files made of it. Without one (an image that keeps it to itself) only the proxy is set.
    """
    host, port = address_of(proxy_url)
    workspace.node_hook.write_bytes((files("fastci.lifecycle") / workspace.node_hook.name).read_bytes())
    bypass = ",".join(_bypass(environ, targets))
    added = {"FAST_PROXY": proxy_url, "NO_PROXY": bypass, "no_proxy": bypass, "NODE_USE_ENV_PROXY": "1"}
    # Newer versions of Node heed the variable, older ones need the file.
    hook = f'--require="{workspace.node_hook}"'
    before = environ.get("NODE_OPTIONS", "").replace(hook, "").strip()
    added["NODE_OPTIONS"] = f"{before} {hook}".strip()
    added["PYTHONPATH"] = _lay_plugin(environ.get("PYTHONPATH", ""), workspace.pytest_folder)
    # Chrome and its kin keep loopback addresses from every proxy unless told not to.
    added["FAST_BROWSER_ARGS"] = f"--proxy-server={proxy_url} --proxy-bypass-list=<-loopback>"
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        added[name] = added[name.lower()] = proxy_url
    java = [
        f"-D{scheme}.proxy{part}" for scheme in ("http", "https") for part in (f"Host={host}", f"Port={port}")
    ]
    beside = ["*" + word if word.startswith(".") else word for word in _bypass(environ, targets)]
    java.append(f"-Dhttp.nonProxyHosts={'|'.join(beside)}")
    if ca is not None:
        added |= _trust(ca, environ, workspace)
        java.append(f"-Djavax.net.ssl.trustStore={workspace.trust_store}")
        java.append(f"-Djavax.net.ssl.trustStorePassword={_TRUST_PASSWORD}")
        java.append("-Djavax.net.ssl.trustStoreType=PKCS12")
    if not any(" " in word for word in java):
        added["JAVA_TOOL_OPTIONS"] = " ".join(filter(None, [environ.get("JAVA_TOOL_OPTIONS", ""), *java]))
    return added


def _lay_plugin(path: str, folder: Path) -> str:
    """Put the plugin where any pytest finds it by itself, and nothing else of ours; the new PYTHONPATH.

    As an installed distribution of that name, so that a pytest in an environment with fastci has it once.
    """
    about = folder / "fast_pytest-1.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (folder / "fast_pytest.py").write_bytes((files("fastci") / "pytest_plugin.py").read_bytes())
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fast-pytest\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[pytest11]\nfastci = fast_pytest\n")
    others = [entry for entry in path.split(os.pathsep) if entry != str(folder)] if path else []
    return os.pathsep.join([str(folder), *others])


def with_credentials(proxy_url: str, name_and_password: str) -> str:
    """The address of a proxy that asks for a name and a password, as clients want to be told it."""
    if not name_and_password:
        return proxy_url
    name, _, password = name_and_password.partition(":")
    scheme, _, rest = proxy_url.partition("://")
    return f"{scheme}://{quote(name, safe='')}:{quote(password, safe='')}@{rest}"


def _bypass(environ: Mapping[str, str], targets: Sequence[str]) -> list[str]:
    """What goes past the proxy: what did so before, less what covers a target; and this machine itself.

    Where no target is known, all of this machine goes through the node: it is where targets most often are.
    """
    before = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    kept = [word.strip() for word in before.replace(" ", ",").split(",") if word.strip()]
    local = not targets or any(is_loopback(host) for host in targets)
    if local:
        kept = [word for word in kept if not is_loopback(_name_in(word))]
    else:
        kept += [word for word in _LOOPBACK if word not in kept]
    return [word for word in kept if not any(covers(word, host) for host in targets)]


def _name_in(entry: str) -> str:
    """An entry of NO_PROXY without leading stars and dots, and without a port."""
    name = entry.lower().lstrip("*").lstrip(".")
    return name.partition(":")[0] if name.count(":") == 1 else name


def covers(entry: str, host: str) -> bool:
    """Whether one entry of NO_PROXY keeps this host from the proxy, as any of the known tools reads it."""
    name = _name_in(entry)
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
    return not name or host.lower() == name or host.lower().endswith("." + name)


def _trust(ca: bytes, environ: Mapping[str, str], workspace: Workspace) -> dict[str, str]:
    # These variables replace the list of authorities that a tool trusts, so the usual ones must be in it too.
    usual = _usual_authorities(environ)
    workspace.ca_file.write_bytes(ca)
    workspace.bundle_file.write_bytes(usual.rstrip() + b"\n" + ca)
    workspace.trust_store.write_bytes(_java_store(usual + b"\n" + ca))
    bundle = str(workspace.bundle_file)
    added = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), bundle)
    # Node adds this file to its own list; whatever was in it before must stay.
    added["NODE_EXTRA_CA_CERTS"] = bundle if environ.get("NODE_EXTRA_CA_CERTS") else str(workspace.ca_file)
    added["FAST_CA_FILE"] = str(workspace.ca_file)
    return added


def _usual_authorities(environ: Mapping[str, str]) -> bytes:
    """What the job trusts without us, PEM: what its variables name, else what Python's tools bring along."""
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        value = environ.get(name, "")
        if value and Path(value).is_file():
            return Path(value).read_bytes()
    return Path(certifi.where()).read_bytes()


def _java_store(pem: bytes) -> bytes:
    """A PKCS#12 trust store as Java 9 and newer reads it. What cannot be parsed is left out."""
    entries = []
    with warnings.catch_warnings(action="ignore"):
        for number, block in enumerate(_CERTIFICATE.findall(pem)):
            with suppress(ValueError):
                authority = x509.load_pem_x509_certificate(block)
                entries.append(pkcs12.PKCS12Certificate(authority, f"authority-{number}".encode()))
    return pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(_TRUST_PASSWORD.encode()))

"""Questions over the network that the CI side asks before a test runs: is the node up, is the target."""

import http.client
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

_NODE_TIMEOUT = 1.0
_TARGET_TIMEOUT = 5.0
_PAGE_TIMEOUT = 20.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back from the target. `fault` is empty when it is reachable; `status` is 0 where unknown."""

    fault: str = ""
    status: int = 0


def is_healthy(proxy_url: str) -> bool:
    """Whether the node behind this address says so: status 200 for /health."""
    try:
        return _get(proxy_url, "/health", _NODE_TIMEOUT)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def fetch_ca(proxy_url: str) -> bytes | None:
    """The certificate of the node's authority, PEM; None from a node that does not hand it out."""
    try:
        status, body = _get(proxy_url, "/ca.pem", _TARGET_TIMEOUT)
    except (OSError, http.client.HTTPException):
        return None
    return body if status == 200 and b"BEGIN CERTIFICATE" in body else None


def connect(host: str, port: int) -> str:
    """Open and close a connection; empty when that works, else the reason."""
    try:
        socket.create_connection((host, port), timeout=_TARGET_TIMEOUT).close()
    except OSError as error:
        return _reason(error)
    return ""


def ask_target(url: str) -> Answer:
    """Connect to the target and ask for the URL once."""
    host, port = address_of(url)
    fault = connect(host, port)
    if fault:
        return Answer(fault=fault)
    try:
        return Answer(status=_get(url, urlsplit(url).path or "/", _PAGE_TIMEOUT)[0])
    except TimeoutError:
        return Answer(fault=f"it accepts connections, but gives no answer within {_PAGE_TIMEOUT:g} s")
    except ssl.SSLError as error:
        return Answer(fault=f"no TLS is spoken there: {error.reason}")
    except (OSError, http.client.HTTPException) as error:
        return Answer(fault=f"no HTTP is spoken there: {_reason(error)}")


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def is_loopback(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost") or host.startswith("127.") or host == "::1"


def resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def is_free(port: int) -> bool:
    """Whether this machine's loopback port can be listened on."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _get(url: str, path: str, timeout: float) -> tuple[int, bytes]:
    host, port = address_of(url)
    connection: http.client.HTTPConnection
    if url.startswith("https:"):
        # Only whether somebody answers is asked; what the certificate says is the tests' affair.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read(1 << 20)
    finally:
        connection.close()


def _reason(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(error, TimeoutError):
        return f"no answer within {_TARGET_TIMEOUT:g} s"
    text = error.strerror if isinstance(error, OSError) else ""
    return text or str(error) or type(error).__name__

"""What calls back, and an outside server: real sockets, and interactsh's protocol spoken from its side."""

import base64
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from dnslib import DNSRecord


def look_up(
    name: str, port: int, *, tcp: bool = False, kind: str = "A", server: str = "127.0.0.1"
) -> DNSRecord:
    """Ask a name server of this machine."""
    question = DNSRecord.question(name, kind)
    return DNSRecord.parse(question.send(server, port, tcp=tcp, timeout=5))


def say(address: tuple[str, int], data: bytes) -> bytes:
    """Send bytes over a connection and read what comes until its end."""
    with socket.create_connection(address, 5) as connection:
        connection.sendall(data)
        answer = b""
        while more := connection.recv(4096):
            answer += more
        return answer


def ldap_search(address: tuple[str, int], entry: str) -> bytes:
    """Bind anonymously, then search for an entry; gives the answer to the bind."""
    name = entry.encode()
    with socket.create_connection(address, 5) as connection:
        connection.sendall(bytes.fromhex("300c020101600702010304008000"))
        granted = connection.recv(4096)
        body = b"\x02\x01\x02\x63" + bytes([len(name) + 2]) + b"\x04" + bytes([len(name)]) + name
        connection.sendall(b"\x30" + bytes([len(body)]) + body)
        return granted


@dataclass
class Sealed:
    """A registration at the server: the key that answers are sealed for, and what waits to be fetched."""

    key: object
    secret: str
    waiting: list[dict[str, str]] = field(default_factory=list)


class Outside:
    """A server of interactsh's kind, as far as a client sees it. `mode` is how AES is used."""

    def __init__(self, url: str, token: str, mode: type) -> None:
        self.url = url
        self.token = token
        self.mode = mode
        self.registered: dict[str, Sealed] = {}
        self.gone: list[str] = []
        self.polls = 0

    def meet(self, name: str, protocol: str = "dns", source: str = "203.0.113.9") -> None:
        """Somebody looked up or fetched a name."""
        label = name.split(".")[0].lower()
        raw = f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n" if protocol == "http" else f";{name}. IN A"
        seen = {
            "protocol": protocol, "unique-id": label, "full-id": name.split(".")[0], "q-type": "A",
            "raw-request": raw,
            "raw-response": "", "remote-address": source, "timestamp": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        owner = self.registered.get(label[:20])
        if owner is not None:
            owner.waiting.append(seen)

    def seal(self, owner: Sealed) -> dict[str, object]:
        if not owner.waiting:
            return {"data": [], "extra": None, "aes_key": ""}
        key = os.urandom(32)
        sealed = []
        for seen in owner.waiting:
            vector = os.urandom(16)
            cipher = Cipher(algorithms.AES(key), self.mode(vector)).encryptor()
            sealed.append(base64.b64encode(vector + cipher.update(json.dumps(seen).encode())).decode())
        owner.waiting = []
        oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
        return {
            "data": sealed,
            "extra": None,
            "aes_key": base64.b64encode(owner.key.encrypt(key, oaep)).decode(),
        }


@contextmanager
def outside_server(token: str = "", mode: type = modes.CTR) -> Iterator[Outside]:
    """Run the server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def _tell(self, what: object, status: int = 200) -> None:
            data = json.dumps(what).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _refused(self) -> bool:
            if self.headers.get("Authorization", "") != outside.token:
                self._tell({"error": "unauthorized"}, 401)
                return True
            return False

        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self._refused():
                return
            word = told["correlation-id"]
            if self.path == "/register":
                pem = base64.b64decode(told["public-key"])
                outside.registered[word] = Sealed(serialization.load_pem_public_key(pem), told["secret-key"])
                self._tell({"message": "registration successful"})
            elif outside.registered[word].secret == told["secret-key"]:
                outside.gone.append(word)
                self._tell({"message": "deregistration successful"})

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            owner = outside.registered[query["id"][0]]
            if self._refused():
                return
            if owner.secret != query["secret"][0]:
                self._tell({"error": "invalid secret key passed for user"}, 400)
                return
            outside.polls += 1
            self._tell(outside.seal(owner))

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    outside = Outside(f"http://127.0.0.1:{server.server_address[1]}", token, mode)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield outside
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

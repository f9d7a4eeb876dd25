"""Passwords as salted scrypt hashes, ``salt$hash`` in hexadecimal."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def hash_password(password: str) -> str:
    return _hash(password, secrets.token_hex(16))


def check_password(password: str, stored: str) -> bool:
    salt = stored.partition("$")[0]
    return hmac.compare_digest(_hash(password, salt).encode(), stored.encode("utf-8", "replace"))


def _hash(password: str, salt: str) -> str:
    # n is far below today's advice: a test run logs in hundreds of times on a machine it shares.
    digest = hashlib.scrypt(password.encode(), salt=salt.encode("utf-8", "replace"), n=2**11, r=8, p=1)
    return f"{salt}${digest.hex()}"

"""Encryption of a record at rest: AES-256-GCM over each message, under a key that only the environment has.

Which record, which baseline and which of its four messages a ciphertext belongs to is authenticated with it,
so that none can be put in the place of another. Names, hosts, times and tests stay readable: a record can be
listed and chosen without the key.
"""

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from fastci.errors import UsageError
from fastci.node.store.model import Row

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ALGORITHM = "AES-256-GCM"
KEY_DIGITS = 64
_NONCE = 12


class Seal:
    """Seals and opens the messages of one record. `key` is 64 hexadecimal digits, empty for no encryption."""

    def __init__(self, key: str, record_id: str) -> None:
        self._key = key
        self._record_id = record_id

    @property
    def algorithm(self) -> str:
        """What the record says about its encryption; empty when there is none."""
        return ALGORITHM if self._key else ""

    @cached_property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(bytes.fromhex(self._key))

    def close(self, row: Row) -> Row:
        """The row with its messages sealed."""
        return _each_message(row, self._seal)

    def open(self, row: Row) -> Row:
        """The row with its messages readable. Raises UsageError without the right key."""
        from cryptography.exceptions import InvalidTag

        if not self._key:
            raise UsageError(
                f"test record {self._record_id} is encrypted",
                hint="give the key it was recorded with in FAST_RECORD_KEY",
            )
        try:
            return _each_message(row, self._unseal)
        except (InvalidTag, ValueError) as error:
            raise UsageError(
                f"baseline bl_{row.sequence} of test record {self._record_id} cannot be decrypted",
                why="the key is another one than it was recorded with, or the file was changed",
                hint="give the key it was recorded with in FAST_RECORD_KEY",
            ) from error

    def _seal(self, message: bytes, place: str) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, message, f"{self._record_id}/{place}".encode())

    def _unseal(self, sealed: bytes, place: str) -> bytes:
        nonce, rest = sealed[:_NONCE], sealed[_NONCE:]
        return self._cipher.decrypt(nonce, rest, f"{self._record_id}/{place}".encode())


def _each_message(row: Row, change: Callable[[bytes, str], bytes]) -> Row:
    return row._replace(
        request_head=change(row.request_head, f"{row.sequence}/request head"),
        request_body=change(row.request_body, f"{row.sequence}/request body"),
        response_head=change(row.response_head, f"{row.sequence}/response head"),
        response_body=change(row.response_body, f"{row.sequence}/response body"),
    )

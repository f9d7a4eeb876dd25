"""What was called back: every look-up or request that names a token of this run, and who waits for one.

A token is the word of a run and 13 characters of a test request. The word is drawn anew for each run, so what
an earlier run left behind at a target is not taken for an effect of this one.
"""

import asyncio
import re
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass

WORD_LENGTH = 20
TOKEN_LENGTH = 13
"""Lengths of an interactsh correlation id and its nonce: one spelling for all listeners."""

_MOST_PER_TOKEN = 8
_MOST_TOKENS = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """One visit. `kind` is dns, http or ldap (an outside server may know more), `source` an IP address, empty
    where an outside server heard it. `moment` is of the monotonic clock, `what` one line for a person.
    """

    token: str
    kind: str
    source: str
    moment: float
    what: str


def fresh_word() -> str:
    """The word of a run: letters and digits, as a label of a domain name may begin."""
    rest = string.ascii_lowercase + string.digits
    return "c" + "".join(secrets.choice(rest) for _ in range(WORD_LENGTH - 1))


class Log:
    """All callbacks of a run by token. Bounded: of what comes over and over the first visits are kept."""

    def __init__(self, word: str) -> None:
        self._pattern = re.compile(re.escape(word) + rf"([a-z0-9]{{{TOKEN_LENGTH}}})")
        self._heard: dict[str, list[Callback]] = {}
        self._waiters: set[asyncio.Future[None]] = set()
        self._listeners: list[Callable[[Callback], None]] = []

    def tokens(self, text: str) -> list[str]:
        """The tokens that a text names; names of domains come in any case."""
        return self._pattern.findall(text.lower())

    def hear(self, text: str, *, kind: str, source: str, what: str) -> bool:
        """Note a visit by all that it said; False when it names no token of this run."""
        found = dict.fromkeys(self.tokens(text))
        for token in found:
            line = " ".join(what.split())[:300]
            self.add(Callback(token=token, kind=kind, source=source, moment=time.monotonic(), what=line))
        return bool(found)

    def add(self, callback: Callback) -> None:
        """Note a callback and tell everybody who waits."""
        known = self._heard.get(callback.token)
        if known is None:
            if len(self._heard) >= _MOST_TOKENS:
                return
            known = self._heard[callback.token] = []
        if len(known) >= _MOST_PER_TOKEN:
            return
        known.append(callback)
        for listener in self._listeners:
            listener(callback)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def of(self, token: str) -> list[Callback]:
        """The visits that named this token, the first one first."""
        return self._heard.get(token, [])

    def heard(self) -> list[str]:
        """Every token that was named, in the order of the first visits."""
        return list(self._heard)

    def tell(self, listener: Callable[[Callback], None]) -> None:
        """Have every further callback told to this function too."""
        self._listeners.append(listener)

    async def wait(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Whether `holds` becomes true within so many seconds; it is asked at every callback."""
        end = time.monotonic() + seconds
        while not holds():
            left = end - time.monotonic()
            if left <= 0:
                return False
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait([waiter], timeout=left)
            finally:
                self._waiters.discard(waiter)
        return True

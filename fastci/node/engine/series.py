"""The attacks of one extension at one point, one after the other."""

import time
from collections.abc import Iterator, Sequence
from itertools import chain

from fastci.node.dsl import Attack
from fastci.node.engine.confirm import Probe
from fastci.node.engine.footing import Footing
from fastci.node.engine.hearing import Waiting
from fastci.node.engine.sender import Reply
from fastci.node.message import Request, Response

_NO_MORE = (0, None)


class Series:
    """Sends attacks and stops at each whose answer says something.

    Nearly all of them say nothing: while that is so, the next attack goes out as the answer comes in, and
    nobody is woken for it. Without `sends` it stops at every attack, and sends none.

    `number` and `reply` are those of the attack it has stopped at, `renewals` how often its session had been
    brought back before it was sent. `answered` counts the attacks that were not refused.
    """

    reply: Reply

    def __init__(
        self, probe: Probe, footing: Footing, attacks: Iterator[tuple[int, Attack]], *, sends: bool
    ) -> None:
        self._probe = probe
        self._footing = footing
        self._attacks = attacks
        self._sends = sends
        self._hears = sends and probe.ear is not None
        self._usual = footing.control.response.status
        # An answer like that to the unmodified request ends the matter, unless another page is looked at too.
        self._is_followed = bool(self._usual) and not 300 <= self._usual < 400 and not probe.observers
        self._attack: Attack | None = None
        self._heard: Waiting | None = None
        self.number = 0
        self.renewals = 0
        self.answered = 0

    async def next(self) -> Attack | None:
        """The next attack to stop at, None when there are no more."""
        request = self._take()
        if request is not None and self._sends:
            following = self._following if self._is_followed else None
            self.reply = await self._probe.channel.send(request, following=following)
            if self._heard is not None:
                self._came(self._heard)
        return self._attack

    def was_answered(self) -> None:
        """The attack was not refused for its session."""
        self.answered += 1
        self._footing.refusals = 0

    def begin_again(self, refused: Sequence[tuple[int, Attack]]) -> None:
        """Send these again before what is left."""
        self._attacks = chain(refused, self._attacks)

    def _following(self, response: Response) -> Request | None:
        attack = self._attack
        assert attack is not None
        if self._heard is not None:
            self._came(self._heard)
        if response.status != self._usual or self._probe.match(attack, response) is not None:
            return None
        self.answered += 1
        self._footing.refusals = 0
        return self._take()

    def _take(self) -> Request | None:
        self.number, self._attack = next(self._attacks, _NO_MORE)
        if self._attack is None:
            return None
        self.renewals = self._footing.renewals()
        if self._hears:
            self._heard = self._probe.expect(self._attack, self.number)
        return self._attack.request

    def _came(self, waiting: Waiting) -> None:
        """An answer came, or none will."""
        waiting.ended = time.monotonic()
        self._heard = None

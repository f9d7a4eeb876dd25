"""What the unmodified request of a baseline is answered with: before its tests, among them and after them.

Only what a target that still knows the sender answers means anything. A session that was lost is brought
back, and what it was refused meanwhile is sent again; one that does not come back is no pass.
"""

from dataclasses import replace

from fastci.node.dsl import MarkerSource
from fastci.node.engine.channel import Channel
from fastci.node.engine.check import Check, marker_seed
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.control import Standing, Verdict, compare
from fastci.node.engine.plan import Item, Phase
from fastci.node.engine.sender import Reply
from fastci.node.engine.strain import OVERLOADED
from fastci.node.engine.unique import find_unique
from fastci.node.engine.witness import Witnesses
from fastci.node.message import Request
from fastci.node.points import list_points

CONTROL_EVERY = 60
"""Requests after which the unmodified one is sent again: its session may be lost without a sign."""
CONTROL_AT_LEAST = 10
MOST_TRIES = 5
_REFUSALS_BEFORE_CONTROL = 3
_MOST_LOSSES = 3
_MOST_EXPLAINED = 3
"""Refusals that the session had nothing to do with, after which they are taken for the target's manner."""


class SessionLost(Exception):
    """The session ended while it was used and could not be brought back."""


class NotNow(Exception):
    """The check needs what others would spoil that use the same session: do it alone. Says what that is."""


class PutLast(Exception):
    """By its effect the baseline ends the session or wipes data: it belongs to the end. Says which."""


class Footing:
    """Whether the baseline of one check still stands.

    `control` is the last answer to the unmodified request, `refusals` are the attacks in a row that were
    answered as somebody unknown is. `seed` fixes the markers of what is tried, `alone`:
    nothing else runs meanwhile.
    """

    def __init__(
        self,
        check: Check,
        channel: Channel,
        request: Request,
        *,
        seed: int,
        alone: bool,
        witnesses: Witnesses,
    ) -> None:
        self.control = Reply.none()
        self._check = check
        self._channel = channel
        self._request = request
        self._seed = seed
        self._alone = alone
        self._witnesses = witnesses
        self._renewed = self._offered = False
        self.refusals = 0
        self._patience = _REFUSALS_BEFORE_CONTROL
        self._explained = 0
        self._renewals_then = 0
        self._renewals_of = 0, 0
        self._controlled_at = 0
        self._losses = 0

    @property
    def unwatched(self) -> int:
        """Requests since the unmodified one was last sent."""
        return self._channel.sent - self._controlled_at

    async def begin(self) -> Verdict:
        """Find out how the baseline stands before its tests. Raises NotNow and PutLast."""
        verdict = await self._look_until_it_works()
        if await self._lacks_tokens(verdict):
            if not self._alone:
                raise NotNow("fresh tokens")
            verdict = await self._look_with_new_tokens()
        verdict = await self._look_for_unique_fields(verdict)
        if verdict.session_lost and self._renewed and not self._alone:
            raise NotNow("a session that stays")
        self._check.alike = verdict.standing is Standing.ALIKE
        if self._check.alike:
            await self._look_at_witnesses()
        return verdict

    async def _look_until_it_works(self) -> Verdict:
        """The first look; again after a moment where the target fails, as when others hold a lock."""
        verdict, attempt, failing = await self.look(), 0, self._channel.health.failing
        while verdict.standing is Standing.UNUSABLE and self.control.response.status >= 500:
            # Those that say the target has no time were waited for by the channel.
            if self.control.response.status in OVERLOADED or not await failing.wait(attempt):
                return verdict
            verdict, attempt = await self.look(), attempt + 1
        if attempt:
            failing.in_vain = 0
        return verdict

    async def _look_at_witnesses(self) -> None:
        """Raises PutLast where the unmodified request has ended the session or wiped data."""
        item, channel = self._check.item, self._channel
        self._controlled_at, self._renewals_then = channel.sent, self.renewals()
        if item.phase is Phase.DESTROY:
            return
        if item.phase is Phase.READ and not self.has_session():
            return
        for witness in self._witnesses.about(item)[: 1 if item.phase is Phase.READ else None]:
            reply = await channel.send(witness.request, is_control=True)
            target = witness.request.target
            verdict = compare(witness.item.recorded, reply.response, target=target, failure=reply.failure)
            page = f"GET {target.partition(b'?')[0].decode('latin-1')}"
            if verdict.session_lost:
                self._note_silence(witness.item, reply)
                if await channel.renew_session(witness.request):
                    raise PutLast(f"after it the session was gone: {page} was refused")
            elif item.phase is Phase.CHANGE and witness.likeness.refused(reply.response):
                self._witnesses.forget(item)
                raise PutLast(f"after it most of {page} was gone")
        self._controlled_at = channel.sent

    async def stands(self) -> bool:
        """Whether what was sent since the last look could tell anything: does the baseline still answer?

        False when it has to be sent again, with the session that is there by now. Raises SessionLost where
        there is none, PutLast where the session ends whenever the baseline is tested.
        """
        check, item, first = self._check, self._check.item, self.control
        self._controlled_at = self._channel.sent
        if not check.alike or item.phase is Phase.DESTROY or self._channel.needs_tokens:
            return True
        verdict = await self._look_once()
        last, self.control = self.control, first
        self._controlled_at = self._channel.sent
        renewals, self._renewals_then = self._renewals_then, self.renewals()
        silently = self._channel.sessions.ends_silently and renewals != self._renewals_then
        if verdict.standing is Standing.ALIKE and silently:
            # Another check brought it back: what was answered meanwhile may have been the page for others.
            self._losses += 1
            if self._losses >= MOST_TRIES:
                raise self.lost("Auth failed: the session ends faster than a check needs it")
            return False
        if verdict.standing is Standing.ALIKE:
            if not self._offered and item.phase is Phase.READ and self._witnesses.wants(item.target.origin):
                self._witnesses.add(item, self._request, (first.response, last.response))
            self._offered = True
        elif verdict.detail.startswith("Connection failed"):
            check.error = f"{verdict.detail}, after {self._channel.sent} requests"
        elif not verdict.session_lost:
            check.changed = check.changed or f"answered otherwise after its tests: {verdict.detail}"
        else:
            self._losses += 1
            if (await self.look()).session_lost:
                raise self.lost(verdict.detail)
            self.control = first
            if self._losses >= _MOST_LOSSES:
                if check.found or not self._alone:
                    raise self.lost(f"{verdict.detail}, again and again while it was tested")
                raise PutLast("the session ends whenever it is tested")
            self._renewals_then = self.renewals()
            return False
        return True

    def _note_silence(self, item: Item, refused: Reply) -> None:
        if refused.response.status == item.recorded.status:
            self._channel.sessions.ends_silently = True

    async def look(self) -> Verdict:
        """Send the unmodified request and judge the answer, with a new session where the old one is lost."""
        verdict = await self._look_once()
        if verdict.session_lost:
            self._note_silence(self._check.item, self.control)
        if verdict.session_lost and await self._channel.renew_session(self._request):
            self._renewed = True
            verdict = await self._look_once()
            if verdict.session_lost:
                self._channel.sessions.failed(self._channel.target.origin, self._request)
        if verdict.session_lost and (trouble := self._channel.sessions.trouble):
            verdict = replace(verdict, detail=f"{verdict.detail}; {trouble}")
        return verdict

    async def _lacks_tokens(self, verdict: Verdict) -> bool:
        """Whether the answer may come from a token that was used up, here or by bringing the session back."""
        if not self._channel.has_tokens(self._request):
            return False
        if verdict.standing is Standing.ALIKE and self._renewed:
            control = self.control
            verdict = await self._look_once()
            self.control = control
        return verdict.standing is Standing.CHANGED or verdict.session_lost

    async def _look_with_new_tokens(self) -> Verdict:
        """Where fresh tokens help once but not twice, they serve once: the channel renews them each time."""
        await self._channel.renew_tokens(self._request)
        verdict = await self._look_once()
        if verdict.standing is Standing.ALIKE:
            control, channel = self.control, self._channel
            follow = channel.sessions.follow_tokens(channel.target.origin, self._request, control.response)
            if follow and (await self._look_once()).standing is Standing.ALIKE:
                channel.tokens_follow = True
            if (await self._look_once()).standing is not Standing.ALIKE:
                channel.needs_tokens = self._request
            self.control = control
        return verdict

    async def _look_for_unique_fields(self, verdict: Verdict) -> Verdict:
        """Find the fields that must be new each time, where the repeated request does not do what it did.

        That shows in its answer, or in a page that should show what was sent and does not.
        """
        item, name = self._check.item, next(iter(self._check.item.observers), "")
        if item.phase is Phase.READ or verdict.standing is Standing.UNUSABLE or self._channel.needs_tokens:
            return verdict
        markers = MarkerSource(marker_seed(self._seed, item.baseline.id, "unique", name))

        async def is_alike(request: Request) -> bool:
            reply = await self._channel.send(request, is_control=True)
            return self._judge(reply).standing is Standing.ALIKE

        async def is_kept(request: Request) -> bool:
            word = markers.fresh().text.encode()
            point = next((p for p in list_points(request) if p.name == name), None)
            if point is None:
                return False
            await self._channel.send(point.write(point.value + word), is_control=True)
            pages = [await self._channel.send(page) for page in item.observers[name]]
            return any(word in decoded_body(page.response) for page in pages)

        if verdict.standing is Standing.CHANGED:
            self._channel.unique = await find_unique(self._request, is_alike, markers)
            return await self._look_once() if self._channel.unique else verdict
        points = [p.name for p in list_points(self._request)]
        if name in points and not await is_kept(self._request):
            self._channel.unique = await find_unique(self._request, is_kept, markers, but=name)
        return verdict

    async def _look_once(self) -> Verdict:
        if self._channel.needs_tokens is not None:
            await self._channel.renew_tokens(self._request)
        request, unique = self._request, self._channel.unique
        request = unique.freshen(request) if unique else request
        self.control = await self._channel.send(request, is_control=True)
        return self._judge(self.control)

    def _judge(self, reply: Reply) -> Verdict:
        recorded, target = self._check.item.recorded, self._request.target
        return compare(recorded, reply.response, target=target, failure=reply.failure)

    async def session_is_lost(self) -> bool:
        """Whether it was, and is back. Raises SessionLost where it does not come back."""
        control = self.control
        try:
            if not (await self._look_once()).session_lost:
                return False
            verdict = await self.look()
        finally:
            self.control = control
        if verdict.session_lost:
            raise self.lost(verdict.detail)
        return True

    def lost(self, detail: str) -> Exception:
        """What to raise for a session that does not stay: beside others one of them may end it each time."""
        can_wait = not self._alone and not self._check.found and self.has_session()
        return NotNow("a session that stays") if can_wait else SessionLost(detail)

    def has_session(self) -> bool:
        return self._channel.sessions.carried_by(self._channel.target.origin, self._request)

    def renewals(self) -> int:
        """How often what the request carries was brought back; asked at every attack, and seldom another."""
        sessions = self._channel.sessions
        if sessions.total != self._renewals_of[0]:
            count = sessions.renewals(self._channel.target.origin, self._request)
            self._renewals_of = sessions.total, count
        return self._renewals_of[1]

    def is_refused(self, reply: Reply) -> bool:
        """Whether an attack was answered otherwise than the baseline is: what it sent was not taken."""
        return self._check.alike and self._judge(reply).standing is not Standing.ALIKE

    def is_of_a_lost_session(self, reply: Reply) -> bool:
        status = reply.response.status
        if status == self.control.response.status and not 300 <= status < 400:
            return False
        return self._check.alike and self._judge(reply).session_lost

    async def session_was_renewed(self) -> bool:
        """Several refusals in a row may mean that the session is gone: the control tells.

        Where the control is fine the attacks are what is refused, and the next look is put off.
        """
        self.refusals += 1
        if self.refusals < self._patience:
            return False
        self.refusals = 0
        if await self.session_is_lost():
            return True
        self._patience *= 4
        return False

    async def was_refused_for_its_session(self, renewals: int) -> bool:
        """Whether what was refused since there were so many renewals may have been refused to an old session.

        Another check may have brought it back by now. Where it was not lost, refusing is the target's manner.
        """
        if self.renewals() != renewals:
            return True
        if self._explained >= _MOST_EXPLAINED:
            return False
        lost = await self.session_is_lost()
        self._explained += not lost
        return lost

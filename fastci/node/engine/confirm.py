"""From a suspicion to a proof: what one attack shows, and whether it holds.

A candidate becomes a finding only when the unmodified request does not show the effect, the same payload
with fresh markers shows it again, and a harmless value at the same point does not (spec: vulnerabilities.md,
rule 2).
"""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from fastci import results
from fastci.node.dsl import Attack, Extension, MarkerSource, Match, NoCallbacks
from fastci.node.engine.channel import Channel
from fastci.node.engine.control import is_login
from fastci.node.engine.hearing import Ear, Waiting
from fastci.node.engine.people import Company
from fastci.node.engine.sender import Reply
from fastci.node.message import Request, Response, quick
from fastci.node.points import Point

_MOST_HOPS = 3
_NOTHING_HEARD = NoCallbacks()
_BODY_FIELDS = frozenset(
    {b"content-type", b"content-length", b"transfer-encoding", b"content-encoding", b"expect"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an attack led to. `match` is what was seen, `shown` the reply it was seen in.

    `shown` is another reply than `direct` when a redirect or a page that stores the value showed it; `note`
    then says which. `unread` are the observers that were not read for it.
    """

    direct: Reply
    match: Match | None = None
    shown: Reply | None = None
    note: str = ""
    unread: Sequence[Request] = ()


class Opens(Protocol):
    """A browser."""

    async def runs(self, url: str, response: Response, word: str) -> bool | None:
        """Whether the page calls the function `word`; None when the browser does not work."""


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One extension at one point of one baseline: everything that asking and confirming needs.

    `request` is what attacks are made from, `point` is None for an extension that sends requests of its own.
    `control` is the answer to the unmodified baseline, `recorded` the recorded one without its body.
    `observers` are pages that may show stored values, `company` is who else the record knows,
    `reads` whether the baseline, by its method and address, only reads (or logs in). `ear` hears callbacks,
    None where the extension wants none; `browser` is None where none is wanted.
    """

    channel: Channel
    extension: Extension
    request: Request
    point: Point | None
    control: Reply
    markers: MarkerSource
    observers: Sequence[Request] = ()
    recorded: Response | None = None
    company: Company
    reads: bool = False
    ear: Ear | None = None
    browser: Opens | None = None

    def by(self, extension: Extension) -> "Probe":
        """The same place with the eyes of another extension."""
        return replace(self, extension=extension, ear=None)

    async def ask(self, attack: Attack, *, is_control: bool = False) -> Answer:
        """Send an attack and look at its answer, then at where it redirects, then at the observers."""
        return await self.look(attack, await self.send(attack, is_control=is_control))

    async def send(self, attack: Attack, *, is_control: bool = False) -> Reply:
        """Send an attack; `is_control` makes it no candidate where callbacks are heard."""
        waiting = self.expect(attack, is_control=is_control)
        reply = await self.channel.send(attack.request)
        if waiting is not None:
            waiting.ended = time.monotonic()
        return reply

    def expect(self, attack: Attack, number: int = 0, *, is_control: bool = False) -> Waiting | None:
        """Note an attack that goes out where callbacks are heard: the `number`-th of its extension here."""
        if self.ear is None or not attack.markers.hears:
            return None
        return self.ear.expect(attack, number, is_control=is_control)

    async def look(self, attack: Attack, direct: Reply, *, reads_observers: bool = True) -> Answer:
        """What this answer to the attack leads to. An observer that it redirects to is not read twice."""
        status = direct.response.status
        if (status or self.ear) and (match := self.match(attack, direct.response)):
            return Answer(direct=direct, match=match, shown=direct)
        if not status:
            return Answer(direct=direct)
        unread = list(self.observers)
        if 300 <= status < 400:
            async for request, reply in self._follow(attack.request, direct):
                if match := self.match(attack, reply.response):
                    note = f"shown by {_address(request)}, where the answer redirects to"
                    return Answer(direct=direct, match=match, shown=reply, note=note)
                unread = [page for page in unread if page.target != request.target]
        if not reads_observers:
            return Answer(direct=direct, unread=unread)
        for page in unread:
            reply = await self.channel.send(page)
            if seen := self.seen_on(page, reply, attack, direct):
                return seen
        return Answer(direct=direct)

    def seen_on(self, page: Request, reply: Reply, attack: Attack, direct: Reply) -> Answer | None:
        """What an observer, read after the attack, shows of it."""
        if not reply.response.status or not (match := self.match(attack, reply.response)):
            return None
        note = f"stored: shown by {_address(page)}, read afterwards"
        return Answer(direct=direct, match=match, shown=reply, note=note)

    def match(self, attack: Attack, response: Response) -> Match | None:
        """What this answer alone shows of the attack, or has been heard of it."""
        return self.extension.detection.decide(attack, response, self.ear or _NOTHING_HEARD)

    async def confirm(self, attack: Attack, answer: Answer) -> results.Evidence | None:
        """The evidence when the candidate holds, None when it does not."""
        assert answer.match is not None
        if self._shows_anyway(attack):
            return None
        repetition = await self.ask(self.extension.again(attack, self.markers))
        if repetition.match is None:
            return None
        harmless = self.extension.control(self.request, self.point, self.markers, like=attack)
        if harmless is not None:
            silent = await self.ask(harmless)
        else:
            silent = await self.ask(replace(attack, request=self.request))
        if silent.match is not None:
            return None
        return evidence_of(attack, answer, repetition=repetition, control=silent)

    def _shows_anyway(self, attack: Attack) -> bool:
        """Whether the unmodified baseline's answer looks the same to the detect."""
        return bool(self.control.response.status and self.extension.detect(attack, self.control.response))

    async def _follow(self, attacked: Request, reply: Reply) -> AsyncIterator[tuple[Request, Reply]]:
        """The answers that redirects inside the target lead to: GET, recorded headers, new cookies.

        A redirect to a login page says that the session is gone, and that page knows nothing of the attack.
        """
        here, fields = attacked, self.request
        for _ in range(_MOST_HOPS):
            location = reply.response.get(b"location")
            if not 300 <= reply.response.status < 400 or not location:
                return
            target = self.channel.target.inside(here, location)
            if target is None or (is_login(target) and not is_login(self.request.target)):
                return
            here = fields = _get(fields, target, reply.response.get_all(b"set-cookie"))
            reply = await self.channel.send(here)
            if not reply.response.status:
                return
            yield here, reply


def evidence_of(
    attack: Attack, answer: Answer, *, repetition: Answer | None, control: Answer | None
) -> results.Evidence:
    """What a report keeps. A match that another page shows comes with that page's answer in the notes."""
    assert answer.match is not None
    notes = [answer.note] if answer.note else []
    matched = answer.match.what
    if answer.match.excerpt:
        matched += f": {answer.match.excerpt}"
    return results.Evidence(
        payload=attack.payload,
        matched=matched,
        attack=answer.direct.exchange(),
        confirmation=repetition.direct.exchange() if repetition else None,
        control=control.direct.exchange() if control else None,
        notes=notes,
    )


def _get(request: Request, target: bytes, set_cookies: Sequence[bytes]) -> Request:
    fields = tuple(field for field in request.fields if field.name.lower() not in _BODY_FIELDS)
    followed = replace(request, method=b"GET", target=target, fields=fields, body=b"")
    cookies = followed.get(b"cookie")
    updated = merge_cookies(cookies or b"", set_cookies)
    return followed.with_header(b"Cookie", updated) if updated and updated != cookies else followed


def merge_cookies(cookies: bytes, set_cookies: Sequence[bytes]) -> bytes:
    """A Cookie header's value after these Set-Cookie values (RFC 6265, section 5.4)."""
    pairs = [pair.strip() for pair in cookies.split(b";") if pair.strip()]
    for line in set_cookies:
        pair = line.partition(b";")[0].strip()
        name = pair.partition(b"=")[0] + b"="
        places = [i for i, known in enumerate(pairs) if known.startswith(name)]
        for place in places[:1]:
            pairs[place] = pair
        if not places:
            pairs.append(pair)
    return b"; ".join(pairs)


def _address(request: Request) -> str:
    return f"{request.method.decode('latin-1')} {request.target.decode('latin-1')}"

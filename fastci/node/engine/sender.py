"""Sending test requests: paced, counted, and again where a target had no time for them."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fastci import results
from fastci.node.engine.client import ANSWER_TIMEOUT, NoAnswer, WireClient
from fastci.node.engine.delays import Delays
from fastci.node.engine.dial import Unreachable
from fastci.node.engine.health import MOST_INSISTING, Health
from fastci.node.engine.pace import Pace
from fastci.node.engine.scope import Target
from fastci.node.engine.sessions import Sessions
from fastci.node.engine.strain import OVERLOADED, Strain
from fastci.node.engine.unique import Unique
from fastci.node.message import Field, Origin, Request, Response, maker, quick

EVIDENCE_LIMIT = 64 << 10
"""Bytes of a response that a report keeps."""

_ATTEMPTS = 4
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_RATE_OVER = 10.0


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What was sent and what came. `response.status` is 0 when no response came; `failure` then says why."""

    sent: bytes
    response: Response
    elapsed: float
    failure: str = ""

    @classmethod
    def none(cls) -> "Reply":
        """Stands for a request that was not sent yet."""
        return cls(sent=b"", response=Response(status=0), elapsed=0.0)

    def exchange(self) -> results.Exchange:
        """As evidence: the response is cut where it is long."""
        return results.Exchange(
            request=self.sent,
            response=(self.response.render() if self.response.status else b"")[:EVIDENCE_LIMIT],
            status=self.response.status,
            elapsed=round(self.elapsed, 4),
        )


_make_reply = maker(Reply)


class Meter:
    """Counts requests in `total` and tells the rate of the last ten seconds (FAST: `current_rps`)."""

    def __init__(self) -> None:
        self.total = 0
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def rate(self) -> float:
        """Requests of the last ten seconds, divided by ten; as exact as it is asked often."""
        now = time.monotonic()
        self._marks.append((now, self.total))
        while len(self._marks) > 1 and self._marks[1][0] <= now - _RATE_OVER:
            self._marks.popleft()
        return (self.total - self._marks[0][1]) / max(_RATE_OVER, now - self._marks[0][0])


class Sender:
    """The one way to the targets of a run. `rate` is TEST_RUN_RPS, 0 for no limit, `at_once` are the requests
    that may be under way at a target which does not struggle.
    """

    def __init__(
        self,
        client: WireClient,
        *,
        rate: float,
        at_once: int = 1,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.client = client
        self._at_once = at_once
        self._say = say
        self.pace = Pace(rate)
        self.meter = Meter()
        self.delays = Delays()
        self._health: dict[Origin, Health] = {}

    def health(self, origin: Origin) -> Health:
        if origin not in self._health:
            strain = Strain(
                self._at_once,
                tell=lambda what: self._say(f"[warn] {origin} {what}"),
                excused=lambda seconds: self.delays.since(time.monotonic() - seconds),
            )
            self._health[origin] = Health(self.client, origin, strain)
        return self._health[origin]

    def down(self) -> list[str]:
        """Why each target that was given up was given up."""
        return [health.reason for health in self._health.values() if health.reason]


class Channel:
    """What the check of one baseline sends through: its own pace, time-out and count of requests.

    `timeout` (seconds for a whole response) may be changed once it is known how fast the target answers.
    `doing` says what sends at the moment, for `on_sent`, which is told of every request that went out and the
    status of its answer (0: none). `needs_tokens` is the recorded request whose tokens serve only once: they
    are renewed before each send of one that carries them, unless they are at hand because
    `tokens_follow`: each answer gives out the next ones. `unique` are fields that get a new value in each
    request but controls.
    """

    def __init__(
        self,
        sender: Sender,
        target: Target,
        sessions: Sessions,
        *,
        rate: float = 0,
        timeout: float = ANSWER_TIMEOUT,
        on_sent: Callable[[str, Request, int], None] | None = None,
    ) -> None:
        self.doing = ""
        self._on_sent = on_sent
        self.target = target
        self.sessions = sessions
        self.delays = sender.delays
        self.needs_tokens: Request | None = None
        self.tokens_follow = False
        self._at_hand = False
        self.unique: Unique | None = None
        self.timeout = timeout
        self.sent = 0
        self._meter = sender.meter
        self._line = sender.client.line(target.origin)
        self._paces = [pace for pace in (Pace(rate), sender.pace) if pace.limits]
        self._health = sender.health(target.origin)
        self._fields: tuple[Field, ...] | None = None
        self._body = b""
        self._tail = b""
        self._framed = False

    async def renew_session(self, request: Request) -> bool:
        """Get new values for what keeps this request logged in; False when there is nothing to get."""

        return await self.sessions.renew(self.target.origin, request, self._replay)

    def has_tokens(self, request: Request) -> bool:
        return self.sessions.has_tokens(self.target.origin, request)

    async def renew_tokens(self, request: Request) -> None:
        """Get new values for the tokens that this request carries."""
        await self.sessions.renew_tokens(self.target.origin, request, self._replay)

    async def _replay(self, request: Request) -> Response:
        return (await self.send(request, is_control=True)).response

    def refreshed(self, request: Request) -> Request:
        """The request as it would go out: with the newest values of its session."""
        return self.sessions.refresh(self.target.origin, request)

    async def send(
        self, request: Request, *, timeout: float | None = None, is_control: bool = False
    ) -> Reply:
        """Send one request. No answer is a reply of status 0; raises TargetDown when the target is gone.

        `timeout`, seconds, is for a request that makes the target late on purpose.
        """
        if self.needs_tokens is not None and not is_control and self.has_tokens(request):
            if not self._at_hand:
                await self.renew_tokens(self.needs_tokens)
            self._at_hand = False
        if self.unique is not None and not is_control:
            request = self.unique.freshen(request)
        if self.sessions.renewed:
            request = self.sessions.refresh(self.target.origin, request)
        method, target = request.method, request.target
        if request.fields is not self._fields or request.body is not self._body:
            self._frame(request)
        address = self.target.address(target) if self.target.base else target
        data = b"%b %b %b\r\n%b" % (method, address, request.version, self._tail)
        sound = self._framed and b"\n" not in target and b"\n" not in method
        alone = not sound and not is_control
        limit = self.timeout if timeout is None else timeout
        health, strain, failure = self._health, self._health.strain, ""
        begin = time.monotonic()
        for attempt in range(_ATTEMPTS):
            if health.reason:
                health.check()
            if strain.under_way >= strain.limit:
                await strain.enter()
            strain.under_way += 1
            try:
                for pace in self._paces:
                    await pace.wait()
                response, elapsed = await self._line.send(data, method=method, timeout=limit, alone=alone)
            except Unreachable as error:
                strain.strained("it takes no connection")
                failure = str(error)
                await health.refused()
                continue
            except OSError as error:
                failure = str(error)
                self._count(request, 0, is_control=is_control)
                late = isinstance(error, TimeoutError) and timeout is None
                if late and self.delays.since(begin):
                    strain.left()
                    await self.delays.ended()
                    begin = time.monotonic()
                    continue
                broken_off = isinstance(error, NoAnswer)
                if late or broken_off:
                    strain.strained(failure)
                else:
                    strain.left()
                await health.silent(failure, data, method)
                if broken_off and not alone and method in _REPEATABLE and await health.has_time(attempt):
                    continue
                break
            except BaseException:
                strain.left()
                raise
            self._count(request, response.status, is_control=is_control)
            if self.tokens_follow and self.needs_tokens is not None:
                origin = self.target.origin
                self._at_hand = self.sessions.follow_tokens(origin, self.needs_tokens, response)
            health.silences = 0
            if response.status in OVERLOADED and health.insisted < MOST_INSISTING:
                strain.strained(f"status {response.status}")
                if await health.has_time(attempt, response.get(b"retry-after") or b""):
                    continue
            else:
                strain.eased(elapsed)
                if attempt and response.status not in OVERLOADED:
                    health.insisted = 0
            if is_control or health.sample is None:
                health.sample = (data, method)
            return _make_reply(sent=data, response=response, elapsed=elapsed)
        waited = time.monotonic() - begin
        return Reply(sent=data, response=Response(status=0), elapsed=waited, failure=failure)

    def _count(self, request: Request, status: int, *, is_control: bool) -> None:
        self.sent += 1
        self._meter.total += 1
        if self._on_sent is not None:
            self._on_sent("" if is_control else self.doing, request, status)

    def _frame(self, request: Request) -> None:
        """Work out what follows the start line; most requests differ from the one before in that alone."""
        self._fields, self._body = request.fields, request.body
        self._tail = request.tail()
        # To HEAD and CONNECT some servers answer more than they should.
        self._framed = request.method not in (b"HEAD", b"CONNECT") and _is_framed(request)


def _is_framed(request: Request) -> bool:
    lengths = request.get_all(b"content-length")
    if any(b"\n" in field.raw[:-1].removesuffix(b"\r") for field in request.fields):
        return False
    if request.chunked:
        return not lengths
    return lengths == ([b"%d" % len(request.body)] if request.body or lengths else [])

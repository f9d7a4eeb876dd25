"""Sending test requests: paced, counted, and with a breaker for a target that is gone."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fastci import results
from fastci.node.engine.client import NoAnswer, WireClient
from fastci.node.engine.delays import Delays
from fastci.node.engine.dial import Forbidden, Unreachable
from fastci.node.engine.pace import Pace
from fastci.node.engine.scope import Target
from fastci.node.engine.sessions import Sessions
from fastci.node.engine.strain import OVERLOADED, Strain
from fastci.node.engine.unique import Unique
from fastci.node.message import Field, Origin, Request, Response, maker, quick

EVIDENCE_LIMIT = 64 << 10
"""Bytes of a response that a report keeps."""

ANSWER_TIMEOUT = 30.0
"""Seconds a whole response may take, where nothing else is said (FAST_REQUEST_TIMEOUT)."""

_PATIENCE_WHEN_IT_LIVED = 10.0
_PATIENCE_AT_START = 2.0
_SILENCES_BEFORE_CHECK = 5
_ATTEMPTS = 4
_PAUSES = (0.1, 0.4, 1.6)
"""Seconds between the attempts to send a request that a target has no time for."""
_LONGEST_PAUSE = 5.0
_MOST_INSISTING = 3
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_RATE_OVER = 10.0


class TargetDown(ConnectionError):
    """The target takes no connections, or answers nothing any more."""


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


class _Health:
    """Whether one origin still answers. `reason` is set once it is given up.

    `silences` are requests in a row that got no answer, `sample` is a request that got one. `insisted` are
    requests in a row that were refused or broken off however long was waited: that is what such a target
    means by it, and they are not sent again.
    """

    def __init__(self, client: WireClient, origin: Origin, strain: Strain) -> None:
        self.strain = strain
        self._client = client
        self._origin = origin
        self._lock = asyncio.Lock()
        self.silences = 0
        self.insisted = 0
        self.sample: tuple[bytes, bytes] | None = None
        self.reason = ""

    def check(self) -> None:
        if self.reason:
            raise TargetDown(self.reason)

    async def refused(self) -> None:
        """No connection could be made: wait for the target to come back. Raises TargetDown if it does not."""
        patience = _PATIENCE_WHEN_IT_LIVED if self.sample else _PATIENCE_AT_START
        async with self._lock:
            self.check()
            end = time.monotonic() + patience
            pause = 0.1
            while True:
                try:
                    await self._client.connect(self._origin)
                    return
                except Unreachable as error:
                    if isinstance(error, Forbidden) or time.monotonic() + pause > end:
                        self.reason = str(error)
                        raise TargetDown(self.reason) from error
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

    async def has_time(self, attempt: int, wished: bytes = b"") -> bool:
        """Wait before a request that there was no time for is sent again; False when that is no use.

        `wished` is the value of Retry-After, of which only a short number of seconds is heeded.
        """
        if self.insisted >= _MOST_INSISTING:
            return False
        if attempt >= len(_PAUSES):
            self.insisted += 1
            return False
        seconds = min(int(wished[:6]), _LONGEST_PAUSE) if wished.isdigit() else 0.0
        await asyncio.sleep(max(seconds, _PAUSES[attempt]))
        return True

    async def silent(self, failure: str, data: bytes, method: bytes) -> None:
        """This request got no answer. After several in a row one that is known to work is tried."""
        self.silences += 1
        if self.silences < _SILENCES_BEFORE_CHECK:
            return
        async with self._lock:
            self.check()
            if self.silences < _SILENCES_BEFORE_CHECK:
                return
            if await self._answers(*(self.sample or (data, method))):
                self.silences = 0
                return
            self.reason = f"{self._origin} has stopped answering ({failure})"
            raise TargetDown(self.reason)

    async def _answers(self, data: bytes, method: bytes) -> bool:
        """Whether this request gets an answer, or another meanwhile; a busy target is asked several times."""
        for pause in (0.0, *_PAUSES):
            await asyncio.sleep(pause)
            if self.silences < _SILENCES_BEFORE_CHECK:
                return True
            try:
                await self._client.send(self._origin, data, method=method, timeout=ANSWER_TIMEOUT / 3)
            except TimeoutError:
                return False
            except OSError:
                continue
            return True
        return self.silences < _SILENCES_BEFORE_CHECK


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
        self._health: dict[Origin, _Health] = {}

    def health(self, origin: Origin) -> _Health:
        if origin not in self._health:
            strain = Strain(
                self._at_once,
                tell=lambda what: self._say(f"[warn] {origin} {what}"),
                excused=lambda seconds: self.delays.since(time.monotonic() - seconds),
            )
            self._health[origin] = _Health(self.client, origin, strain)
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
            if response.status in OVERLOADED and health.insisted < _MOST_INSISTING:
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

"""Sending test requests: paced, counted, and again where a target had no time for them."""

import time
from collections.abc import Callable

from fastci.node.engine.client import ANSWER_TIMEOUT, NoAnswer
from fastci.node.engine.dial import Unreachable
from fastci.node.engine.pace import Pace
from fastci.node.engine.scope import Target
from fastci.node.engine.sender import Reply, Sender
from fastci.node.engine.sessions import Sessions
from fastci.node.engine.unique import Unique
from fastci.node.message import Request, Response

Following = Callable[[Response], Request | None]
"""Takes an answer and gives the request that goes out next, None where that is for others to decide."""

_ATTEMPTS = 4
_LATE_BEFORE_HURRY = 3
_SHORTEST_WAIT = 2.0
_TIMES_SLOWEST = 4
_LINE_FEED = ord("\n")  # a number is found in bytes in a tenth of the time that bytes are
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class Channel:
    """What the check of one baseline sends through: its own pace, time-out and count of requests.

    `timeout` (seconds for a whole response) may be changed once it is known how fast the target answers.
    `late` are the attacks that had no answer in that time: after several, the next ones wait only as long as
    the `slowest` answer so far makes sensible.
    `doing` says what sends at the moment, for `on_sent`, which is told of every request that went out and the
    status of its answer (0: none). `needs_tokens` is the recorded request whose tokens serve only once: they
    are renewed before each send of one that carries them, unless they are at hand because an attack
    led to the page that gives them out, or `tokens_follow`: each answer does. `unique` are fields that get
    a new value in each request but controls.
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
        self.late = 0
        self.slowest = 0.0
        self.sent = 0
        self._meter = sender.meter
        self._line = sender.client.line(target.origin)
        self._paces = [pace for pace in (Pace(rate), sender.pace) if pace.limits]
        self._flows = not self._paces and self._line.direct
        self.health = sender.health(target.origin)
        self.frame = _NO_FRAME

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
        self,
        request: Request,
        *,
        timeout: float | None = None,
        is_control: bool = False,
        following: Following | None = None,
    ) -> Reply:
        """Send one request. No answer is a reply of status 0; raises TargetDown when the target is gone.

        `timeout`, seconds, is for a request that makes the target late on purpose. `following` is asked after
        each answer for the request that goes out next; the reply that none follows is returned.
        """
        limit = self.timeout if is_control else self.patience
        errand = _Errand(self, is_control, limit, following)
        if timeout is not None:
            errand.timeout, errand.is_late_on_purpose = timeout, True
        waiting: Request | None = request
        while waiting is not None:
            await self._carry(errand, waiting)
            waiting = errand.waiting
        return errand.reply

    async def _carry(self, errand: "_Errand", request: Request) -> None:
        """Send a request, as often as it takes, and those that follow it at once."""
        if self.needs_tokens is not None and not errand.is_control and self.has_tokens(request):
            if not self._at_hand:
                await self.renew_tokens(self.needs_tokens)
            self._at_hand = False
        errand.take(request)
        begin = time.monotonic()
        health, strain = self.health, self.health.strain
        while errand.attempt < _ATTEMPTS:
            if health.reason:
                health.check()
            if strain.under_way >= strain.limit:
                await strain.enter()
            errand.starts(begin)
            try:
                for pace in self._paces:
                    await pace.wait()
                await self._line.send(
                    errand.data, method=errand.method, timeout=errand.timeout, alone=errand.alone,
                    then=errand.answered,
                )  # fmt: skip
            except Unreachable as error:
                strain.strained("it takes no connection")
                errand.failure = str(error)
                errand.attempt += 1
                await health.refused()
                continue
            except OSError as error:
                errand.failure = str(error)
                self.count(errand.request, 0, errand.is_control)
                late = isinstance(error, TimeoutError) and not errand.is_late_on_purpose
                if late and self.delays.since(errand.begin):
                    strain.left()
                    errand.attempt += 1
                    await self.delays.ended()
                    begin = time.monotonic()
                    continue
                if late and not errand.is_control:
                    self.late += 1
                broken_off = isinstance(error, NoAnswer)
                if late or broken_off:
                    strain.strained(errand.failure)
                else:
                    strain.left()
                await health.silent(errand.failure, errand.data, errand.method)
                repeatable = broken_off and not errand.alone and errand.method in _REPEATABLE
                if repeatable and await health.busy.wait(errand.attempt):
                    errand.attempt += 1
                    continue
                break
            except BaseException:
                if errand.is_out:
                    strain.left()
                raise
            if errand.fault is not None:
                if errand.is_out:
                    strain.left()
                raise errand.fault
            if errand.is_refused:
                wished = errand.reply.response.get(b"retry-after") or b""
                if await health.busy.wait(errand.attempt, wished):
                    errand.attempt += 1
                    continue
            return
        errand.failed()

    @property
    def patience(self) -> float:
        """Seconds that an attack is waited for; controls, and what is late on purpose, have their own."""
        if self.late < _LATE_BEFORE_HURRY:
            return self.timeout
        return min(self.timeout, max(_SHORTEST_WAIT, _TIMES_SLOWEST * self.slowest))

    @property
    def hurried(self) -> str:
        """What is to be told where attacks were not waited for as long as others; empty where all were."""
        if self.patience == self.timeout:
            return ""
        return (
            f"{self.late} test requests got no answer; after the first {_LATE_BEFORE_HURRY} "
            f"the next ones were waited for {self.patience:.2g} s each"
        )

    def flows(self) -> bool:
        """Whether a request may follow another at once, with nothing to be waited for or done before."""
        return self._flows and self.needs_tokens is None and self.unique is None

    def take_tokens(self, needs: Request, asked: Request, response: Response) -> None:
        """Take the next tokens for `needs` from an answer that gives them out."""
        sessions, origin = self.sessions, self.target.origin
        gives = self.tokens_follow or sessions.gives_tokens(origin, needs, asked)
        self._at_hand = gives and sessions.follow_tokens(origin, needs, response)

    def count(self, request: Request, status: int, is_control: bool) -> None:
        self.sent += 1
        self._meter.total += 1
        if self._on_sent is not None:
            self._on_sent("" if is_control else self.doing, request, status)


class _Frame:
    """What stands around the target of a request; most requests differ from the one before in that alone.

    `is_sound`: to any server it is one request, as far as this part of it goes.
    """

    __slots__ = ("before", "behind", "body", "fields", "is_sound", "method")

    def __init__(self, request: Request) -> None:
        self.fields, self.body, self.method = request.fields, request.body, request.method
        self.before = request.method + b" "
        self.behind = b" " + request.version + b"\r\n" + request.tail()
        # To HEAD and CONNECT some servers answer more than they should.
        sound = request.method not in (b"HEAD", b"CONNECT") and b"\n" not in request.method
        self.is_sound = sound and _is_framed(request)


class _Errand:
    """A request under way, and those that follow it: each takes the place of the one before.

    `reply` is what came last. `waiting` is a request that follows, but not at once. `is_out` says that an
    answer is still to come, `is_refused` that the target had no time for the request, `attempt` how often it
    was sent before. `fault` is what went wrong with an answer, or with making the next one.
    """

    __slots__ = (
        "_channel", "_flows", "_following", "alone", "attempt", "begin", "data", "failure", "fault",
        "is_control", "is_late_on_purpose", "is_out", "is_refused", "method", "reply", "request", "timeout",
        "waiting",
    )  # fmt: skip
    request: Request
    reply: Reply

    def __init__(
        self, channel: Channel, is_control: bool, timeout: float, following: Following | None
    ) -> None:
        self._channel = channel
        self._following = following
        self._flows = following is not None and channel.flows()
        self.is_control = is_control
        self.timeout = timeout
        self.is_late_on_purpose = False
        self.is_refused = False
        self.fault: Exception | None = None
        self.is_out = False
        self.failure = ""
        self.method = b""

    def take(self, request: Request) -> None:
        """Make this the request to send, with the newest values of its session."""
        channel = self._channel
        if channel.unique is not None and not self.is_control:
            request = channel.unique.freshen(request)
        if channel.sessions.renewed:
            request = channel.sessions.refresh(channel.target.origin, request)
        self.request = request
        self.waiting: Request | None = None
        self.method = request.method
        self.attempt = 0
        frame, target = channel.frame, request.target
        if (
            request.fields is not frame.fields
            or request.body is not frame.body
            or request.method is not frame.method
        ):
            frame = channel.frame = _Frame(request)
        self.alone = not self.is_control and (not frame.is_sound or _LINE_FEED in target)
        if channel.target.base:
            target = channel.target.address(target)
        self.data = frame.before + target + frame.behind

    def starts(self, begin: float) -> None:
        self.begin = begin
        self._channel.health.strain.under_way += 1
        self.is_out = True

    def answered(self, response: Response, begin: float, end: float, reusable: bool) -> bytes | None:
        """Take an answer; give what goes out next over the same connection (`client.Then`)."""
        channel, elapsed, status = self._channel, end - begin, response.status
        try:
            channel.count(self.request, status, self.is_control)
            if elapsed > channel.slowest and not self.is_late_on_purpose:
                channel.slowest = elapsed
            if channel.needs_tokens is not None:
                channel.take_tokens(channel.needs_tokens, self.request, response)
            self.is_out = False
            health = channel.health
            self.is_refused = refused = health.refuses(status, elapsed, self.attempt > 0)
            if not refused and (self.is_control or health.sample is None):
                health.sample = self.data, self.method
            following = self._following
            if refused or following is None or (request := following(response)) is None:
                self.reply = Reply(sent=self.data, response=response, elapsed=elapsed)
                return None
            method, strain = self.method, health.strain
            if reusable and self._flows and strain.under_way < strain.limit and not health.reason:
                self.take(request)
                if not self.alone and self.method == method:
                    self.starts(end)
                    return self.data
            self.waiting = request
        except Exception as error:
            self.fault = error
        return None

    def failed(self) -> None:
        """No answer came."""
        waited = time.monotonic() - self.begin
        self.reply = Reply(sent=self.data, response=Response(status=0), elapsed=waited, failure=self.failure)


def _is_framed(request: Request) -> bool:
    lengths = request.get_all(b"content-length")
    if any(b"\n" in field.raw[:-1].removesuffix(b"\r") for field in request.fields):
        return False
    if request.chunked:
        return not lengths
    return lengths == ([b"%d" % len(request.body)] if request.body or lengths else [])


_NO_FRAME = _Frame(Request(method=b"", target=b""))

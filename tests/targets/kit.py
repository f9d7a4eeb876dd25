"""What the targets are made of, and how a detect is run against one without any socket.

A target is a function from Request to Response. The engine's own channel, confirmation and oracles work on
it; only the wire is replaced. Time is a clock that targets move on by themselves.
"""

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote_to_bytes

from fastci import results
from fastci.node.dsl import Attack, Extension, MarkerSource
from fastci.node.engine.browser import Browser
from fastci.node.engine.called_back import confirm_at_once
from fastci.node.engine.channel import Channel
from fastci.node.engine.client import Exchange, Then
from fastci.node.engine.confirm import Probe
from fastci.node.engine.control import is_login
from fastci.node.engine.hearing import Ear
from fastci.node.engine.hearing import Hearing as EngineHearing
from fastci.node.engine.oracles import ORACLES
from fastci.node.engine.people import Company
from fastci.node.engine.scope import Scope, Target
from fastci.node.engine.sender import Sender
from fastci.node.engine.sessions import Sessions
from fastci.node.message import Field, Origin, Request, Response, parse_request
from fastci.node.oob import Log, Offer, Spelling
from fastci.node.points import Point, list_points

ORIGIN = Origin(scheme="http", host="target.example", port=80)

Handler = Callable[[Request], Response]


class Clock:
    """Seconds that have passed at the target since its request came."""

    seconds = 0.0

    def wait(self, seconds: object) -> int:
        self.seconds += float(str(seconds))
        return 0


clock = Clock()


class LookedUp:
    """Host names and addresses that a target asked for: what a listener of the node hears."""

    log = Log("w" * 20)

    def add(self, address: str) -> None:
        self.log.hear(address, kind="dns", source="", what=address)

    def update(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self.add(address)

    def clear(self) -> None:
        self.log = Log("w" * 20)


looked_up = LookedUp()

CALLBACK = "w" * 20 + "*.oob.example"


class Hearing(EngineHearing):
    """Waits for nothing: a function calls back before it answers, or not at all."""

    def patience(self, domain: str) -> float:
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A detect, the flawed application it must prove, the repaired one it must stay silent at.

    `needs` is a program or file that not every machine has.
    """

    detect: str
    flaw: str
    broken: Handler
    repaired: Handler
    request: Request
    point: str
    repaired_request: Request | None = None
    company: Company = field(default_factory=Company)
    needs: str = ""
    origin: Origin = ORIGIN


def get(target: str, **headers: str) -> Request:
    return Request(method=b"GET", target=target.encode(), fields=_fields(headers))


def post(target: str, body: str, media_type: str = "application/x-www-form-urlencoded") -> Request:
    fields = _fields({"Content-Type": media_type, "Content-Length": str(len(body.encode()))})
    return Request(method=b"POST", target=target.encode(), fields=fields, body=body.encode())


def page(
    body: str, status: int = 200, media_type: str = "text/html; charset=utf-8", **headers: str
) -> Response:
    fields = _fields({"Content-Type": media_type, **headers}, host=False)
    return Response(status=status, fields=fields, body=body.encode("utf-8", "surrogateescape"))


def answer(data: object, status: int = 200) -> Response:
    return page(json.dumps(data), status, "application/json")


def _fields(headers: dict[str, str], host: bool = True) -> tuple[Field, ...]:
    first = {"Host": "target.example"} if host else {}
    named = {name.replace("_", "-"): value for name, value in {**first, **headers}.items()}
    return tuple(Field.of(name.encode(), value.encode("latin-1")) for name, value in named.items())


def inputs(request: Request) -> dict[str, str]:
    """Parameters of the query, and of a form or JSON object in the body; what is absent is empty."""
    query = request.target.partition(b"?")[2].decode("latin-1")
    found = defaultdict[str, str](str)
    found.update(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))
    kind = request.get(b"content-type") or b""
    if b"json" in kind:
        with suppress(ValueError):
            data = json.loads(request.body)
            found.update(data if isinstance(data, dict) else {})
    elif b"urlencoded" in kind:
        found.update(parse_qsl(request.body.decode(), keep_blank_values=True, errors="surrogateescape"))
    return found


def path_of(request: Request) -> str:
    return unquote_to_bytes(request.target.partition(b"?")[0]).decode("utf-8", "surrogateescape")


@dataclass
class InProcess:
    """Stands where the wire client and its line stand: hands requests to a function, notes what was sent."""

    handler: Handler
    sent: list[bytes] = field(default_factory=list)

    def line(self, origin: Origin) -> "InProcess":
        return self

    @property
    def direct(self) -> bool:
        return True

    async def send(
        self, data: bytes, *, method: bytes, timeout: float, alone: bool = False, then: Then | None = None
    ) -> Exchange:
        following: bytes | None = data
        while following is not None:
            self.sent.append(following)
            head, _, body = following.partition(b"\r\n\r\n")
            begin = clock.seconds
            response = self.handler(parse_request(head + b"\r\n\r\n", body))
            end = clock.seconds + 0.002
            following = then(response, begin, end, not alone) if then else None
        return response, end - begin

    async def connect(self, origin: Origin) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a detect proved at which point, and how many requests it took."""

    proofs: dict[str, results.Evidence]
    requests: int


def run_detect(
    extension: Extension,
    handler: Handler,
    request: Request,
    *,
    points: str = "",
    company: Company | None = None,
    origin: Origin = ORIGIN,
) -> Outcome:
    """Run one detect at every point of a request (or at one) the way the engine does."""
    looked_up.clear()
    client = InProcess(handler)
    return asyncio.run(_run(extension, client, request, points, company or Company(), origin))


async def _run(
    extension: Extension, client: InProcess, request: Request, only: str, company: Company, origin: Origin
) -> Outcome:
    target = Target(recorded=origin, origin=origin, base=b"")
    channel = Channel(Sender(client, rate=0), target, Sessions(Scope.parse("", ())))  # type: ignore[arg-type]
    control = await channel.send(request, is_control=True)
    request = extension.modified(request)
    proofs: dict[str, results.Evidence] = {}
    program = shutil.which("chromium") if extension.oracle == "dom" else None
    browser = Browser(program, print) if program else None
    for name, point in _targets(extension, request, only):
        markers = MarkerSource(7, CALLBACK if extension.detection.callbacks else "")
        probe = Probe(
            channel=channel,
            extension=extension,
            request=request,
            point=point,
            control=control,
            markers=markers,
            recorded=control.response,
            company=company,
            reads=request.method == b"GET" or is_login(request.target),
            browser=browser,
        )
        if extension.detection.callbacks:
            hearing = Hearing(offer=Offer(), log=looked_up.log, say=print)
            spelling = Spelling(template=CALLBACK)
            ear = Ear(
                hearing=hearing, check=None, extension=extension, point=name, peer="", spelling=spelling
            )  # type: ignore[arg-type]
            probe = replace(probe, ear=ear)
        for attack in extension.attacks(request, point, markers):
            if extension.oracle:
                evidence = await ORACLES[extension.oracle](probe, attack)
            else:
                evidence = await _confirmed(probe, attack)
            if evidence:
                proofs[name] = evidence
                break
    if browser is not None:
        await browser.close()
    return Outcome(proofs=proofs, requests=len(client.sent))


async def _confirmed(probe: Probe, attack: Attack) -> results.Evidence | None:
    found = await probe.ask(attack)
    if found.match is None:
        return None
    if not found.match.called_back:
        return await probe.confirm(attack, found)
    called = await confirm_at_once(probe, attack, found)
    return called.evidence if called and called.settled else None


def _targets(extension: Extension, request: Request, only: str) -> Iterator[tuple[str, Point | None]]:
    if extension.sends or extension.whole:
        yield "*", None
        return
    for point in extension.targets(list_points(request)):
        named = not point.name.startswith(("HEADER_", "METHOD_"))
        if point.name == only if only else named:
            yield point.name, point

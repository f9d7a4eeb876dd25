"""Oracle `idor`: somebody gets what belongs to somebody else.

Way `session`: the recorded answer holds personal data, and another person of the record gets just the same
with credentials of their own. Way `neighbour`: the answer holds the sender's own mail address, and with
another id in the address it holds somebody else's. Way `owner`: the same, told by the id of the owner that
the answer names; whether members may see each other's objects there, a person has to say. Without
credentials all must be refused, and people who look as if they may see everything (administrators) prove
nothing.
"""

import re
from collections.abc import Callable, Iterator, Set

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.coding import decoded_body, json_members
from fastci.node.engine.confirm import Probe
from fastci.node.engine.likeness import Likeness
from fastci.node.engine.people import Person, carried, sent_by, without_credentials
from fastci.node.message import Request, Response
from fastci.node.points import Point, list_points
from fastci.node.route import route_template

_READING = frozenset({b"GET", b"HEAD"})
_MAIL = re.compile(rb"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63})+")
_PERSONAL = re.compile(
    rb"[\"'>_\s](?:e-?mail|phone|mobile|address|street|iban|card_?(?:number|no)|account_?(?:number|no)|balance|salary"
    rb"|ssn|birth_?(?:day|date)|date_of_birth|passport|secret|password\w*)[\"'<]?\s*(?:[:=]|</)",
    re.I,
)
_OWNER = re.compile(r"owner|(?:owner|user|account|customer|member|tenant)_?id", re.I)
_NUMBER = re.compile(rb"\d{1,12}")
_STEPS = (-1, 1, 2)
_MOST_OTHERS = 3


async def decide_idor(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Try the extension's ways at a request that reads somebody's object."""
    request, sender = attack.request, probe.company.sender
    if request.method not in _READING or sender is None or sender.privileged:
        return None
    if not any(True for _ in carried(request)) or not _points_at_an_object(request):
        return None
    control = probe.control
    if not 200 <= control.response.status < 300:
        return None
    for way in probe.extension.oracle_options["ways"]:
        evidence = await _WAYS[way](probe, request)
        if evidence is not None:
            return evidence
    return None


async def _by_session(probe: Probe, request: Request) -> results.Evidence | None:
    body, sender = decoded_body(probe.control.response), probe.company.sender
    assert sender is not None
    own = any(name.encode() in body.lower() for name in sender.names)
    if not own or not _PERSONAL.search(body):
        return None
    others = [person for person in probe.company.others if not person.privileged][:_MOST_OTHERS]
    if not others:
        return None
    likeness = Likeness(probe.control.response, (await probe.channel.send(request)).response)
    bare = await probe.channel.send(without_credentials(request))
    if not likeness.tells or not likeness.refused(bare.response):
        return None
    for other in others:
        foreign = sent_by(request, other.example)
        first = await probe.channel.send(foreign)
        if not likeness.same(first.response):
            continue
        second = await probe.channel.send(foreign)
        if likeness.same(second.response):
            return results.Evidence(
                payload=f"the credentials of {_named(other)}",
                matched=f"what belongs to {_named(sender)} is given to {_named(other)}",
                attack=first.exchange(),
                confirmation=second.exchange(),
                control=bare.exchange(),
                notes=["the control is the same request without credentials, which is refused"],
            )
    return None


async def _by_neighbour(probe: Probe, request: Request) -> results.Evidence | None:
    assert probe.company.sender is not None
    own = {name.encode() for name in probe.company.sender.names if "@" in name}
    return await _next_to(probe, request, own, _mails)


async def _by_owner(probe: Probe, request: Request) -> results.Evidence | None:
    assert probe.company.sender is not None
    own = {value.encode() for value in probe.company.sender.ids}
    return await _next_to(probe, request, own, _owners) if _owners(probe.control.response) <= own else None


async def _next_to(
    probe: Probe, request: Request, own: Set[bytes], told: Callable[[Response], frozenset[bytes]]
) -> results.Evidence | None:
    """With another number in the address the answer tells somebody else. `told` is whom an answer tells."""
    here = told(probe.control.response)
    if not own & here:
        return None
    for point, value in _neighbours(request):
        changed = point.write(value)
        reply = await probe.channel.send(changed)
        foreign = told(reply.response) - here
        if (
            reply.response.status != probe.control.response.status
            or not foreign
            or own & told(reply.response)
        ):
            continue
        anonymous = await probe.channel.send(without_credentials(changed))
        again = await probe.channel.send(changed)
        if not told(anonymous.response) & foreign and foreign <= told(again.response):
            whose = sorted(foreign)[0].decode("latin-1")
            return results.Evidence(
                payload=value.decode("latin-1"),
                matched=f"with another id in {point.name} the answer holds the data of {whose}",
                attack=reply.exchange(),
                confirmation=again.exchange(),
                control=probe.control.exchange(),
                notes=["the control is the recorded request, which gives the sender's own data"],
            )
    return None


_WAYS = {"session": _by_session, "neighbour": _by_neighbour, "owner": _by_owner}


def _named(person: Person) -> str:
    return ", ".join(sorted(person.names))


def _mails(response: Response) -> frozenset[bytes]:
    return frozenset(mail.lower() for mail in _MAIL.findall(decoded_body(response)))


def _owners(response: Response) -> frozenset[bytes]:
    """Ids of whom objects of a JSON answer belong to."""
    members = json_members(decoded_body(response))
    return frozenset(str(value).encode() for name, value in members if _OWNER.fullmatch(name))


def _points_at_an_object(request: Request) -> bool:
    """Whether a changing part of the path, or a parameter, says which object is meant."""
    return "{}" in route_template(request.method, request.target) or b"=" in request.target.partition(b"?")[2]


def _neighbours(request: Request) -> Iterator[tuple[Point, bytes]]:
    for point in list_points(request):
        if point.layers[0] in ("PATH", "ACTION_NAME", "GET") and _NUMBER.fullmatch(point.value):
            for step in _STEPS:
                number = int(point.value) + step
                if number >= 0 and point.name.endswith("_value"):
                    yield point, b"%d" % number

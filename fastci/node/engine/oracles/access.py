"""Oracle `access`: what is refused without credentials is given for broken ones, or by a way around.

A page that anybody may see is none of its business: the request without credentials must be refused, before
the attempts and again after one that worked.
"""

import base64
from collections.abc import Iterator
from dataclasses import replace

from fastci import results
from fastci.node.dsl import Attack, Markers
from fastci.node.engine.confirm import Probe
from fastci.node.engine.likeness import Likeness
from fastci.node.engine.people import carried, is_credential, without_credentials
from fastci.node.engine.sender import Reply
from fastci.node.message import Request

_FORWARDED = (b"X-Forwarded-For", b"X-Real-IP", b"X-Client-IP", b"X-Originating-IP", b"True-Client-IP",
              b"X-Custom-IP-Authorization")  # fmt: skip
_REWRITTEN = (b"X-Original-URL", b"X-Rewrite-URL")
_METHODS = (b"HEAD", b"POST", b"PUT", b"OPTIONS")

Try = tuple[str, Request]


async def decide_access(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Ask without credentials, then in each of the extension's ways; the evidence of the first that works."""
    request = attack.request
    if not any(True for _ in carried(request)):
        return None
    control = await probe.channel.send(request)
    likeness = Likeness(probe.control.response, control.response)
    if not likeness.tells:
        return None
    bare = without_credentials(request)
    refused = await probe.channel.send(bare)
    if not likeness.refused(refused.response):
        return None
    for way in probe.extension.oracle_options["tries"]:
        for shown, tried in _TRIES[way](probe.channel.refreshed(request), bare, attack.markers):
            reply = await probe.channel.send(tried)
            if not _given(likeness, control, reply, tried):
                continue
            again = await probe.channel.send(tried)
            still = await probe.channel.send(bare)
            if _given(likeness, control, again, tried) and likeness.refused(still.response):
                return results.Evidence(
                    payload=shown,
                    matched=f"the answer that is refused without credentials is given: {shown}",
                    attack=reply.exchange(),
                    confirmation=again.exchange(),
                    control=still.exchange(),
                    notes=["the control is the same request without credentials"],
                )
    return None


def _given(likeness: Likeness, control: Reply, reply: Reply, tried: Request) -> bool:
    if tried.method != b"HEAD":
        return likeness.same(reply.response)
    lengths = [r.response.get(b"content-length") for r in (control, reply)]
    return reply.response.status == control.response.status and lengths[0] == lengths[1] is not None


def _broken(request: Request, bare: Request, markers: Markers) -> Iterator[Try]:
    word = markers.text.encode()
    changed, signless = request, request
    for field in request.fields:
        if not is_credential(field):
            continue
        if field.name.lower() == b"cookie":
            pairs = [pair.partition(b"=") for pair in field.value.split(b";")]
            value = b"; ".join(name.strip() + b"=" + word for name, _, _ in pairs)
        else:
            scheme, blank, rest = field.value.rpartition(b" ")
            basic = scheme.lower() == b"basic"
            value = scheme + blank + (base64.b64encode(word + b":" + word) if basic else word)
            signless = signless.with_header(field.name, scheme + blank if blank else b"")
            del rest
        changed = changed.with_header(field.name, value)
    yield "every credential is the word " + markers.text, changed
    if signless is not request:
        yield "the credentials are empty", signless


def _forwarded(request: Request, bare: Request, markers: Markers) -> Iterator[Try]:
    for name in _FORWARDED:
        bare = bare.with_header(name, b"127.0.0.1")
    yield "X-Forwarded-For: 127.0.0.1, and other headers that name the sender", bare


def _path(request: Request, bare: Request, markers: Markers) -> Iterator[Try]:
    path, question, query = bare.target.partition(b"?")
    rest = question + query
    rewritten = bare
    for name in _REWRITTEN:
        rewritten = rewritten.with_header(name, bare.target)
    yield f"X-Original-URL: {path.decode('latin-1')}", rewritten.with_target(b"/" + rest)
    folder, _, last = path.rpartition(b"/")
    spellings = [path + b"/", path + b"/.", b"/" + path, path + b";" + markers.text.encode() + b".css",
                 path + b"%20", folder + b"/%2e/" + last, folder + b"/" + last.swapcase()]  # fmt: skip
    for spelling in dict.fromkeys(spellings):
        if spelling != path:
            yield f"the path is written {spelling.decode('latin-1')}", bare.with_target(spelling + rest)


def _method(request: Request, bare: Request, markers: Markers) -> Iterator[Try]:
    for method in (*_METHODS, markers.text.upper().encode()):
        if method != bare.method and (bare.method == b"GET" or method not in (b"HEAD", b"OPTIONS")):
            yield f"the method is {method.decode()}", replace(bare, method=method)


_TRIES = {"broken": _broken, "forwarded": _forwarded, "path": _path, "method": _method}

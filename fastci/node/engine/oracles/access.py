"""Oracle `access`: what is refused without credentials is given for broken or guessed ones, or by a detour.

A page that anybody may see is none of its business: the request without credentials must be refused, before
the attempts and again after one that worked.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from fastci import results
from fastci.node.dsl import Attack, Markers
from fastci.node.engine.confirm import Probe
from fastci.node.engine.likeness import Likeness
from fastci.node.engine.people import Person, carried, is_credential, without_credentials
from fastci.node.engine.sender import Reply
from fastci.node.message import Request

_FORWARDED = (b"X-Forwarded-For", b"X-Real-IP", b"X-Client-IP", b"X-Originating-IP", b"True-Client-IP",
              b"X-Custom-IP-Authorization")  # fmt: skip
_REWRITTEN = (b"X-Original-URL", b"X-Rewrite-URL")
_METHODS = (b"HEAD", b"POST", b"PUT", b"OPTIONS")

_BETWEEN = re.compile(r"[\s{}\[\]\"':;,|&=/]+")
_GUESSED = re.compile(
    r"\d{1,6}|true|false|null|yes|no|on|off|v\d|(?:user|login|e?mail|account|member|customer|person|session)?_?-?(?:name|id|role|type)?"
    r"|uid|roles?|admin|is_?admin|guest|customer|user|users|auth(?:enticated)?|logged_?in|remember|lang|en"
)
_HASHES = (hashlib.md5, hashlib.sha1, hashlib.sha256)

Try = tuple[str, Request]


async def decide_access(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Ask without credentials, then in each of the extension's ways; the evidence of the first that works."""
    request = attack.request
    if not any(True for _ in carried(request)):
        return None
    sender = probe.company.sender
    control = await probe.channel.send(request)
    likeness = Likeness(probe.control.response, control.response)
    if not likeness.tells:
        return None
    bare = without_credentials(request)
    refused = await probe.channel.send(bare)
    if not likeness.refused(refused.response):
        return None
    for way in probe.extension.oracle_options["tries"]:
        for shown, tried in _tries(way, probe.channel.refreshed(request), bare, attack.markers, sender):
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


def _tries(
    way: str, request: Request, bare: Request, markers: Markers, sender: Person | None
) -> Iterator[Try]:
    """What is tried in a way: as people are told it, and the request."""
    match way:
        case "broken":
            yield from _broken(request, markers)
        case "forwarded":
            yield from _forwarded(bare)
        case "path":
            yield from _path(bare, markers)
        case "method":
            yield from _method(bare, markers)
        case "named" if sender is not None:
            yield from _named(request, bare, sender.names | sender.ids)


def _given(likeness: Likeness, control: Reply, reply: Reply, tried: Request) -> bool:
    if tried.method != b"HEAD":
        return likeness.same(reply.response)
    lengths = [r.response.get(b"content-length") for r in (control, reply)]
    return reply.response.status == control.response.status and lengths[0] == lengths[1] is not None


def _broken(request: Request, markers: Markers) -> Iterator[Try]:
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


def _forwarded(bare: Request) -> Iterator[Try]:
    for name in _FORWARDED:
        bare = bare.with_header(name, b"127.0.0.1")
    yield "X-Forwarded-For: 127.0.0.1, and other headers that name the sender", bare


def _path(bare: Request, markers: Markers) -> Iterator[Try]:
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


def _method(bare: Request, markers: Markers) -> Iterator[Try]:
    for method in (*_METHODS, markers.text.upper().encode()):
        if method != bare.method and (bare.method == b"GET" or method not in (b"HEAD", b"OPTIONS")):
            yield f"the method is {method.decode()}", replace(bare, method=method)


def _named(request: Request, bare: Request, names: Set[str]) -> Iterator[Try]:
    """Each credential that only says who sends it, alone: whoever knows the name can write it."""
    for field in request.fields:
        if not is_credential(field):
            continue
        scheme, _, rest = field.value.rpartition(b" ")
        if field.name.lower() == b"cookie":
            for pair in map(bytes.strip, field.value.split(b";")):
                if only_says_who(pair.partition(b"=")[2], names):
                    yield f"the cookie {pair.decode('latin-1')} alone", bare.with_header(b"Cookie", pair)
        elif scheme.lower() != b"basic" and only_says_who(rest, names):
            shown = f"{field.name.decode()}: {field.value.decode('latin-1')}"
            yield shown, bare.with_header(field.name, field.value)


def only_says_who(value: bytes, names: Set[str]) -> bool:
    """Whether a credential, decoded, is made of words that anybody may know, the sender's name among them."""
    text = unquote_to_bytes(value)
    readings = [text]
    with suppress(ValueError):
        padded = text.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4)
        readings.append(base64.b64decode(padded, validate=True))
    for reading in readings:
        said = reading.decode("utf-8", "replace").lower()
        if any(said == hashed(name.encode()).hexdigest() for name in names for hashed in _HASHES):
            return True
        words = {word for word in _BETWEEN.split(said) if word}
        if words & names and all(word in names or _GUESSED.fullmatch(word) for word in words):
            return True
    return False

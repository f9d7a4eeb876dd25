"""Listening for what a target does out of band: look-ups and requests that test requests made it make."""

import asyncio
import ipaddress
import string
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastci.config import Settings
from fastci.node.oob.callbacks import TOKEN_LENGTH, Callback, Log, fresh_word
from fastci.node.oob.dns import Zone, address_for, ask, serve_names
from fastci.node.oob.offer import NO_DOMAIN, Offer, Spelling, machine_address
from fastci.node.oob.visitors import receive_visitors

__all__ = ["Callback", "Log", "Offer", "Spelling", "listen"]

Say = Callable[[str], None]

_ARRIVES_WITHIN = 3.0
_RESOLVERS = Path("/etc/resolv.conf")


@asynccontextmanager
async def listen(settings: Settings, say: Say) -> AsyncIterator[tuple[Offer, Log]]:
    """Open what the settings and this machine allow, until the end of the block; never fails a run.

    What is open and what is not possible is said in one line each.
    """
    word = fresh_word()
    log = Log(word)
    async with AsyncExitStack() as stack:
        offer = Offer(
            word=word,
            address=settings.fast_oob_address,
            machine=machine_address(),
            sources=tuple(ipaddress.ip_network(source) for source in settings.fast_oob_sources),
        )
        if not settings.fast_oob:
            offer = replace(offer, reason="oob: not possible because FAST_OOB is false")
        elif settings.fast_oob_server:
            offer = await _outside(settings, offer, log, stack, say)
        else:
            offer = await _own(settings, offer, log, stack, say)
        if offer.reason:
            say(f"[info] {offer.reason}")
        yield offer, log


async def _outside(settings: Settings, offer: Offer, log: Log, stack: AsyncExitStack, say: Say) -> Offer:
    """The server is somebody else's decision: where it fails nothing else listens in its place."""
    # Few runs name a server, and its client's libraries are a fifth of what a testing node imports.
    from fastci.node.oob.interactsh import ServerRefused, poll_server

    try:
        domain = await stack.enter_async_context(
            poll_server(settings.fast_oob_server, settings.fast_oob_token, log, offer.word)
        )
    except ServerRefused as error:
        return replace(offer, reason=f"oob: not possible because the server cannot be used: {error}")
    domain = settings.fast_oob_domain or domain
    say(f"[info] oob: names below {domain} are heard by {settings.fast_oob_server}")
    return replace(offer, domain=domain, outside=True)


async def _own(settings: Settings, offer: Offer, log: Log, stack: AsyncExitStack, say: Say) -> Offer:
    host, port = settings.fast_oob_listen_http
    wanted = port or (80 if settings.fast_oob_domain else 0)
    for number in dict.fromkeys((wanted, port)):
        try:
            opened = await stack.enter_async_context(receive_visitors(log, host, number))
        except OSError as error:
            say(f"[warn] oob http: port {number} cannot be listened at: {error.strerror or error}")
        else:
            offer = replace(offer, port=opened)
            say(f"[info] oob http: listening on {host}:{opened}")
            break
    if not settings.fast_oob_domain:
        return replace(offer, reason=NO_DOMAIN if offer.port else "oob: not possible because nothing listens")
    return await _own_names(settings, offer, log, stack, say)


async def _own_names(settings: Settings, offer: Offer, log: Log, stack: AsyncExitStack, say: Say) -> Offer:
    domain = settings.fast_oob_domain
    host, port = settings.fast_oob_listen_dns
    zone = Zone(domain, log, address_for(offer.address, offer.machine))
    try:
        port = await stack.enter_async_context(serve_names(zone, host, port))
    except OSError as error:
        why = error.strerror or str(error)
        return replace(
            offer,
            reason=f"oob dns: not possible because port {port} cannot be listened at: {why} "
            "(FAST_OOB_LISTEN_DNS)",
        )
    say(f"[info] oob dns: listening on {host}:{port} for names below {domain}")
    check = asyncio.create_task(_tell_whether_names_arrive(log, offer.word, domain, say))
    stack.callback(check.cancel)
    return replace(offer, domain=domain)


async def _tell_whether_names_arrive(log: Log, word: str, domain: str, say: Say) -> None:
    if await _arrives(log, word, domain):
        say(f"[info] oob dns: this machine's own look-ups below {domain} come here")
    else:
        say(
            f"[warn] oob dns: this machine's own look-ups below {domain} do not come here; those of the "
            "target do only where its resolver is this node or the domain is delegated to it"
        )


async def _arrives(log: Log, word: str, domain: str) -> bool:
    """Whether a look-up by this machine's resolver comes back to our listener."""
    token = (string.ascii_lowercase * 2)[:TOKEN_LENGTH]
    servers = await asyncio.to_thread(_resolvers)
    for server in servers:
        ask(server, f"{word}{token}.{domain}")
    return bool(servers) and await log.wait(lambda: bool(log.of(token)), _ARRIVES_WITHIN)


def _resolvers() -> list[str]:
    try:
        lines = _RESOLVERS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [words[1] for words in map(str.split, lines) if len(words) == 2 and words[0] == "nameserver"][:3]

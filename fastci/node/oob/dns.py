"""The node's name server, over UDP and TCP: authority of one domain, deaf for all others.

Every name of the domain has the node's address, so that what was looked up is then fetched from here too.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from dnslib import AAAA, NS, QTYPE, RCODE, RR, SOA, A, DNSError, DNSRecord

from fastci.node.oob.callbacks import Log
from fastci.node.oob.offer import local_address

_TIMEOUT = 5.0
_LONGEST = 4096
_MOST_CONNECTIONS = 64
_TTL = 0
"""Nobody keeps an answer: the same name looked up again is heard again."""


class Zone:
    """What is answered. `address` gives this node's address for who asks from a given one."""

    def __init__(self, domain: str, log: Log, address: Callable[[str], str]) -> None:
        self._domain = domain.lower().strip(".")
        self._log = log
        self._address = address

    def answer(self, data: bytes, source: str) -> bytes:
        """The answer to one message; empty for what is no question."""
        try:
            query = DNSRecord.parse(data)
        except (DNSError, ValueError, IndexError):
            return b""
        if query.header.qr or not query.questions:
            return b""
        name = str(query.q.qname).rstrip(".")
        reply = query.reply(aa=1, ra=0)
        if not (name.lower() == self._domain or name.lower().endswith("." + self._domain)):
            reply.header.aa = 0
            reply.header.rcode = RCODE.REFUSED
            return bytes(reply.pack())
        kind = QTYPE.get(query.q.qtype)
        self._log.hear(name, kind="dns", source=source, what=f"{kind} {name}")
        self._add_records(reply, kind, self._address(source))
        return bytes(reply.pack())

    def _add_records(self, reply: DNSRecord, kind: str, address: str) -> None:
        name = reply.q.qname
        records = {"AAAA": [AAAA(address)]} if ":" in address else {"A": [A(address)]}
        if str(name).rstrip(".").lower() == self._domain:
            records["NS"] = [NS(f"ns.{self._domain}")]
        for data in records.get(kind, []):
            reply.add_answer(RR(name, getattr(QTYPE, kind), rdata=data, ttl=_TTL))
        if not reply.rr:
            start = SOA(f"ns.{self._domain}", f"hostmaster.{self._domain}", (1, 60, 60, 60, 0))
            reply.add_auth(RR(self._domain, QTYPE.SOA, rdata=start, ttl=_TTL))


@contextlib.contextmanager
def _answer_datagrams(zone: Zone, host: str, port: int) -> Iterator[None]:
    """A plain socket that the loop watches: closing uvloop after a datagram transport of its own may hang."""
    loop = asyncio.get_running_loop()
    with socket.socket(_family(host), socket.SOCK_DGRAM) as listener:
        listener.setblocking(False)
        listener.bind((host, port))

        def receive() -> None:
            with contextlib.suppress(OSError):
                data, address = listener.recvfrom(_LONGEST)
                answer = zone.answer(data, address[0])
                if answer:
                    listener.sendto(answer, address)

        loop.add_reader(listener, receive)
        try:
            yield
        finally:
            loop.remove_reader(listener)


@asynccontextmanager
async def serve_names(zone: Zone, host: str, port: int) -> AsyncIterator[int]:
    """Answer until the end of the block; gives the port. Raises OSError where it cannot be had."""
    open_connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_connections
        open_connections += 1
        try:
            if open_connections <= _MOST_CONNECTIONS:
                async with asyncio.timeout(_TIMEOUT):
                    await _talk(zone, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            open_connections -= 1
            writer.close()

    server = await asyncio.start_server(talk, host, port, family=_family(host))
    try:
        port = server.sockets[0].getsockname()[1]
        with _answer_datagrams(zone, host, port):
            yield port
    finally:
        server.close()


async def _talk(zone: Zone, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Questions over TCP, each with its length before it (RFC 1035, section 4.2.2)."""
    source = writer.get_extra_info("peername")[0]
    while True:
        length = int.from_bytes(await reader.readexactly(2))
        if length > _LONGEST:
            return
        answer = zone.answer(await reader.readexactly(length), source)
        if not answer:
            return
        writer.write(len(answer).to_bytes(2) + answer)
        await writer.drain()


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def address_for(fixed: str, machine: str) -> Callable[[str], str]:
    """What names stand for: the fixed address, else the one from which the asking side is reached."""

    def address(source: str) -> str:
        local = fixed or local_address(source)
        return machine if machine and (not local or local.startswith("127.")) else local

    return address


def ask(server: str, name: str) -> None:
    """Send one question to a name server and wait for no answer: that it comes through is seen elsewhere."""
    with contextlib.suppress(OSError), socket.socket(_family(server), socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.sendto(DNSRecord.question(name).pack(), (server, 53))

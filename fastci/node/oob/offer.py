"""How a target is to call back, and whose calls count: which name or address DNS_MARKER stands for.

A name below a domain that leads here works for look-ups and requests alike. Where there is none, the node's
own address does, as the target sees it: `172.18.0.3:40123/TOKEN`, a host with a port and the token as path.
"""

import ipaddress
import socket
from contextlib import suppress
from dataclasses import dataclass

NO_DOMAIN = (
    "oob dns: not possible because no domain leads to this node: name one in FAST_OOB_DOMAIN, or a server in "
    "FAST_OOB_SERVER"
)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Spelling:
    """What DNS_MARKER is at one target: `template` has `*` for the token; empty where nothing is reached.

    `reason` says what is not possible and why; empty when everything is.
    """

    template: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What listens during a run. Plain values: every process of the run gets them.

    `domain` leads to a listener, `port` is that of the own HTTP listener (0: none), `address` what
    FAST_OOB_ADDRESS says. `machine` is this machine's main address, `outside` an outside server in place of
    own listeners. `sources` are further networks whose visits count, `reason` why something is missing.
    """

    word: str = ""
    domain: str = ""
    port: int = 0
    address: str = ""
    machine: str = ""
    outside: bool = False
    sources: tuple[_Network, ...] = ()
    reason: str = ""

    def spelling(self, local: str, peer: str) -> Spelling:
        """For a target that a connection reached from `local` at `peer` (IP addresses)."""
        if self.domain:
            return Spelling(template=f"{self.word}*.{self.domain}", reason=self.reason)
        if not self.port:
            return Spelling(reason=self.reason)
        address, obstacle = self.address, ""
        if not address:
            address, obstacle = reachable(local, peer, self.machine)
        if obstacle:
            return Spelling(reason=f"oob: not possible because {obstacle}")
        host = f"[{address}]" if ":" in address else address
        return Spelling(template=f"{host}:{self.port}/{self.word}*", reason=self.reason)

    def counts(self, source: str, peer: str, *, meanwhile: bool) -> bool:
        """Whether a request from `source` is the doing of the target at `peer`.

        A target behind a proxy or a published port calls from another address. Such a neighbour counts while
        the test request was still under way (`meanwhile`); later it may be anybody who came across the
        address: a scanner, a preview, a mail filter.
        """
        if not source or not peer:
            return True
        caller, target = _parse(source), _parse(peer)
        if caller == target or any(caller in network for network in self.sources):
            return True
        if self.address and not self.sources:
            # There is something between the target and us that may hide its address.
            return True
        if _is_public(caller):
            return False
        at_home = target.is_loopback or peer == self.machine
        if at_home and (not caller.is_loopback or source in ("127.0.0.1", "::1")):
            return True
        return meanwhile


def reachable(local: str, peer: str, machine: str) -> tuple[str, str]:
    """The address at which a target reaches this node, or why it cannot.

    It is the address from which the node reaches the target. Of a target on loopback the machine's main
    address is taken: it may be a container behind a published port, whose own loopback is another.
    """
    here, there = _parse(local), _parse(peer)
    if _is_public(there) and not _is_public(here):
        return "", f"a target on the internet ({there}) cannot reach {here}: set FAST_OOB_ADDRESS"
    if here.is_loopback and machine:
        return machine, ""
    return str(here), ""


def machine_address() -> str:
    """The address from which this machine reaches others, empty where it reaches none. Sends nothing."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return ""


def local_address(peer: str) -> str:
    """The address from which this machine reaches `peer`; empty where it does not. Sends nothing."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))
        return str(probe.getsockname()[0])
    return ""


def _parse(text: str) -> _Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_public(address: _Address) -> bool:
    return address.is_global and not address.is_multicast

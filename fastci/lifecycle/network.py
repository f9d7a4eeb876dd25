"""Where a node's container is attached, so that it sees the target as the functional tests do."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastci.errors import UsageError

NODE_PORT = 8080
_OWN_FILES = re.compile(
    r"/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf) /etc/(?:hostname|hosts|resolv\.conf) "
)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is known about where we run and what the engine has.

    `own_container` is the id of the container this process runs in, when the engine knows it; `own_networks`
    the networks that one is on. `local` is an engine on this kernel; `engine_host` is where the ports it
    publishes are reached. `wanted` is FAST_NETWORK; `known` the names of the engine's networks.
    """

    own_container: str = ""
    own_networks: tuple[str, ...] = ()
    local: bool = True
    engine_host: str = "127.0.0.1"
    wanted: str = ""
    known: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """How the container is attached. `mode` is the engine's network mode, or `network` the one to join.

    `publish` is the address that port 8080 is published at; empty where that is not needed. `shares` says
    that the node sees exactly the network that this process sees, so that localhost is the same for both.
    `why` is for people.
    """

    why: str
    mode: str = ""
    network: str = ""
    publish: str = ""
    shares: bool = False


def choose_attachment(around: Surroundings) -> Attachment:
    """The way that reaches most targets. Raises UsageError for a network that does not exist.

    A node that shares the network of the job sees a target on the job's localhost, behind published ports and
    by service name, exactly as the functional tests see it; a bridge of its own would see none of these.
    """
    if around.wanted:
        return _join(around)
    if around.own_container:
        return Attachment(
            mode=f"container:{around.own_container}",
            shares=True,
            why="the network of the container this job runs in",
        )
    if around.local:
        return Attachment(mode="host", shares=True, why="the network of this machine")
    return Attachment(
        mode="bridge",
        publish="0.0.0.0" if around.engine_host != "127.0.0.1" else "127.0.0.1",
        why="a network of its own, as the engine's network is not the one of this machine",
    )


def _join(around: Surroundings) -> Attachment:
    name = around.wanted
    if name == "none":
        raise UsageError("FAST_NETWORK=none: a node without a network reaches no target")
    if name == "host":
        return Attachment(mode="host", shares=around.local, why="the engine's own network, as told")
    if name not in around.known:
        raise UsageError(
            f"the Docker network {name} does not exist",
            why=f"known networks: {', '.join(sorted(around.known)) or 'none'}",
            hint="name the one that the target is on in FAST_NETWORK",
        )
    why = f"the Docker network {name}"
    if name in around.own_networks:
        return Attachment(network=name, why=why)
    return Attachment(
        network=name, publish="127.0.0.1" if around.engine_host == "127.0.0.1" else "0.0.0.0", why=why
    )


def names_of_engine(host: str) -> list[str]:
    """The names under which a node inside an engine must find the machine that it runs on.

    What the engine publishes is at its own name for the tests (docker:dind is `docker`), and names of the
    job's network mean nothing inside of it.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ["host.docker.internal", host]
    return ["host.docker.internal"]


def own_container_id(mountinfo: str) -> str:
    """The id of the container that has this /proc/self/mountinfo; empty outside of one.

    Engines bind-mount hostname, hosts and resolv.conf from a folder that bears the container's id.
    """
    found = _OWN_FILES.search(mountinfo)
    return found[1] if found else ""

"""Nodes as containers of a Docker Engine.

Files travel by the engine's API, never by bind mounts: the engine may be another machine, and what it writes
through a mount would belong to root. Everything that is made carries labels. Nothing here blocks for long.
"""

import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import APIError, NotFound
from docker.types import Mount

from fastci.config import Mode, Settings
from fastci.errors import TechnicalError, UsageError
from fastci.lifecycle import archive, network, probe
from fastci.lifecycle.engine import already_gone, connect, reason_of, speaking
from fastci.lifecycle.image import NODE_LABEL, Images
from fastci.lifecycle.interrupts import Waiter
from fastci.lifecycle.labels import SELECTOR, Labels, parse_labels
from fastci.lifecycle.runtime import LISTENING_LINE, READY_LINE, Ended, Launch, Node, Place
from fastci.lifecycle.workspace import port_taken

Say = Callable[[str], None]

_HOME = PurePosixPath("/var/lib/fast")
"""Where our node keeps everything: one volume, so that the rest of its file system can be read-only."""
_MOUNT_POINTS = {
    Place.REPORTS: PurePosixPath("/opt/reports"),
    Place.EXTENSIONS: PurePosixPath("/opt/custom_extensions"),
    Place.AUTHS: PurePosixPath("/opt/dsl_auths"),
}
"""What the contract promises of any image (spec: node.md, mount points)."""
_USER = 10001
_PYTHON = "/opt/venv/bin/python3"
_CONNECT = (
    "import socket, sys\n"
    "try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()\n"
    "except OSError as error: raise SystemExit(str(error.strerror or error))"
)
_PORT = f"{network.NODE_PORT}/tcp"
_SUPERVISOR_PERIOD = 2.0
_LIMITS: dict[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": "size=256m,mode=1777"},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "pids_limit": 512,
}
"""What our node does without; an image that is not ours may need more."""


class ContainerRuntime:
    """Nodes as containers."""

    name = "docker"

    def __init__(self, client: "docker.DockerClient", settings: Settings, waiter: Waiter, say: Say) -> None:
        self._client = client
        self._settings = settings
        self._waiter = waiter
        self._say = say
        self._image = settings.fast_image
        self._supervisor_asked = 0.0
        self.ours = not settings.fast_image
        host = urlsplit(client.api.base_url).hostname or ""
        # The SDK calls a unix socket localhost.
        self._engine_host = "127.0.0.1" if host in ("localhost", "") else host
        with speaking("the Docker Engine cannot be asked about itself"):
            self._attachment = network.choose_attachment(self._surroundings())
        self.shares_network = self._attachment.shares

    @classmethod
    def connect(
        cls, settings: Settings, environ: Mapping[str, str], waiter: Waiter, say: Say
    ) -> "ContainerRuntime":
        """The runtime of the engine that DOCKER_HOST names. Raises TechnicalError when none answers."""
        return cls(connect(environ), settings, waiter, say)

    def close(self) -> None:
        self._client.close()

    def prepare(self) -> str:
        images = Images(self._client, self._waiter, self._say)
        if self._settings.fast_image:
            self.ours = images.get(self._image)
        else:
            self._image = images.get_own(self._settings.fast_base_image)
        return f"image {self._image}, in {self._attachment.why}"

    # the network

    def _surroundings(self) -> network.Surroundings:
        info = self._client.info()
        elsewhere = self._engine_host != "127.0.0.1" or "Docker Desktop" in str(info.get("OperatingSystem"))
        rootless = any("rootless" in option for option in info.get("SecurityOptions") or [])
        own, networks = self._own_container()
        return network.Surroundings(
            own_container=own,
            own_networks=networks,
            local=sys.platform == "linux" and not elsewhere and not rootless,
            engine_host=self._engine_host,
            wanted=self._settings.fast_network or self._network_of_target(),
            known=[str(found["Name"]) for found in self._client.api.networks()],
        )

    def _own_container(self) -> tuple[str, tuple[str, ...]]:
        with suppress(OSError, NotFound):
            own = network.own_container_id(Path("/proc/self/mountinfo").read_text())
            if own:
                facts = self._client.api.inspect_container(own)
                return own, tuple(facts["NetworkSettings"]["Networks"] or ())
        return "", ()

    def _network_of_target(self) -> str:
        """The user network on which the target's name means something, when it means nothing here."""
        host = probe.address_of(self._settings.target_uri)[0]
        if not host or probe.resolves(host):
            return ""
        for found in self._client.containers.list(ignore_removed=True):
            for name, endpoint in (found.attrs["NetworkSettings"]["Networks"] or {}).items():
                names = {found.name, *(endpoint.get("Aliases") or ()), *(endpoint.get("DNSNames") or ())}
                if host in names and name not in ("bridge", "host"):
                    return str(name)
        return ""

    # the life of a node

    def start(self, launch: Launch) -> Node:
        if self._attachment.shares and not node_port_is_free(launch, self.ours):
            raise UsageError(
                f"port {network.NODE_PORT} of {self._attachment.why} is taken",
                why="an image that is not this project's listens on no other port",
                hint="end what listens there, or give the node a Docker network of its own in FAST_NETWORK",
            )
        with speaking("the node's container cannot be made"):
            container = self._create(launch)
        name = str(container.name)
        with speaking(f"the node's container {name} cannot be started"):
            node = Node(id=str(container.id), name=name, labels=launch.labels, ours=self.ours)
            try:
                self._bring(node, launch)
                container.start()
            except BaseException as error:
                with suppress(TechnicalError):
                    self.remove(node)
                if re.search(r"already allocated|address already in use|failed to bind", str(error)):
                    raise port_taken(launch.port, reason_of(error)) from error
                raise
        return node

    def _create(self, launch: Launch) -> Any:
        """The container under a name that nobody has."""
        while True:
            name = f"fast-{launch.mode}-{uuid.uuid4().hex[:8]}"
            try:
                return self._client.containers.create(self._image, **self._options(name, launch))
            except APIError as error:
                # Podman says it with status 500.
                if error.status_code != 409 and "is already in use" not in str(error):
                    raise
                self._waiter.check()

    def _options(self, name: str, launch: Launch) -> dict[str, Any]:
        attachment, labels = self._attachment, launch.labels.render()
        options: dict[str, Any] = {
            "name": name,
            "labels": labels,
            "environment": {**launch.variables, **self._environment(launch)},
            # Health is asked over the road that the tests will take, not from inside.
            "healthcheck": {"test": ["NONE"]},
        }
        if self.ours:
            volume = Mount(target=str(_HOME), source=None, type="volume", labels=labels)
            memory = self._settings.fast_memory
            # No swap beyond it: a node that thrashes would be worse than one that is killed.
            options |= {**_LIMITS, "mounts": [volume], "mem_limit": memory, "memswap_limit": memory}
        if attachment.network:
            options["network"] = attachment.network
        else:
            options["network_mode"] = attachment.mode
        if attachment.publish:
            options["extra_hosts"] = dict.fromkeys(network.names_of_engine(self._engine_host), "host-gateway")
            if launch.mode is Mode.RECORDING:
                options["ports"] = {_PORT: (attachment.publish, launch.port or None)}
        return options

    def _environment(self, launch: Launch) -> dict[str, str]:
        inside = {
            file.variable: str(_folder(file.place, self.ours) / file.source.name)
            for file in launch.files
            if file.variable
        }
        if not self.ours:
            return inside
        own = f"127.0.0.1:{launch.port}"
        return inside | {
            "FAST_LISTEN": own if self._attachment.shares else f"0.0.0.0:{network.NODE_PORT}",
            # A database that the user named stays the store.
            ("FAST_SCRATCH" if "FAST_STORE" in launch.variables else "FAST_STORE"): str(_HOME),
            "FAST_REPORTS": str(_folder(Place.REPORTS, True)),
            "FAST_EXTENSIONS": str(_folder(Place.EXTENSIONS, True)),
            "FAST_AUTHS": str(_folder(Place.AUTHS, True)),
            "FAST_POLICIES": str(_folder(Place.POLICIES, True)),
        }

    def _bring(self, node: Node, launch: Launch) -> None:
        places = set(Place) if node.ours else {file.place for file in launch.files}
        root, owner = (_HOME, _USER) if node.ours else (PurePosixPath("/"), 0)
        folders = {place: _folder(place, node.ours).relative_to(root) for place in sorted(places)}
        if folders:
            with archive.pack(launch.files, folders, owner=owner) as content:
                self._client.api.put_archive(node.id, str(root), content)

    def ended(self, node: Node) -> Ended | None:
        with speaking(f"the node {node.name} cannot be asked how it is"):
            try:
                state = self._client.api.inspect_container(node.id)["State"]
            except NotFound:
                state = {"Status": "removing"}
        if state["Status"] in ("removing", "dead"):
            return Ended(status=None, reason="its container was removed by somebody else")
        if state["Status"] in ("created", "running", "paused", "restarting"):
            return None
        if state.get("OOMKilled"):
            reason = f"the kernel killed it: out of memory (FAST_MEMORY={self._settings.fast_memory})"
            return Ended(status=int(state["ExitCode"]), reason=reason)
        return Ended(status=int(state["ExitCode"]), reason=str(state.get("Error", "")))

    def proxy_url(self, node: Node) -> str:
        with speaking(f"the node {node.name} cannot be asked where it is"), already_gone():
            url = self._address(node)
            if node.ours:
                return url if url and probe.is_healthy(url) else ""
            return url if self._says_ready(node) else ""
        return ""

    def _address(self, node: Node) -> str:
        if self._attachment.shares and node.ours:
            found = LISTENING_LINE.search(self.log(node))
            return f"http://127.0.0.1:{found[2]}" if found else ""
        if self._attachment.shares or self._attachment.mode == "host":
            return f"http://{self._engine_host}:{network.NODE_PORT}"
        facts = self._client.api.inspect_container(node.id)["NetworkSettings"]
        published = (facts.get("Ports") or {}).get(_PORT)
        if published:
            return f"http://{self._engine_host}:{published[0]['HostPort']}"
        address = (facts.get("Networks") or {}).get(self._attachment.network, {}).get("IPAddress")
        return f"http://{address}:{network.NODE_PORT}" if address else ""

    def _says_ready(self, node: Node) -> bool:
        if READY_LINE.search(self.log(node)):
            return True
        if time.monotonic() - self._supervisor_asked < _SUPERVISOR_PERIOD:
            return False
        self._supervisor_asked = time.monotonic()
        status, output = self._run_inside(node, ["supervisorctl", "status", "proxy"])
        return status == 0 and "RUNNING" in output

    def log(self, node: Node) -> str:
        with speaking(f"the log of the node {node.name} cannot be read"), already_gone():
            lines: bytes = self._client.api.logs(node.id)
            return lines.decode(errors="replace")
        return ""

    def ask_to_end(self, node: Node) -> None:
        self._signal(node, "SIGTERM")

    def kill(self, node: Node) -> None:
        self._signal(node, "SIGKILL")

    def _signal(self, node: Node, name: str) -> None:
        with speaking(f"the node {node.name} cannot be told to end"):
            try:
                with already_gone():
                    self._client.api.kill(node.id, name)
            except APIError:
                # Of one that has ended in between Podman says it with status 500.
                if self.ended(node) is None:
                    raise

    def fetch(self, node: Node, place: Place, folder: Path) -> list[Path]:
        with speaking(f"the {place} of the node {node.name} cannot be fetched"), suppress(NotFound):
            chunks, _ = self._client.api.get_archive(node.id, str(_folder(place, node.ours)))
            return archive.unpack(chunks, folder, private=place is not Place.REPORTS)
        return []

    def remove(self, node: Node) -> None:
        hint = f"later: docker rm -f -v {node.name}, or fastci clean"
        with speaking(f"the node {node.name} cannot be removed", hint=hint), already_gone():
            self._client.api.remove_container(node.id, v=True, force=True)

    def reach(self, node: Node, host: str, port: int) -> str | None:
        if not node.ours:
            return None
        with speaking(f"the node {node.name} cannot be asked what it reaches"):
            status, output = self._run_inside(node, [_PYTHON, "-ISc", _CONNECT, host, str(port)])
        return "" if status == 0 else output.strip() or "no connection"

    def _run_inside(self, node: Node, command: list[str]) -> tuple[int, str]:
        try:
            made = self._client.api.exec_create(node.id, command)
            output: bytes = self._client.api.exec_start(made["Id"])
            return int(self._client.api.exec_inspect(made["Id"])["ExitCode"]), output.decode(errors="replace")
        except APIError as error:
            return 1, reason_of(error)

    def find(self) -> list[Node]:
        with speaking("the nodes that are left cannot be listed"):
            found = self._client.api.containers(all=True, filters={"label": SELECTOR})
        nodes = []
        for facts in found:
            labels = parse_labels(facts.get("Labels") or {})
            if labels is not None:
                name = str((facts.get("Names") or [facts["Id"][:12]])[0]).lstrip("/")
                # A container has the labels of its image too.
                ours = NODE_LABEL in facts["Labels"]
                nodes.append(Node(id=facts["Id"], name=name, labels=labels, ours=ours))
        return nodes

    def remove_rest(self, unwanted: Callable[[Labels], bool]) -> list[str]:
        removed = []
        with speaking("the volumes that are left cannot be removed"):
            filters = {"label": SELECTOR, "dangling": True}
            for facts in self._client.api.volumes(filters=filters)["Volumes"] or []:
                labels = parse_labels(facts.get("Labels") or {})
                if labels is not None and unwanted(labels):
                    with already_gone():
                        self._client.api.remove_volume(facts["Name"])
                        removed.append(f"volume {facts['Name'][:12]}")
        return removed


def node_port_is_free(launch: Launch, ours: bool) -> bool:
    """Whether a recorder that can listen nowhere else finds its port free; our own takes any."""
    return ours or launch.mode is not Mode.RECORDING or probe.is_free(network.NODE_PORT)


def _folder(place: Place, ours: bool) -> PurePosixPath:
    return _HOME / place if ours else _MOUNT_POINTS.get(place, PurePosixPath("/opt") / place)

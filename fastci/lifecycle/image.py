"""Images of nodes: the one that was named, pulled where it lacks, or our own, built of the present source.

The build context is made the same way everywhere (sorted, no owners, no times), so that its hash names the
image: a changed source makes another tag, an unchanged one finds the image that is there.
"""

import hashlib
import io
import re
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

import fastci
from fastci.errors import TechnicalError, UsageError
from fastci.lifecycle.engine import reason_of, speaking
from fastci.lifecycle.interrupts import Waiter, heed
from fastci.lifecycle.sessions import one_at_a_time

Say = Callable[[str], None]

REPOSITORY = "fast-action/node"
NODE_LABEL = "org.fast-action.node"
"""Image label that says: this is our node, not just any image of the contract."""
PACKAGE = Path(fastci.__file__).resolve().parent
_BESIDE = {"Dockerfile": "lifecycle/context/Dockerfile", "locked/image.txt": "lifecycle/context/image.txt"}
"""What the Dockerfile reads beside the package, and where that has it: links in a checkout, else files."""
_BUILD_TIMEOUT = 900
_PULLS = 3
_LIFETIME = 86400.0
"""Seconds that an image of an earlier source is kept: a job may still want it."""


class Images:
    """The images of one engine. An interruption while one is made leaves a thread behind; the engine gives a
    build up when its client goes away."""

    def __init__(self, client: "docker.DockerClient", waiter: Waiter, say: Say) -> None:
        self._client = client
        self._waiter = waiter
        self._say = say

    def get(self, name: str) -> bool:
        """See to it that the engine has an image, and say whether it is this project's node.

        Raises UsageError when it cannot be pulled, TechnicalError.
        """
        with speaking(f"the image {name} cannot be inspected"):
            try:
                found = self._client.images.get(name)
            except ImageNotFound:
                self._pull(name)
                found = self._client.images.get(name)
        return NODE_LABEL in (found.attrs.get("Config", {}).get("Labels") or {})

    def _pull(self, name: str) -> None:
        self._say(f"pulling {name}")
        for attempt in range(1, _PULLS + 1):
            try:
                heed(self._waiter, lambda: self._pull_once(name))
                return
            except (DockerException, requests.RequestException, OSError) as error:
                lacking = isinstance(error, NotFound) or re.search(
                    r"denied|invalid reference|manifest unknown", str(error)
                )
                if lacking or attempt == _PULLS:
                    raise UsageError(
                        f"the image {name} is not on this engine and cannot be pulled",
                        why=reason_of(error),
                        hint="check the name in FAST_IMAGE and the login to its registry",
                    ) from error
                self._say(f"pulling failed, trying again: {reason_of(error)}")
                self._waiter.pause(2.0**attempt)

    def _pull_once(self, name: str) -> None:
        # What fails once an engine has begun to answer is told among its progress; Podman does so at once.
        for event in self._client.api.pull(name, stream=True, decode=True):
            if "error" in event:
                raise DockerException(event["error"])

    def get_own(self, base: str) -> str:
        """See to it that the engine has the node's image of the present source on this base; its name.

        Raises TechnicalError when it cannot be built.
        """
        context = build_context(PACKAGE)
        tag = image_tag(context, base)
        with one_at_a_time("image", self._waiter), speaking("the node's image cannot be built"):
            try:
                self._client.images.get(tag)
            except ImageNotFound:
                self._say(f"building the node's image on {base}")
                self._build(context, tag, base)
                self._forget_old_images(tag)
        return tag

    def _forget_old_images(self, current: str) -> None:
        """Remove what earlier sources made; one that a container uses, or a job may still want, stays."""
        for found in self._client.api.images(name=REPOSITORY):
            for tag in found.get("RepoTags") or []:
                if tag != current and time.time() - found["Created"] > _LIFETIME:
                    with suppress(APIError):
                        self._client.api.remove_image(tag)

    def _build(self, context: bytes, tag: str, base: str) -> None:
        said: list[str] = []

        def work() -> str:
            stream = self._client.api.build(
                fileobj=io.BytesIO(context), custom_context=True, tag=tag, rm=True, forcerm=True, decode=True,
                buildargs={"BASE_IMAGE": base}, timeout=_BUILD_TIMEOUT,
            )  # fmt: skip
            for event in stream:
                said.extend(str(event.get("stream", "")).splitlines())
                if "error" in event:
                    return str(event["error"])
            return ""

        fault = heed(self._waiter, work)
        if fault:
            last = [line for line in said if line.strip()][-10:]
            raise TechnicalError(
                f"the node's image cannot be built on {base}",
                why="\n       ".join([fault, *last]),
                hint="name a base that this engine has in FAST_BASE_IMAGE, or take --runtime process",
            )


def build_context(package: Path) -> bytes:
    """The build context as a tar archive, the same bytes for the same sources, however installed."""
    sources = {name: package / place for name, place in _BESIDE.items()}
    for path in package.rglob("*"):
        inside = path.relative_to(package)
        # The templates are those of job definitions: nothing in a node makes any.
        if path.is_file() and path.suffix != ".pyc" and inside.parts[0] != "templates":
            sources[f"fastci/{inside.as_posix()}"] = path
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, path in sorted(sources.items()):
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def image_tag(context: bytes, base_image: str) -> str:
    """Name and tag of the image that this context makes on this base."""
    digest = hashlib.sha256(context + b"\0" + base_image.encode()).hexdigest()
    return f"{REPOSITORY}:{fastci.__version__}-{digest[:16]}"

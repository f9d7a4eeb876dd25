"""The Docker Engine, or Podman behind its socket: reaching it, and its errors in our words."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tarfile import TarError
from urllib.parse import urlsplit

import docker
import requests
from docker.constants import DEFAULT_UNIX_SOCKET
from docker.errors import APIError, DockerException

from fastci.errors import TechnicalError

_API_TIMEOUT = 30


def connect(environ: Mapping[str, str]) -> "docker.DockerClient":
    """The engine that DOCKER_HOST names. Raises TechnicalError when none answers."""
    client = None
    where = environ.get("DOCKER_HOST") or DEFAULT_UNIX_SOCKET.replace("http+", "")
    try:
        if where.startswith("unix://"):
            # The SDK leaves a socket behind where there is nothing to connect to.
            Path(urlsplit(where).path).stat()
        client = docker.from_env(environment=dict(environ), timeout=_API_TIMEOUT)
        client.ping()
    except (DockerException, requests.RequestException, OSError, ValueError) as error:
        if client is not None:
            client.close()
        raise TechnicalError(
            f"no Docker Engine answers at {where}",
            why=reason_of(error),
            hint="start one, name it in DOCKER_HOST, or take --runtime process, which needs none",
        ) from error
    return client


@contextmanager
def speaking(what: str, *, hint: str = "") -> Iterator[None]:
    """Errors of the engine and of the road to it become TechnicalError."""
    try:
        yield
    except (DockerException, requests.RequestException, OSError, TarError) as error:
        away = isinstance(error, requests.ConnectionError | requests.Timeout | ConnectionError)
        why = f"the Docker Engine does not answer any more: {reason_of(error)}" if away else reason_of(error)
        raise TechnicalError(what, why=why, hint=hint) from error


@contextmanager
def already_gone() -> Iterator[None]:
    """What was to end or to go may have done so in between: 404, and 409 for one that is on its way."""
    try:
        yield
    except APIError as error:
        if error.status_code not in (404, 409):
            raise


def reason_of(error: BaseException) -> str:
    if isinstance(error, APIError):
        return str(error.explanation or error)
    plain = re.search(
        r"No such file or directory|Permission denied|Connection refused|timed out|Remote end closed[^'\")]*",
        str(error),
    )
    return plain[0].lower() if plain else str(error)

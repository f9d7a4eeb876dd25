"""What a record holds: its facts, and its baselines as they are read and as they are stored."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fastci.node.message import Origin, Request, Response


class Row(NamedTuple):
    """A baseline as it is stored: heads as on the wire, bodies without transfer coding.

    In an encrypted record the four messages are sealed (`sealing`); all else is readable without the key.
    """

    sequence: int
    scheme: str
    host: str
    port: int
    request_head: bytes
    request_body: bytes
    response_head: bytes
    response_body: bytes
    started: float
    duration: float
    connection: int
    test: str
    truncated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """One recorded exchange. `sequence` counts from 1 in the order in which responses completed.

    `started` is unix seconds, `duration` seconds until the response was complete, `connection` the number
    of the client connection, `test` the functional test that sent it (empty when not told). `truncated`:
    a body was longer than what is kept, so the request is not attacked.
    """

    sequence: int
    origin: Origin
    request: Request
    response: Response
    started: float
    duration: float
    connection: int
    test: str
    truncated: bool

    @property
    def id(self) -> str:
        return f"bl_{self.sequence}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """The facts of a record. `closed` is None while it is being written, or when its node was killed.

    `seen` counts what passed the node without being recorded, by kind and host. `encrypted`: its messages
    can be read with the key only.
    """

    id: str
    name: str
    build_id: str
    created: float
    closed: float | None
    baselines: int
    seen: dict[tuple[str, str], int]
    path: Path
    encrypted: bool = False

"""Labels: what is known about a node that runs, kept with the node itself and nowhere else.

Every container and volume carries them, every embedded node has them in its folder. Stop, clean and the sweep
of leftovers find nodes by them. They never hold a secret.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from fastci.config import Mode
from fastci.lifecycle.sessions import identity, is_alive

PRODUCT = "fast-action"
_PREFIX = "org.fast-action."
_LINGER = 3600.0
"""Seconds that a node made in the future, by a clock that was set back since, is left alone."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """`job` names workspace and CI job; `created` and `deadline` are unix seconds.

    `owner` is the identity of the process that tends the node; empty for one that `fastci record` left.
    """

    job: str
    mode: Mode
    build_id: str
    created: float
    deadline: float
    owner: str = ""
    record_id: str = ""

    def render(self) -> dict[str, str]:
        return {
            _PREFIX + "product": PRODUCT,
            _PREFIX + "job": self.job,
            _PREFIX + "step": self.mode,
            _PREFIX + "build": self.build_id,
            _PREFIX + "created": f"{self.created:.0f}",
            _PREFIX + "deadline": f"{self.deadline:.0f}",
            _PREFIX + "owner": self.owner,
            _PREFIX + "record": self.record_id,
        }

    def is_leftover(self, now: float) -> bool:
        """Whether nobody will come for this node any more: its owner died here, or its deadline passed.

        An owner that lives will come, whatever a clock that was moved says of the deadline.
        """
        alive = is_alive(self.owner) if self.owner else None
        if alive is not None:
            return not alive
        return now > self.deadline or now < self.created - _LINGER


SELECTOR = f"{_PREFIX}product={PRODUCT}"
"""What every resource of ours is listed by."""


def make_labels(
    *, job: str, mode: Mode, build_id: str, lifetime: float, record_id: str = "", tended: bool = True
) -> Labels:
    """Labels of a node made now that may exist for `lifetime` seconds."""
    now = time.time()
    return Labels(
        job=job,
        mode=mode,
        build_id=build_id,
        created=now,
        deadline=now + lifetime,
        owner=identity(os.getpid()) if tended else "",
        record_id=record_id,
    )


def parse_labels(labels: Mapping[str, str]) -> Labels | None:
    """Labels read back; None when these are not labels of ours. A damaged deadline counts as passed."""
    if labels.get(_PREFIX + "product") != PRODUCT:
        return None
    step = labels.get(_PREFIX + "step", "")
    return Labels(
        job=labels.get(_PREFIX + "job", ""),
        mode=Mode(step) if step in list(Mode) else Mode.REPORT,
        build_id=labels.get(_PREFIX + "build", ""),
        created=_seconds(labels.get(_PREFIX + "created", "")),
        deadline=_seconds(labels.get(_PREFIX + "deadline", "")),
        owner=labels.get(_PREFIX + "owner", ""),
        record_id=labels.get(_PREFIX + "record", ""),
    )


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() else 0.0

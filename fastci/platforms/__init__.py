"""The CI that a job runs on: one file a platform, the table of them, and finding out which it is."""

from collections.abc import Callable, Mapping
from typing import Protocol

from fastci.platforms.azure import Azure
from fastci.platforms.bamboo import Bamboo
from fastci.platforms.bitbucket import Bitbucket
from fastci.platforms.circleci import CircleCI
from fastci.platforms.github import GitHub
from fastci.platforms.gitlab import GitLab
from fastci.platforms.jenkins import Jenkins
from fastci.platforms.local import Local
from fastci.platforms.platform import Context, Level, Platform

__all__ = ["PLATFORMS", "Context", "Level", "Platform", "detect_platform"]


class _Kind(Protocol):
    def detect(self, environ: Mapping[str, str]) -> bool: ...

    def __call__(self, environ: Mapping[str, str], write: Callable[[str], None]) -> Platform: ...


PLATFORMS: tuple[_Kind, ...] = (
    GitHub,
    GitLab,
    CircleCI,
    Azure,
    Bitbucket,
    Bamboo,
    Jenkins,
    Local,
)
"""In the order in which they are asked; `Local` last, as it never refuses."""


def detect_platform(environ: Mapping[str, str], write: Callable[[str], None]) -> Platform:
    """The platform whose variables are there; `write` prints one line of the job's log."""
    return next(kind(environ, write) for kind in PLATFORMS if kind.detect(environ))

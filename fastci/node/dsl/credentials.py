"""Credentials that go into every test request: the `modify` section of a file in /opt/dsl_auths."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastci.errors import ConfigurationError, UsageError
from fastci.node.dsl.document import Document
from fastci.node.dsl.extension import apply_changes
from fastci.node.dsl.loader import ENDINGS, read_modify
from fastci.node.message import Request
from fastci.node.points import PointPattern, compile_point

_COOKIE = re.compile(r"HEADER_Cookie_COOKIE_([A-Za-z0-9_.!#$%&'*+^`|~-]+?)(?:_value)?", re.I)
_HEADER = re.compile(r"HEADER_([A-Za-z0-9-]+?)(?:_value)?")


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Points and the values they get. Unlike in an extension, a header or cookie that is absent is added:
    what a recorded request lacks is just what it may need. Empty means that nothing is changed."""

    changes: Sequence[tuple[PointPattern, str]] = ()

    @classmethod
    def of(cls, values: Mapping[str, str]) -> "Credentials":
        """From points, as written, and their values."""
        return cls(changes=tuple((compile_point(point), value) for point, value in values.items()))

    def __add__(self, other: "Credentials") -> "Credentials":
        return Credentials(changes=(*self.changes, *other.changes))

    def apply(self, request: Request) -> Request:
        for pattern, value in self.changes:
            changed = apply_changes(request, [(pattern, value)])
            request = _added(changed, pattern.text, value)
        return request


def load_credentials(folder: Path) -> Credentials:
    """The credentials of the one YAML file in this folder; none where there is no file.

    Raises UsageError for a second file, ConfigurationError with all faults of a broken one: a run without
    its credentials would test nothing and pass.
    """
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS) if folder.is_dir() else []
    if not paths:
        return Credentials()
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise UsageError(f"{folder} holds more than one credentials file", why=names, hint="leave one")
    (path,) = paths
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path.name}:1:1: cannot be read: {error}"]) from error
    return parse_credentials(text, path.name)


def parse_credentials(text: str, name: str) -> Credentials:
    """The credentials of a section `modify`. Raises ConfigurationError, all faults of file `name` in it."""
    document = Document(name)
    changes = read_modify(document, text)
    if document.faults:
        raise ConfigurationError(document.faults)
    return Credentials(changes=changes)


def _added(request: Request, point: str, value: str) -> Request:
    data = value.encode()
    if match := _COOKIE.fullmatch(point):
        name = match[1].encode()
        cookies = request.get(b"cookie")
        if cookies is None:
            return request.with_header(b"Cookie", name + b"=" + data)
        if not re.search(rb"(?:^|;)\s*" + re.escape(name) + rb"\s*=", cookies):
            return request.with_header(b"Cookie", cookies + b"; " + name + b"=" + data)
    elif (match := _HEADER.fullmatch(point)) and request.get(match[1].encode()) is None:
        return request.with_header(match[1].encode(), data)
    return request

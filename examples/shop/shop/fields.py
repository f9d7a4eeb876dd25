"""What a visitor sent, taken apart: a reader returns a clean value or raises Refused with a fixed message."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request
from werkzeug.routing import BaseConverter

_LOCAL_PATH = re.compile(r"/(?:[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*)?(?:\?[A-Za-z0-9._~=&-]*)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class IdConverter(BaseConverter):
    """A row number in a path. Werkzeug's ``int`` takes digits without end; int() and SQLite do not."""

    regex = "[1-9][0-9]{0,8}"

    def to_python(self, value: str) -> int:
        return int(value)


class Refused(Exception):
    """The request is at fault. ``message`` is ours and never holds anything the visitor sent."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def plain_text(value: object, label: str, *, limit: int = 200, empty: bool = False) -> str:
    """Text of 1..limit characters (0 with ``empty``) that SQLite, a process and UTF-8 can all carry."""
    if not isinstance(value, str):
        raise Refused(f"{label} is missing.")
    text = value.strip()
    if not text and not empty:
        raise Refused(f"{label} is missing.")
    if len(text) > limit:
        raise Refused(f"{label} is longer than {limit} characters.")
    # A JSON string may hold half of a surrogate pair, which no encoder accepts.
    if _CONTROL.search(text) or any("\ud800" <= character <= "\udfff" for character in text):
        raise Refused(f"{label} holds characters we cannot read.")
    return text


def whole_number(value: object, label: str, *, low: int = 1, high: int = 99) -> int:
    """An integer in low..high, from text of at most nine ASCII digits or from a JSON number."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Refused(f"{label} must be a whole number from {low} to {high}.")
    return value


def json_object() -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        document = request.get_json(force=True, silent=True)
    except RecursionError:
        document = None
    if not isinstance(document, dict):
        raise Refused("The body must be a JSON object.")
    return document


def local_path(target: str, default: str = "/") -> str:
    """``target`` if it is surely a path of this site, else ``default``.

    Only plain path characters pass: browsers read ``//x``, ``/\\x`` and ``/<TAB>/x`` as another host
    (WHATWG URL, "special authority slashes").
    """
    return target if _LOCAL_PATH.fullmatch(target) else default


def go_to(location: str, status: int = 303) -> Response:
    """A redirect with an empty body: Werkzeug's own would repeat the location as a link."""
    response = Response(status=status)
    response.headers["Location"] = location
    return response

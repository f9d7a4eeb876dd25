"""The keys of a policy file, and what may stand there."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastci.node.points import compile_ruby

TOP = (
    "name", "description", "tags", "insertion-points", "attacks", "use-only-custom-dsl", "fuzzer", "per-type",
    "per-route",
)  # fmt: skip
POINTS = ("include", "exclude")
ATTACKS = ("types",)
TYPE = ("insertion-points",)
ROUTE = ("route", "skip", "insertion-points", "attacks")


@dataclass(frozen=True, slots=True)
class Check:
    """How one value of the fuzzer's section is read. `read` raises ValueError, whose words are told where it
    `explains`; `schema` is what JSON Schema says of the value."""

    allowed: str
    read: Callable[[str], str | int]
    schema: Mapping[str, Any]
    explains: bool = False


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 255:
        raise ValueError
    return number


def _choice(*words: str) -> Check:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Check(", ".join(words), read, {"enum": list(words)})


_COMPARED = r"\s*(?:<=|>=|!=|<|>|=)?\s*\d+(?:\.\d+)?\s*"


def _comparison(text: str) -> str:
    if not re.fullmatch(_COMPARED, text):
        raise ValueError
    return text.strip()


def _status(text: str) -> str:
    try:
        return _comparison(text)
    except ValueError:
        return _regex(text)


def _regex(text: str) -> str:
    compile_ruby(text)
    return text


_TEXT = {"type": ["string", "number"]}
_COMPARISON = Check(
    "a number after <, <=, >, >=, = or !=, as in '> 2'",
    _comparison,
    {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^{_COMPARED}$"}]},
)
_COUNT = Check("1..255", _count, {"type": "integer", "minimum": 1, "maximum": 255})
_CONDITIONS = {
    "status": Check("a comparison as in '< 500', or a regular expression", _status, _TEXT, explains=True),
    "length": _COMPARISON,
    "time": _COMPARISON,
    "length-diff": _COMPARISON,
    "time-diff": _COMPARISON,
    "dom-diff": _COMPARISON,
    "body": Check("a regular expression", _regex, _TEXT, explains=True),
}
_PAYLOAD = {
    "size": _COUNT,
    "insert": _choice("beginning", "random", "end"),
    "replace": _choice("first", "last", "random", "whole"),
    "bytes": _COUNT,
}
FUZZER: dict[str, dict[str, Check]] = {
    "payload": _PAYLOAD,
    "anomaly-if": _CONDITIONS,
    "not-anomaly-if": _CONDITIONS,
    "stop-if": {**_CONDITIONS, "anomalies": _COMPARISON, "timeout-errors": _COMPARISON},
}

"""The JSON Schema of policy files, made of the tables that the reader uses, so that editors complete."""

from collections.abc import Mapping
from typing import Any

from fastci.node.policy.settings import ATTACKS, FUZZER, POINTS, ROUTE, TOP, TYPE
from fastci.node.vulnerabilities import VULNERABILITIES

_TEXT = {"type": ["string", "number", "boolean"]}


def policy_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12. What it cannot say: that regular expressions and routes are well formed."""
    types = {"description": "types that the built-in checks try, or: all", **_one_or_more(_ref("code"))}
    types["anyOf"] += [{"const": "all"}, {"type": "array", "items": {"const": "all"}, "maxItems": 1}]
    pattern = {"type": ["string", "number"], "description": "a regular expression over names of points"}
    points = _mapping(dict.fromkeys(POINTS, _one_or_more(pattern)))
    attacks = _mapping({ATTACKS[0]: types})
    route = _mapping(
        {
            "route": _one_or_more({"type": "string", "description": "an expression over a whole route"}),
            "skip": {"type": ["boolean", "null"]},
            "insertion-points": _ref("points"),
            "attacks": _ref("attacks"),
        },
        ROUTE,
    )
    route["required"] = ["route"]
    of_type = _mapping({"insertion-points": _ref("points")}, TYPE)
    fuzzer = _mapping(
        {
            section: _mapping({key: dict(check.schema) for key, check in checks.items()})
            for section, checks in FUZZER.items()
        }
    )
    whole = _mapping(
        {
            "name": _TEXT | {"type": [*_TEXT["type"], "null"]},
            "description": _TEXT | {"type": [*_TEXT["type"], "null"]},
            "tags": _one_or_more(_TEXT),
            "insertion-points": _ref("points"),
            "attacks": _ref("attacks"),
            "use-only-custom-dsl": {"type": ["boolean", "null"]},
            "fuzzer": {"anyOf": [{"type": ["boolean", "null"]}, fuzzer]},
            "per-type": _mapping(dict.fromkeys(sorted(VULNERABILITIES), of_type)),
            "per-route": _one_or_more(route),
        },
        TOP,
    )
    whole["not"] = {
        "type": "object",
        "properties": {
            "use-only-custom-dsl": {"const": True},
            "fuzzer": {"not": {"enum": [False, None]}},
        },
        "required": ["use-only-custom-dsl", "fuzzer"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Test policy of fast-action",
        **whole,
        "$defs": {
            "code": {"enum": sorted(VULNERABILITIES), "description": "the code of a type of vulnerability"},
            "points": points,
            "attacks": attacks,
            "of-type": of_type,
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _one_or_more(item: Mapping[str, Any]) -> dict[str, Any]:
    """The reader takes one value for a list of one, and nothing for an empty list."""
    return {"anyOf": [dict(item), {"type": "array", "items": dict(item)}, {"type": "null"}]}


def _mapping(properties: dict[str, Any], allowed: tuple[str, ...] | None = None) -> dict[str, Any]:
    assert allowed is None or set(allowed) == set(properties), "a key of the reader is missing here"
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}

"""The JSON Schema of extensions, made of the tables that the loader uses, so that editors complete.

Sections are mappings or lists of mappings with one key each, so almost everything is said twice.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fastci.node.dsl.detect import OOB_KINDS
from fastci.node.dsl.extension import METHODS, SEND_METHODS
from fastci.node.dsl.loader import GENERATE, KINDS, NEEDS, PER, SECTIONS, SEND, SURE
from fastci.node.dsl.looks import DETECT, RESPONSE
from fastci.node.dsl.oracle import OPTIONS, ORACLES, WORDS
from fastci.node.dsl.places import PLACES
from fastci.node.dsl.reading import UNESCAPES
from fastci.node.vulnerabilities import VULNERABILITIES

Schema = dict[str, Any]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


_SCALAR, _POINT, _REGEX = _ref("scalar"), _ref("point"), _ref("regex")


def extension_schema() -> Schema:
    """JSON Schema, draft 2020-12. What it cannot say: that points and regular expressions are well formed,
    that a section that must not be empty for one oracle may be for another."""
    uniq = _many({"anyOf": [_POINT, {"type": "array", "items": _POINT, "minItems": 1}]})
    sections: Schema = {
        "meta-info": _form(_META, ("type",), open_=True),
        "collect": _form({"uniq": uniq}),
        "match": _form({}, open_=_SCALAR),
        "modify": _form({}, open_=_SCALAR),
        "generate": _form(_given(GENERATE, _GENERATE)),
        "send": _several(_form(_given(SEND, _SEND), ("method", "url")), alone="object"),
        "detect": _detect(),
    }
    whole = _form({name: _ref(name) for name in SECTIONS}, ("meta-info", "detect"), null=False)
    whole["not"] = {
        "anyOf": [_holds_both("send", other) for other in ("collect", "match", "modify", "generate")]
    }
    scalar = {"type": ["string", "number", "boolean", "null"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Extension of fast-action, in the FAST DSL",
        **whole,
        "$defs": {
            "scalar": scalar,
            "point": {
                "type": "string",
                "description": "a point, such as GET_id_value, or an expression over them",
            },
            "regex": {**scalar, "description": "a regular expression in Ruby's syntax"},
            "code": {"enum": sorted(VULNERABILITIES), "description": "the type of vulnerability it proves"},
            **_given(SECTIONS, sections),
            "response": _response(),
            "headers": _headers(),
            "html": _html(),
        },
    }


def _words(words: Iterable[str]) -> Schema:
    return {"enum": list(words)}


def _many(item: Schema) -> Schema:
    """One of them, or a list."""
    return {"anyOf": [item, {"type": "array", "items": item}]}


def _several(item: Schema, *, alone: str) -> Schema:
    return {"anyOf": [{**item, "type": alone}, {"type": "array", "items": item, "minItems": 1}]}


def _given(allowed: Iterable[str], values: Mapping[str, Schema]) -> Schema:
    """The loader's keys; any value where nothing is said of one here."""
    return {key: values.get(key, {}) for key in allowed}


def _form(
    properties: Schema, required: Iterable[str] = (), *, open_: Schema | bool = False, null: bool = True
) -> Schema:
    """A section: a mapping, or a list of mappings; `open_` is what other keys may hold."""
    entries = {"type": "object", "properties": properties, "additionalProperties": open_}
    mapping = {**entries, "required": list(required)}
    listed: Schema = {"type": "array", "items": entries}
    if required:
        listed["allOf"] = [{"contains": {"type": "object", "required": [key]}} for key in required]
    empty = [{"type": "null"}] if null and not required else []
    return {"anyOf": [mapping, listed, *empty]}


def _holds_both(one: str, other: str) -> Schema:
    def holds(key: str) -> Schema:
        inside = {"type": "object", "required": [key]}
        return {"anyOf": [inside, {"type": "array", "contains": inside}]}

    return {"allOf": [holds(one), holds(other)]}


_META: Schema = {
    "type": _ref("code"),
    "title": _SCALAR,
    "threat": {
        "description": "1..33 low, ..66 medium, ..100 high",
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 100},
            {"pattern": "^([1-9]\\d?|100)$", "type": "string"},
        ],
    },
    "description": _SCALAR,
    "remediation": _SCALAR,
    "cwe": _many({"type": "integer", "minimum": 1, "maximum": 99999}),
    "per": _words(PER),
    "confidence": _words(SURE),
}
_GENERATE: Schema = {
    "payload": {**_many(_SCALAR), "description": "one test request for each, and for each method"},
    "into": _many(_POINT),
    "inside": _many(_POINT),
    "method": _many(_words(METHODS)),
    "kinds": _many(_words(KINDS)),
    "needs": _many(_words(NEEDS)),
    "when": _REGEX,
    "raw": {"type": "boolean"},
    "prolog": _SCALAR,
    "headers": {"type": "array"},
}
_SEND: Schema = {
    "method": _words((*SEND_METHODS, *(word.lower() for word in SEND_METHODS))),
    "url": _SCALAR,
    "headers": _form({}, open_=_SCALAR),
    "body": _SCALAR,
}


def _detect() -> Schema:
    oracles = [
        {
            "type": "object",
            "properties": {"oracle": {"const": name}, **{key: _option(name, key) for key in OPTIONS[name]}},
            "required": ["oracle", *(key for key in OPTIONS[name] if key not in ("or", "tls"))],
            "additionalProperties": False,
        }
        for name in ORACLES
    ]
    callbacks = {"anyOf": [{"type": "null"}, _many(_words(sorted(OOB_KINDS)))]}
    known = {"oob": callbacks, "delayed_oob": callbacks, "response": _ref("response")}
    looks = {
        "type": "object",
        "properties": {key: known.get(key, {}) for key in DETECT if key != "oracle"},
        "additionalProperties": False,
    }
    item = {"anyOf": [_words(key for key in DETECT if key != "oracle"), looks, *oracles]}
    mapping = {"anyOf": [{**looks, "minProperties": 1}, *oracles]}
    bare = _words(key for key in DETECT if key != "oracle")
    return {"anyOf": [mapping, bare, {"type": "array", "items": item, "minItems": 1}]}


def _option(oracle: str, key: str) -> Schema:
    if key == "pairs":
        pair = {"type": "array", "items": _SCALAR, "minItems": 2, "maxItems": 2}
        return {"type": "array", "items": pair, "minItems": 1}
    if key in ("or", "tls"):
        return {"type": "boolean"}
    return _many(_words(WORDS[oracle][key]))


def _html() -> Schema:
    place = _words((*PLACES, "attribute"))
    in_place = {
        "type": "object",
        "properties": {word: {"anyOf": [{"type": "null"}, _many(_REGEX)]} for word in place["enum"]},
        "additionalProperties": False,
    }
    items = {"type": "array", "items": {"anyOf": [place, in_place]}}
    html = {"anyOf": [{"type": "null"}, place, in_place, items]}
    return {"type": "object", "properties": {"html": html}, "additionalProperties": False}


def _headers() -> Schema:
    named = {"type": "object", "additionalProperties": {"anyOf": [_many(_REGEX), {"type": "null"}]}}
    return {"anyOf": [_REGEX, named, {"type": "array", "items": {"anyOf": [_REGEX, named]}}]}


def _response() -> Schema:
    in_body = {"anyOf": [_REGEX, _ref("html")]}
    known = {
        "status": _many(_REGEX),
        "headers": _ref("headers"),
        "body": {"anyOf": [*in_body["anyOf"], {"type": "array", "items": in_body}]},
        "strict_type": _words(("html",)),
        "strict_status": _many(_REGEX),
        "strict_headers": _ref("headers"),
        "unescape": _many(_words(UNESCAPES)),
    }
    bare = _words(("headers", "body"))
    entries = {"type": "object", "properties": _given(RESPONSE, known), "additionalProperties": False}
    item = {"anyOf": [bare, entries]}
    return {"anyOf": [{"type": "null"}, bare, entries, {"type": "array", "items": item}]}

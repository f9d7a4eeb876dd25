"""Oracles: what YAML cannot say. Here are their names and the form of their options; the engine does them.

`detect: - oracle: NAME` with the options beside it. The payloads are in `generate`, as always.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from fastci.node.dsl.document import Document, items

ORACLES = ("access", "boolean", "csrf", "dom", "idor", "jwt", "mass", "passive", "time", "union", "upload")
"""`boolean`: `pairs` is a list of [true, false]: two equally long payloads that differ in one
condition. The target is vulnerable when every true one is answered as the baseline is and every false one
otherwise. With `or` the first of a pair is false, the second true: what the baseline finds plus all else. It
is asked only where the baseline reads: such a condition behind an UPDATE or DELETE would mean every row.
`time`: payloads with DELAY_MARKER, the seconds to wait. The target is vulnerable when answers take longer by
the seconds asked for, for several different delays.
`union`: payloads that begin with what ends the value, before `UNION ALL SELECT`. The target is vulnerable
when it shows a row that was added. Asked where the baseline reads, as `or`.
`passive`: the `response` beside it already holds for the answer to the unmodified request, or for the head of
the recorded one. Costs no request. With `tls` only where the target is spoken to by TLS.
The others look at a request as a whole, each in one way: `access` (`tries`), `csrf`, `dom`,
`idor` (`ways`), `jwt`
(`ways`), `mass`, `upload`."""

WHOLE = frozenset(ORACLES) - {"boolean", "time", "union"}
"""Those that need no point: they run once for a baseline that the policy admits any point of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OracleUse:
    """A checked reference to an oracle."""

    name: str
    options: Mapping[str, Any]


def read_oracle(document: Document, item: yaml.MappingNode) -> OracleUse | None:
    """The oracle of a detect item such as `{oracle: boolean, pairs: [...]}`; None with faults noted."""
    entries = {entry.key: entry for entry in document.entries(item, "an oracle")}
    named = entries.pop("oracle")
    name = document.text(named.value, "the name of an oracle")
    if name is None:
        return None
    if name not in ORACLES:
        document.unknown(named.value or named.at, "there is no oracle", name, ORACLES)
        return None
    allowed = OPTIONS[name]
    for key, entry in entries.items():
        if key not in allowed:
            document.unknown(entry.at, f"the oracle {name} has no option", key, allowed or ("(none)",))
    options: dict[str, Any] = {}
    if name == "boolean":
        options["pairs"] = _pairs(document, entries["pairs"].value if "pairs" in entries else None, item)
        options["or"] = document.switch(entries["or"].value, "or") if "or" in entries else False
    if name == "union":
        options["or"] = True  # what it sends cuts the rest of a statement off
    if name == "passive":
        options["tls"] = document.switch(entries["tls"].value, "tls") if "tls" in entries else False
    for key, words in WORDS.get(name, {}).items():
        options[key] = _chosen(document, entries[key].value if key in entries else None, item, key, words)
    return OracleUse(name=name, options=options)


WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "access": {"tries": ("broken", "forwarded", "path", "method", "named")},
    "idor": {"ways": ("session", "neighbour", "owner")},
    "jwt": {"ways": ("none", "unsigned", "weak-key", "embedded-key")},
}
OPTIONS: dict[str, tuple[str, ...]] = {
    "boolean": ("pairs", "or"), **{name: tuple(words) for name, words in WORDS.items()},
    "passive": ("tls",), **dict.fromkeys(("csrf", "dom", "mass", "time", "union", "upload"), ()),
}  # fmt: skip


def _chosen(
    document: Document, node: yaml.Node | None, item: yaml.Node, key: str, words: tuple[str, ...]
) -> tuple[str, ...]:
    found = []
    for word, at in document.texts(node, key):
        if word in words:
            found.append(word)
        else:
            document.unknown(at, f"{key} has no", word, words)
    if not found and not document.faults:
        document.fault(item, f"the oracle needs `{key}`: one or more of {', '.join(words)}")
    return tuple(found)


def _pairs(document: Document, node: yaml.Node | None, item: yaml.Node) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in items(node):
        words = document.texts(pair, "a payload") if isinstance(pair, yaml.SequenceNode) else []
        if len(words) != 2:
            document.fault(pair, "a pair is a list of two payloads: one that is true, one that is false")
        elif _shape(words[0][0]) != _shape(words[1][0]):
            document.fault(
                pair,
                "the payloads of a pair must be equally long and have the same signs: "
                "else a page that shows how much was sent tells them apart",
            )
        else:
            pairs.append((words[0][0], words[1][0]))
    if not pairs:
        document.fault(item, "the oracle boolean needs `pairs`: a list of [true payload, false payload]")
    return tuple(pairs)


def _shape(payload: str) -> tuple[int, list[str]]:
    """What two payloads must have in common to be equally long however they are encoded."""
    return len(payload), sorted(re.findall(r"[A-Z]+_MARKER|\W", payload, re.A))

"""Oracles: what YAML cannot say. Here are their names and the form of their options; the engine does them.

`detect: - oracle: NAME` with the options beside it. The payloads are in `generate`, as always.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from fastci.node.dsl.document import Document, items

ORACLES = ("boolean", "time")
"""`boolean`: `pairs` is a list of [true, false]: two payloads that differ in one condition. The target is
vulnerable when every true one is answered as the baseline is and every false one otherwise.
`time`: payloads with DELAY_MARKER, the seconds to wait. The target is vulnerable when answers take longer by
the seconds asked for, for several different delays."""


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
    allowed = _OPTIONS[name]
    for key, entry in entries.items():
        if key not in allowed:
            document.unknown(entry.at, f"the oracle {name} has no option", key, allowed or ("(none)",))
    if name == "boolean":
        pairs = _pairs(document, entries["pairs"].value if "pairs" in entries else None, item)
        return OracleUse(name=name, options={"pairs": pairs})
    return OracleUse(name=name, options={})


_OPTIONS: dict[str, tuple[str, ...]] = {"boolean": ("pairs",), "time": ()}


def _pairs(document: Document, node: yaml.Node | None, item: yaml.Node) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in items(node):
        words = document.texts(pair, "a payload") if isinstance(pair, yaml.SequenceNode) else []
        if len(words) == 2:
            pairs.append((words[0][0], words[1][0]))
        else:
            document.fault(pair, "a pair is a list of two payloads: one that is true, one that is false")
    if not pairs:
        document.fault(item, "the oracle boolean needs `pairs`: a list of [true payload, false payload]")
    return tuple(pairs)

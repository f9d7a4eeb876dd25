"""A YAML file as a tree that knows its lines: what the loader reads extensions from.

A section may be a mapping or a list of one-key mappings (spec/extensions.md): `entries` reads both alike.
"""

import base64
import binascii
import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = "tag:yaml.org,2002:null"
_BINARY = "tag:yaml.org,2002:binary"
_KNOWN_TAGS = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key with its value; `value` is None for a bare word, as in `- oob`."""

    key: str
    at: yaml.Node
    value: yaml.Node | None


class Document:
    """Reads the nodes of one file and collects its faults, each as `file:line:col: what is wrong`."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[str] = []

    def compose(self, text: str) -> yaml.Node | None:
        """The root node; None, with a fault noted, when the text is not one YAML document."""
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
            context = f" ({error.context})" if error.context else ""
            self.faults.append(f"{self.file}:{place}: not YAML: {error.problem or error}{context}")
            return None
        except (yaml.YAMLError, RecursionError) as error:
            self.faults.append(f"{self.file}:1:1: not YAML: {' '.join(str(error).split())}")
            return None
        if root is None or is_null(root):
            self.faults.append(f"{self.file}:1:1: the file is empty")
            return None
        return root

    def told(self) -> list[str]:
        """The faults in the order of the file."""

        def place(fault: str) -> tuple[int, int]:
            line, column = fault.removeprefix(f"{self.file}:").split(":", 2)[:2]
            return int(line), int(column)

        return sorted(self.faults, key=place)

    def place(self, node: yaml.Node) -> str:
        """`file:line:col`, both counted from 1."""
        return f"{self.file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"

    def fault(self, node: yaml.Node, what: str) -> None:
        self.faults.append(f"{self.place(node)}: {what}")

    def entries(self, node: yaml.Node | None, what: str, *, bare: bool = False) -> list[Entry]:
        """Keys and values of a section. `bare` admits words without a value."""
        found: list[Entry] = []
        for item in items(node):
            if isinstance(item, yaml.MappingNode):
                for key, value in item.value:
                    if isinstance(key, yaml.ScalarNode):
                        found.append(Entry(str(key.value), key, None if bare and is_null(value) else value))
                    else:
                        self.fault(key, f"a key of {what} must be a word")
            elif bare and isinstance(item, yaml.ScalarNode) and not is_null(item):
                found.append(Entry(str(item.value), item, None))
            else:
                self.fault(item, f"{what} must hold `key: value` pairs")
        return found

    def sections(
        self, node: yaml.Node | None, what: str, allowed: Collection[str], *, bare: bool = False
    ) -> dict[str, Entry]:
        """The entries by their keys; keys that are not allowed, or come twice, are faults."""
        found: dict[str, Entry] = {}
        for entry in self.entries(node, what, bare=bare):
            if entry.key not in allowed:
                self.unknown(entry.at, f"{what} has no", entry.key, allowed)
            elif entry.key in found:
                self.fault(entry.at, f"{entry.key} is given twice")
            else:
                found[entry.key] = entry
        return found

    def unknown(self, node: yaml.Node, what: str, word: str, allowed: Iterable[str]) -> None:
        known = list(allowed)
        close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]}?" if close else ""
        self.fault(node, f"{what} {word!r}{hint}; allowed: {', '.join(known)}")

    def text(self, node: yaml.Node | None, what: str) -> str | None:
        """A scalar as it is written, numbers too; None, with a fault, for anything else."""
        if isinstance(node, yaml.ScalarNode):
            if node.tag == _BINARY:
                return self._binary(node)
            if node.tag.startswith(_KNOWN_TAGS):
                return "" if is_null(node) else str(node.value)
            self.fault(node, f"the tag {node.tag} is not allowed; write {what} as plain text")
        elif node is not None:
            self.fault(node, f"{what} must be a text or a number, not a {_KIND[type(node)]}")
        return None

    def texts(self, node: yaml.Node | None, what: str) -> list[tuple[str, yaml.Node]]:
        """One scalar or a list of them, each with its place."""
        found = []
        for item in items(node):
            value = self.text(item, what)
            if value is not None:
                found.append((value, item))
        return found

    def number(self, node: yaml.Node | None, what: str, low: int, high: int) -> int | None:
        value = self.text(node, what)
        if value is None or node is None:
            return None
        if value.strip().isascii() and value.strip().isdigit() and low <= int(value) <= high:
            return int(value)
        self.fault(node, f"{what} {value!r} is not allowed; allowed: {low}..{high}")
        return None

    def switch(self, node: yaml.Node | None, what: str) -> bool:
        if isinstance(node, yaml.ScalarNode) and node.tag == _KNOWN_TAGS + "bool":
            return bool(yaml.SafeLoader.bool_values[node.value.lower()])
        if node is not None:
            self.fault(node, f"{what} must be true or false")
        return False

    def _binary(self, node: yaml.ScalarNode) -> str | None:
        try:
            return base64.b64decode(str(node.value), validate=False).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError) as error:
            self.fault(node, f"not base64: {error}")
            return None


_KIND: dict[type, str] = {yaml.MappingNode: "mapping", yaml.SequenceNode: "list", yaml.ScalarNode: "scalar"}


def items(node: yaml.Node | None) -> list[yaml.Node]:
    """The members of a list; anything else is a list of itself, nothing and null are empty."""
    if node is None or is_null(node):
        return []
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]


def is_null(node: yaml.Node) -> bool:
    return bool(node.tag == _NULL)

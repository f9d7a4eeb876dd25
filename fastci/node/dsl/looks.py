"""The section detect, from YAML to conditions."""

import yaml

from fastci.node.dsl.detect import (
    OOB_KINDS,
    AnyMarker,
    Body,
    Condition,
    Detection,
    Header,
    HeaderLine,
    Html,
    ResponseRule,
    Status,
)
from fastci.node.dsl.document import Entry, is_null, items
from fastci.node.dsl.oracle import OracleUse, read_oracle
from fastci.node.dsl.parts import Parts
from fastci.node.dsl.patterns import Pattern, PatternSet
from fastci.node.dsl.places import PLACES
from fastci.node.dsl.reading import UNESCAPES

DETECT = ("oob", "delayed_oob", "response", "oracle")
RESPONSE = ("status", "headers", "body", "strict_type", "strict_status", "strict_headers", "unescape")


class DetectReader(Parts):
    """Reads what the section detect looks for."""

    def detection(self, node: yaml.Node | None) -> tuple[Detection, OracleUse | None]:
        document = self.document
        rules: list[ResponseRule] = []
        callbacks: dict[str, frozenset[str]] = {}
        oracle: OracleUse | None = None
        for item in items(node):
            if isinstance(item, yaml.MappingNode) and any(key.value == "oracle" for key, _ in item.value):
                oracle = read_oracle(document, item)
                continue
            for entry in document.entries(item, "detect", bare=True):
                if entry.key == "response":
                    rules.append(self.response(entry))
                elif entry.key in ("oob", "delayed_oob"):
                    kinds = self.words(entry.value, "kind of callback", sorted(OOB_KINDS))
                    callbacks[entry.key] = frozenset(kinds) or OOB_KINDS
                else:
                    document.unknown(entry.at, "detect has no", entry.key, DETECT)
        if node is not None and not (rules or callbacks or oracle or document.faults):
            document.fault(node, "detect needs `response`, `oob` or `oracle`")
        return Detection(rules=tuple(rules), **callbacks), oracle

    def response(self, entry: Entry) -> ResponseRule:
        document = self.document
        found: list[Condition] = []
        bodies: list[Pattern] = []
        html_only = False
        statuses: tuple[Pattern, ...] = ()
        heads: list[Condition] = []
        unescape: list[str] = []
        for part in document.entries(entry.value, "response", bare=True):
            if part.key == "status" and part.value is not None:
                found.append(Status(patterns=self.patterns(part.value, "a status")))
            elif part.key == "headers":
                found += self.headers(part.value)
            elif part.key == "body":
                if part.value is None:
                    found.append(AnyMarker(where="body"))
                for item in items(part.value):
                    looks = self.html(item)
                    found += looks
                    if not looks:
                        bodies += self.patterns(item, "body")
            elif part.key == "strict_type":
                html_only = bool(self.words(part.value, "strict_type", ("html",)))
            elif part.key == "strict_status":
                statuses = self.patterns(part.value, "a status")
            elif part.key == "strict_headers":
                heads = self.headers(part.value)
            elif part.key == "unescape":
                unescape = self.words(part.value, "unescape", UNESCAPES)
            else:
                document.unknown(part.at, "response has no", part.key, RESPONSE)
        if bodies:
            found.append(Body(patterns=PatternSet(bodies)))
        return ResponseRule(
            conditions=tuple(found) or (AnyMarker(where="response"),), html_only=html_only,
            statuses=statuses, heads=tuple(heads), unescape=tuple(unescape),
        )  # fmt: skip

    def headers(self, node: yaml.Node | None) -> list[Condition]:
        if node is None:
            return [AnyMarker(where="headers")]
        found: list[Condition] = []
        for item in items(node):
            if isinstance(item, yaml.ScalarNode):
                found += [HeaderLine(pattern=pattern) for pattern in self.patterns(item, "a header")]
                continue
            for entry in self.document.entries(item, "headers"):
                name = self.pattern(entry.key, entry.at, ignore_case=True)
                if name is None or entry.value is None:
                    continue
                if is_null(entry.value):
                    found.append(Header(name=name, values=None))
                    continue
                values = [(text, at) for text, at in self.document.texts(entry.value, "a header") if text]
                patterns = tuple(p for text, at in values if (p := self.pattern(text, at)))
                found.append(Header(name=name, values=patterns, empty=not values))
        return found

    def html(self, node: yaml.Node) -> list[Condition]:
        """The conditions of an item `html`; none when the item of `body` is something else."""
        if isinstance(node, yaml.ScalarNode):
            return [Html(place="")] if node.value == "html" and not node.style else []
        if not isinstance(node, yaml.MappingNode):
            return []
        found: list[Condition] = []
        for entry in self.document.entries(node, "body", bare=True):
            if entry.key != "html":
                self.document.unknown(entry.at, "body has no", entry.key, ("html",))
                continue
            if entry.value is None:
                found.append(Html(place=""))
            for part in self.document.entries(entry.value, "html", bare=True):
                place = "attr" if part.key == "attribute" else part.key
                if place not in PLACES:
                    self.document.unknown(part.at, "html has no", part.key, (*PLACES, "attribute"))
                    continue
                found.append(Html(place=place, patterns=self.patterns(part.value, part.key)))
        return found

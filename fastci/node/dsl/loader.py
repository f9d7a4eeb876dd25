"""From YAML files to extensions. A broken file is named with line and column; the others load anyway."""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml

from fastci.node.dsl.document import Document, is_null, items
from fastci.node.dsl.extension import METHODS, SEND_METHODS, TESTRUN, Condition, Extension, Sure
from fastci.node.dsl.looks import DetectReader
from fastci.node.dsl.oracle import OracleUse
from fastci.node.dsl.parts import Parts
from fastci.node.dsl.patterns import Limited
from fastci.node.dsl.requests import Sending
from fastci.node.points import PointPattern, compile_point, compile_ruby
from fastci.node.vulnerabilities import VULNERABILITIES

LARGEST_FILE = 8 << 20
ENDINGS = (".yaml", ".yml")

SECTIONS = ("meta-info", "collect", "match", "modify", "generate", "send", "detect")
_MODIFYING = ("collect", "match", "modify", "generate")
GENERATE = ("payload", "into", "method", "raw", "kinds", "when", "inside", "prolog", "headers", "needs")
SEND = ("method", "url", "headers", "body")
KINDS = ("text", "number", "boolean", "null", "document", "raw")
NEEDS = ("echo",)
PER = ("route", "host")
SURE = get_args(Sure)
_THREAT = 50


def load_extensions(folder: Path, *, builtin: bool) -> tuple[list[Extension], list[str]]:
    """The extensions of the YAML files right in this folder, by name, and the faults of the broken ones.

    A fault is `file:line:col: what is wrong`. A folder that is not there holds none.
    """
    extensions: dict[str, Extension] = {}
    faults: list[str] = []
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in paths:
        if path.suffix.lower() not in ENDINGS or not path.is_file():
            continue
        try:
            size = path.stat().st_size
            text = path.read_text(encoding="utf-8") if size <= LARGEST_FILE else None
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{path.name}:1:1: cannot be read: {error}")
            continue
        if text is None:
            faults.append(f"{path.name}:1:1: has {size} bytes; {LARGEST_FILE} are allowed")
        elif path.stem in extensions:
            faults.append(f"{path.name}:1:1: there is an extension {path.stem} already")
        else:
            extension, found = parse_extension(text, path.name, builtin=builtin)
            faults += found
            if extension is not None:
                extensions[extension.name] = extension
    return list(extensions.values()), faults


@lru_cache
def builtin_extensions() -> tuple[Extension, ...]:
    """The detects that come with the node, by name."""
    extensions, faults = load_extensions(Path(str(files("fastci.node") / "detects")), builtin=True)
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(extensions)


def parse_extension(text: str, file: str, *, builtin: bool = False) -> tuple[Extension | None, list[str]]:
    """One extension from its YAML text, or None and all its faults."""
    document = Document(file)
    root = document.compose(text)
    if root is None:
        return None, document.told()
    extension = _Loader(document).extension(root, builtin)
    return (None if document.faults else extension), document.told()


def read_modify(document: Document, text: str) -> tuple[tuple[PointPattern, str], ...]:
    """The section `modify` of a file that has no other; what is wrong is noted in the document."""
    root = document.compose(text)
    if root is None:
        return ()
    sections = document.sections(root, "a credentials file", ("modify",))
    if "modify" not in sections:
        document.fault(root, "the section modify is missing")
        return ()
    return _Loader(document).modify(sections["modify"].value)


class _Loader(Parts):
    def extension(self, root: yaml.Node, builtin: bool) -> Extension | None:
        document = self.document
        sections = document.sections(root, "an extension", SECTIONS)
        nodes = {key: entry.value for key, entry in sections.items()}
        for needed in ("meta-info", "detect"):
            if needed not in nodes:
                document.fault(root, f"the section {needed} is missing")
        if "send" in nodes:
            for key in _MODIFYING:
                if key in sections:
                    document.fault(sections[key].at, f"{key} and send exclude each other")
        stem = Path(document.file).stem
        meta = self.meta(nodes.get("meta-info"), stem)
        detection, oracle = DetectReader(document).detection(nodes.get("detect"))
        generate = self.generate(nodes["generate"], oracle) if "generate" in nodes else {}
        if (
            oracle
            and oracle.name == "time"
            and not any("DELAY_MARKER" in payload for payload in generate.get("payloads", ()))
        ):
            document.fault(root, "the oracle time needs a payload with DELAY_MARKER")
        uniq = self.collect(nodes.get("collect"))
        conditions = self.match(nodes.get("match"))
        changes = self.modify(nodes.get("modify"))
        sendings = self.sendings(nodes["send"]) if "send" in nodes else ()
        if sendings:
            uniq = ((compile_point("HEADER_HOST_value"),),)
        if document.faults:
            return None
        return Extension(
            name=stem, builtin=builtin, detection=detection, uniq=uniq, conditions=conditions,
            changes=changes, sendings=sendings, oracle=oracle.name if oracle else "",
            oracle_options=oracle.options if oracle else {}, where=f"{document.file}:1:1", **meta, **generate,
        )  # fmt: skip

    def meta(self, node: yaml.Node | None, stem: str) -> dict[str, Any]:
        """Unknown fields are other tools' business and pass."""
        document = self.document
        entries = {entry.key: entry for entry in document.entries(node, "meta-info")}
        code = document.text(entries["type"].value, "type") if "type" in entries else None
        if "type" not in entries and node is not None:
            document.fault(node, "meta-info has no type")
        elif code is not None and code not in VULNERABILITIES:
            at = entries["type"].value or entries["type"].at
            document.unknown(at, "there is no type", code, VULNERABILITIES)
        facts = VULNERABILITIES.get(code or "")

        def text(key: str, default: str) -> str:
            return (document.text(entries[key].value, key) if key in entries else "") or default

        def one_of(key: str, words: tuple[str, ...]) -> str:
            word = document.text(entries[key].value, key) if key in entries else words[0]
            if word is not None and word not in words:
                document.unknown(entries[key].value or entries[key].at, f"{key} is not", word, words)
            return word or words[0]

        threat: int | None = _THREAT
        if "threat" in entries:
            threat = document.number(entries["threat"].value, "threat", 1, 100)
        cwe = facts.cwe if facts else ()
        if "cwe" in entries:
            numbers = [document.number(each, "cwe", 1, 99999) for each in items(entries["cwe"].value)]
            cwe = tuple(number for number in numbers if number)
        return {
            "type": code or "",
            "title": text("title", stem),
            "threat": threat or _THREAT,
            "per": one_of("per", PER),
            "confidence": one_of("confidence", SURE),
            "description": text("description", ""),
            "cwe": cwe,
            "remediation": text("remediation", facts.remediation if facts else ""),
        }

    # phases

    def collect(self, node: yaml.Node | None) -> tuple[tuple[PointPattern, ...] | str, ...]:
        document = self.document
        sections = document.sections(node, "collect", ("uniq",))
        if "uniq" not in sections:
            return ()
        found: list[tuple[PointPattern, ...] | str] = []
        members = items(sections["uniq"].value)
        for item in members:
            words = document.texts(item, "a point")
            if [word for word, _ in words] == [TESTRUN]:
                if len(members) > 1:
                    document.fault(item, "testrun stands alone: it cannot be combined with points")
                found.append(TESTRUN)
            elif points := self.points(words):
                found.append(points)
        if not found:
            document.fault(sections["uniq"].at, "uniq needs points, or the word testrun")
        return tuple(found)

    def match(self, node: yaml.Node | None) -> tuple[Condition, ...]:
        found = []
        for entry in self.document.entries(node, "match"):
            point = self.point(entry.key, entry.at)
            if entry.value is None or point is None:
                continue
            where = self.document.place(entry.value)
            if is_null(entry.value):
                found.append(Condition(point=point, value=None, where=where))
                continue
            text = self.document.text(entry.value, "a value of match")
            value = self.compiled(compile_ruby, text, entry.value)
            if value is not None:
                found.append(Condition(point=point, value=Limited(value, where), where=where))
        return tuple(found)

    def modify(self, node: yaml.Node | None) -> tuple[tuple[PointPattern, str], ...]:
        found = []
        for entry in self.document.entries(node, "modify"):
            point = self.point(entry.key, entry.at)
            value = self.document.text(entry.value, "a value of modify")
            if point is not None and value is not None:
                found.append((point, value))
        return tuple(found)

    def generate(self, node: yaml.Node | None, oracle: OracleUse | None) -> dict[str, Any]:
        document = self.document
        parts = {k: e.value for k, e in document.sections(node, "generate", GENERATE).items()}
        payloads = [text for text, _ in document.texts(parts.get("payload"), "a payload")]
        payload_node = parts.get("payload")
        headers = self.added(parts.get("headers"))
        if headers and payloads and payload_node is not None:
            document.fault(payload_node, "payload and headers exclude each other")
        if not payloads and not headers and node is not None and not (oracle and oracle.name == "boolean"):
            document.fault(node, "generate has no payload: a list of at least one is needed")
        methods = self.words(parts.get("method"), "method", METHODS)
        kinds = self.words(parts.get("kinds"), "kind of point", KINDS)
        found: dict[str, Any] = {
            "payloads": tuple(payloads),
            "headers": headers,
            "methods": tuple(methods) or ("replace",),
            "into": self.points(document.texts(parts.get("into"), "a point")),
            "inside": self.points(document.texts(parts.get("inside"), "a point")),
            "kinds": frozenset(kinds),
            "raw": document.switch(parts["raw"], "raw") if "raw" in parts else False,
            "prolog": document.text(parts.get("prolog"), "prolog") or "",
        }
        found["needs"] = next(iter(self.words(parts.get("needs"), "need", NEEDS)), "")
        if (when := parts.get("when")) is not None:
            compiled = self.compiled(compile_ruby, document.text(when, "when"), when)
            found["when"] = Limited(compiled, document.place(when)) if compiled else None
        return found

    def added(self, node: yaml.Node | None) -> tuple[tuple[tuple[str, str], ...], ...]:
        """`headers`: a list, each item the headers of one test request."""
        found = []
        for item in items(node):
            entries = self.document.entries(item, "headers")
            pairs = [(entry.key, self.document.text(entry.value, "a header") or "") for entry in entries]
            found.append(tuple(pairs))
        return tuple(found)

    def sendings(self, node: yaml.Node | None) -> tuple[Sending, ...]:
        document = self.document
        members = [node] if isinstance(node, yaml.MappingNode) else items(node)
        found = []
        for item in members:
            parts = document.sections(item, "a request of send", SEND)
            for needed in ("method", "url"):
                if needed not in parts:
                    document.fault(item, f"a request of send has no {needed}")
            method, url, body = (
                document.text(parts[key].value, key) if key in parts else ""
                for key in ("method", "url", "body")
            )
            if method and method.upper() not in SEND_METHODS:
                document.unknown(parts["method"].value or item, "there is no method", method, SEND_METHODS)
            headers = document.entries(parts["headers"].value, "headers") if "headers" in parts else []
            pairs = [(entry.key, document.text(entry.value, "a header") or "") for entry in headers]
            found.append(
                Sending(method=(method or "").upper(), url=url or "", headers=tuple(pairs), body=body or "")
            )
        if not found and node is not None:
            document.fault(node, "send needs at least one request")
        return tuple(found)

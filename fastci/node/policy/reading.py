"""Policies from YAML files. What a file leaves out is as in the default policy."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import regex
import yaml

from fastci.errors import ConfigurationError, UsageError
from fastci.node.points import PointPattern, compile_point, compile_ruby
from fastci.node.policy.model import Policy, RouteRule, Selection
from fastci.node.policy.settings import ATTACKS, FUZZER, POINTS, ROUTE, TOP, TYPE, Check
from fastci.node.vulnerabilities import VULNERABILITIES

DEFAULT = "default"
_SHIPPED = files("fastci.node") / "policies"
_ENDINGS = (".yml", ".yaml")


def load_policy(id_or_path: str, folder: Path | None) -> Policy:
    """A shipped policy by its id, one of `folder` by its id, or any file by its path.

    The id `default` always means the shipped one. Raises UsageError when there is none of that name, and
    ConfigurationError with all faults, each as `file:line: what is wrong`.
    """
    wanted = id_or_path.strip() or DEFAULT
    path = Path(wanted)
    if wanted.endswith(_ENDINGS) or len(path.parts) > 1:
        return _from_file(path)
    own = _own_policies(folder)
    if wanted in own and wanted != DEFAULT:
        return _from_file(own[wanted])
    shipped = _SHIPPED / f"{wanted}.yml"
    if shipped.is_file():
        return _shipped(wanted)
    known = known_policies(folder)
    near = difflib.get_close_matches(wanted, known, n=1)
    raise UsageError(
        f"there is no test policy {wanted!r}" + (f"; did you mean {near[0]}?" if near else ""),
        why=f"known policies: {', '.join(known)}",
        hint="name one of these, or the path of a policy file",
    )


def shipped_policies() -> list[str]:
    """The ids of the policies that come with the node."""
    return sorted(
        entry.name.removesuffix(".yml") for entry in _SHIPPED.iterdir() if entry.name.endswith(".yml")
    )


def known_policies(folder: Path | None) -> list[str]:
    """The ids that `load_policy` understands with this folder."""
    return sorted({*_own_policies(folder), *shipped_policies()})


def _own_policies(folder: Path | None) -> dict[str, Path]:
    if folder is None or not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in _ENDINGS}


def _from_file(path: Path) -> Policy:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the test policy {path} cannot be read", why=str(error)) from error
    return _parse(text, str(path), path.stem, _shipped(DEFAULT))


@lru_cache
def _shipped(policy_id: str) -> Policy:
    empty = Policy(
        id=policy_id, name=policy_id, description="", tags=(), include=(), exclude=(), types=frozenset(),
        custom_only=False, fuzzer=None,
    )  # fmt: skip
    text = (_SHIPPED / f"{policy_id}.yml").read_text(encoding="utf-8")
    return _parse(text, f"{policy_id}.yml", policy_id, empty if policy_id == DEFAULT else _shipped(DEFAULT))


def _parse(text: str, file: str, policy_id: str, start: Policy) -> Policy:
    """The policy in `text`. Raises ConfigurationError with every fault in it."""
    reader = _Reader(file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        raise ConfigurationError([f"{where}: not YAML: {error.problem or error}"]) from error
    except yaml.YAMLError as error:
        raise ConfigurationError([f"{file}: not YAML: {error}"]) from error
    policy = replace(start, id=policy_id, name=policy_id, description="", tags=())
    if root is not None:
        policy = reader.policy(root, policy)
    if reader.faults:
        raise ConfigurationError(reader.faults)
    return policy


class _Reader:
    """Reads YAML nodes, which know their lines, and collects what is wrong."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[str] = []

    def fault(self, node: yaml.Node, what: str) -> None:
        self.faults.append(f"{self.file}:{node.start_mark.line + 1}: {what}")

    def policy(self, root: yaml.Node, start: Policy) -> Policy:
        top = self.mapping(root, "policy", TOP)
        points = self.mapping(top.get("insertion-points"), "insertion-points", POINTS)
        attacks = self.mapping(top.get("attacks"), "attacks", ATTACKS)
        policy = replace(
            start,
            name=self.text(top.get("name"), start.name),
            description=self.text(top.get("description"), start.description),
            tags=tuple(self.text(node, "") for node in self.items(top.get("tags"))),
            include=self.patterns(points.get("include"), start.include),
            exclude=self.patterns(points.get("exclude"), start.exclude),
            types=self.types(attacks.get("types"), start.types),
            custom_only=self.switch(top.get("use-only-custom-dsl"), start.custom_only),
            fuzzer=self.fuzzer(top.get("fuzzer")),
            by_type=self.by_type(top.get("per-type")),
            by_route=tuple(self.route_rule(node) for node in self.items(top.get("per-route"))),
        )
        if policy.custom_only and policy.fuzzer is not None:
            self.fault(
                top["fuzzer"], "use-only-custom-dsl and the fuzzer exclude each other; turn one of them off"
            )
        return policy

    def mapping(self, node: yaml.Node | None, what: str, allowed: Iterable[str]) -> dict[str, yaml.Node]:
        """The values by their keys. Unknown and repeated keys are faults."""
        if node is None or _is_null(node):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, f"{what} must be a mapping with the keys {', '.join(allowed)}")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            word = str(key.value)
            if word not in allowed:
                self.fault(
                    key, f"{what} has no key {word!r}{_near(word, allowed)}; allowed: {', '.join(allowed)}"
                )
            elif word in found:
                self.fault(key, f"the key {word!r} is given twice")
            found.setdefault(word, value)
        return found

    def items(self, node: yaml.Node | None) -> list[yaml.Node]:
        if node is None or _is_null(node):
            return []
        return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]

    def text(self, node: yaml.Node | None, default: str) -> str:
        if node is None or _is_null(node):
            return default
        if not isinstance(node, yaml.ScalarNode):
            self.fault(node, "a text must stand here")
            return default
        return str(node.value)

    def switch(self, node: yaml.Node | None, default: bool) -> bool:
        if node is None or _is_null(node):
            return default
        if node.tag != "tag:yaml.org,2002:bool":
            self.fault(node, f"{_shown(node)} is not allowed; allowed: true, false")
            return default
        return bool(yaml.SafeLoader.bool_values[node.value.lower()])

    def patterns(self, node: yaml.Node | None, default: tuple[PointPattern, ...]) -> tuple[PointPattern, ...]:
        if node is None:
            return default
        found = []
        for item in self.items(node):
            try:
                found.append(compile_point(self.text(item, ".*")))
            except ValueError as error:
                self.fault(item, f"{_shown(item)} is not a point: {error}")
        return tuple(found)

    def types(self, node: yaml.Node | None, default: frozenset[str]) -> frozenset[str]:
        if node is None:
            return default
        codes = [(item, self.text(item, "")) for item in self.items(node)]
        if [code for _, code in codes] == ["all"]:
            return frozenset(VULNERABILITIES)
        for item, code in codes:
            if code not in VULNERABILITIES:
                known = ", ".join(sorted(VULNERABILITIES))
                self.fault(
                    item, f"there is no type {code!r}{_near(code, VULNERABILITIES)}; allowed: all, {known}"
                )
        return frozenset(code for _, code in codes)

    def selection(self, node: yaml.Node | None) -> Selection:
        points = self.mapping(node, "insertion-points", POINTS)
        include = points.get("include")
        return Selection(
            include=self.patterns(include, ()) if include is not None else None,
            exclude=self.patterns(points.get("exclude"), ()),
        )

    def by_type(self, node: yaml.Node | None) -> dict[str, Selection]:
        found = {}
        for code, value in self.mapping(node, "per-type", VULNERABILITIES).items():
            settings = self.mapping(value, f"per-type {code}", TYPE)
            found[code] = self.selection(settings.get("insertion-points"))
        return found

    def route_rule(self, node: yaml.Node) -> RouteRule:
        rule = self.mapping(node, "per-route", ROUTE)
        if "route" not in rule and isinstance(node, yaml.MappingNode):
            self.fault(node, "a rule of per-route has no route: an expression such as '/admin/.*'")
        attacks = self.mapping(rule.get("attacks"), "attacks", ATTACKS)
        return RouteRule(
            routes=tuple(self.expressions(rule.get("route"))),
            where=f"{Path(self.file).name}:{node.start_mark.line + 1}",
            skip=self.switch(rule.get("skip"), False),
            points=self.selection(rule.get("insertion-points")),
            types=self.types(attacks["types"], frozenset()) if "types" in attacks else None,
        )

    def expressions(self, node: yaml.Node | None) -> "list[regex.Pattern[str]]":
        found = []
        for item in self.items(node):
            try:
                found.append(compile_ruby(self.text(item, ".*")))
            except ValueError as error:
                self.fault(item, f"{_shown(item)} is not a route: {error}")
        return found

    def fuzzer(self, node: yaml.Node | None) -> Mapping[str, Any] | None:
        """The section with numbers as numbers; `true` turns the fuzzer on with all that it learns itself."""
        if node is None or _is_null(node):
            return None
        if isinstance(node, yaml.ScalarNode):
            return {} if self.switch(node, False) else None
        found: dict[str, Any] = {}
        for section, value in self.mapping(node, "fuzzer", FUZZER).items():
            allowed = FUZZER.get(section, {})
            settings = self.mapping(value, section, allowed)
            found[section] = {
                key: self.checked(part, key, allowed[key]) for key, part in settings.items() if key in allowed
            }
            if section == "payload":
                self.place_of_payload(settings)
        return found

    def place_of_payload(self, settings: Mapping[str, yaml.Node]) -> None:
        if "insert" in settings and "replace" in settings:
            self.fault(settings["replace"], "insert and replace exclude each other; take one of them out")
        elif "bytes" in settings and str(settings.get("replace", yaml.ScalarNode("", "")).value) in (
            "",
            "whole",
        ):
            self.fault(settings["bytes"], "bytes goes with `replace: first`, `last` or `random` only")

    def checked(self, node: yaml.Node, key: str, check: Check) -> str | int:
        text = self.text(node, "")
        try:
            return check.read(text)
        except ValueError as error:
            why = f" ({error})" if check.explains else ""
            self.fault(node, f"{key}: {text!r} is not allowed{why}; allowed: {check.allowed}")
            return text


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _shown(node: yaml.Node) -> str:
    return repr(str(node.value)) if isinstance(node, yaml.ScalarNode) else "this"


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""

"""Points, patterns and fixed words out of a YAML tree, each fault noted at its place."""

from collections.abc import Callable, Collection
from typing import TypeVar

import yaml

from fastci.node.dsl.document import Document
from fastci.node.dsl.patterns import Pattern
from fastci.node.points import PointPattern, compile_point

T = TypeVar("T")


class Parts:
    """Reads parts of one document. What is wrong becomes a fault of the document and is left out."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def patterns(self, node: yaml.Node | None, what: str) -> tuple[Pattern, ...]:
        found = [self.pattern(text, at) for text, at in self.document.texts(node, what)]
        return tuple(pattern for pattern in found if pattern)

    def pattern(self, text: str, node: yaml.Node, *, ignore_case: bool = False) -> Pattern | None:
        where = self.document.place(node)
        return self.compiled(lambda source: Pattern(source, where, ignore_case=ignore_case), text, node)

    def points(self, words: list[tuple[str, yaml.Node]]) -> tuple[PointPattern, ...]:
        found = [self.point(word, node) for word, node in words]
        return tuple(point for point in found if point)

    def point(self, text: str, node: yaml.Node) -> PointPattern | None:
        return self.compiled(compile_point, text, node)

    def compiled(self, compile_: Callable[[str], T], text: str | None, node: yaml.Node) -> T | None:
        if text is None:
            return None
        try:
            return compile_(text)
        except ValueError as error:
            self.document.fault(node, " ".join(str(error).split()))
            return None

    def words(self, node: yaml.Node | None, what: str, allowed: Collection[str]) -> list[str]:
        found = []
        for word, at in self.document.texts(node, what):
            if word in allowed:
                found.append(word)
            else:
                self.document.unknown(at, f"there is no {what}", word, allowed)
        return list(dict.fromkeys(found))

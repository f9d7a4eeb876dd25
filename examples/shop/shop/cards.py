"""The template language of gift cards: expressions and conditions, with a bound on all they can build.

That a visitor's text is a template at all is the flaw; the bounds only keep it from filling the memory of the
machine that runs the example.
"""

from __future__ import annotations

from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.sandbox import SandboxedEnvironment

__all__ = ["CARDS"]

_LONGEST = 10_000
_LARGEST = 10**12
_FILTERS = ("abs", "capitalize", "e", "first", "float", "int", "last", "length", "lower", "reverse", "round")
_METHODS = {"capitalize", "isdigit", "lower", "strip", "title", "upper"}
_REPEATING: tuple[type[nodes.Node], ...] = (
    nodes.For,
    nodes.Macro,
    nodes.CallBlock,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.FilterBlock,
)


class _Cards(SandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(autoescape=False)
        self.globals.clear()
        self.filters = {name: self.filters[name] for name in (*_FILTERS, "string", "title", "trim", "upper")}

    def from_string(self, source: Any, *rest: Any, **options: Any) -> Template:
        tree = self.parse(source)
        if any(tree.find(kind) for kind in _REPEATING):
            raise TemplateError("repetition on a card")
        return super().from_string(source, *rest, **options)

    def wrap_str_format(self, value: Any) -> None:
        """Lets str.format be judged as any other method: its widths have no bound."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return isinstance(obj, str) and attr in _METHODS

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = [side for side in (left, right) if isinstance(side, (int, float))]
        texts = [side for side in (left, right) if isinstance(side, str)]
        if len(numbers) + len(texts) != 2 or any(abs(number) > _LARGEST for number in numbers):
            raise TemplateError("too large for a card")
        if operator == "**" and abs(right) > 64:
            raise TemplateError("too large for a card")
        if texts and (operator != "*" or not numbers or len(texts[0]) * numbers[0] > _LONGEST):
            raise TemplateError("too long for a card")
        return super().call_binop(context, operator, left, right)


CARDS = _Cards()

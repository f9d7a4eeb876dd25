"""What a policy says, and what it then admits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import regex

from fastci.node.points import Point, PointPattern

_TIMEOUT = 1.0  # seconds that the expression of one rule may take on one route

Patterns = tuple[PointPattern, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Points: one of `include` must mean them, None where nothing is said about that; none of `exclude`."""

    include: Patterns | None = None
    exclude: Patterns = ()


_ANY = Selection()


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteRule:
    """What holds for some routes only. `where` is its place in the file, `types` None means as elsewhere."""

    routes: tuple["regex.Pattern[str]", ...]
    where: str
    skip: bool = False
    points: Selection = _ANY
    types: frozenset[str] | None = None

    def means(self, names: Iterable[str]) -> bool:
        """Whether one of a route's names is meant, from its first to its last character."""
        return any(each.fullmatch(name, timeout=_TIMEOUT) for name in names for each in self.routes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A point may be changed when one of `include` means it and none of `exclude` does.

    `types` are the codes that the built-in checks try; custom extensions always try their own.
    `fuzzer` is the fuzzer's section as a mapping, None when it is off. `by_type` and `by_route` are what is
    said for one type or for some routes; `at` gives the policy for one route. There `here` is what that
    route's rules say of points, and `left_out` why nothing of it is tested, empty where it is.
    """

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    include: Patterns
    exclude: Patterns
    types: frozenset[str]
    custom_only: bool
    fuzzer: Mapping[str, Any] | None
    by_type: Mapping[str, Selection] = field(default_factory=dict)
    by_route: tuple[RouteRule, ...] = ()
    here: Selection = _ANY
    left_out: str = ""

    def at(self, route_names: Iterable[str]) -> "Policy":
        """The policy for one route, given all of its names; this one where no rule means it.

        Of several rules that do, the last one decides what to include and which types, and all exclude.
        Raises TimeoutError for an expression that takes too long.
        """
        names = tuple(route_names)
        rules = [rule for rule in self.by_route if rule.means(names)]
        if not rules:
            return self
        types, include = self.types, self.here.include
        exclude: Patterns = ()
        for rule in rules:
            types = rule.types if rule.types is not None else types
            include = rule.points.include if rule.points.include is not None else include
            exclude += rule.points.exclude
        skip = next((rule for rule in rules if rule.skip), None)
        return replace(
            self, types=types, here=Selection(include=include, exclude=exclude),
            left_out=f"the policy leaves this route out ({skip.where})" if skip else "",
        )  # fmt: skip

    def admits(self, point_name: str, type_code: str = "") -> bool:
        """Whether this point may be changed, by a check of this type where one is named.

        What the type or the route includes stands in the place of the policy's own list; where both say
        something, both must mean the point. Raises TimeoutError for a pattern that takes too long.
        """
        include, exclude = self._selection(type_code)
        return all(_mean(each, point_name) for each in include) and not _mean(exclude, point_name)

    def admitted(self, points: Iterable[Point], type_code: str = "") -> list[Point]:
        """The points that may be changed, in their order."""
        include, exclude = self._selection(type_code)
        for each in include:
            points = [point for point in points if _mean(each, point.name)]
        return [point for point in points if not _mean(exclude, point.name)]

    def _selection(self, type_code: str) -> tuple[list[Patterns], Patterns]:
        """The lists of which each must mean a point, and what none may mean of."""
        of_type = self.by_type.get(type_code, _ANY)
        said = [each.include for each in (of_type, self.here) if each.include is not None]
        return said or [self.include], self.exclude + of_type.exclude + self.here.exclude

    def tries(self, type_code: str, builtin: bool) -> bool:
        """Whether extensions of this type run; `builtin` says that it is not one of the user's own."""
        return not builtin or (not self.custom_only and type_code in self.types)

    def ever_tries(self, type_code: str, builtin: bool) -> bool:
        """Whether they run on any route."""
        return self.tries(type_code, builtin) or (
            not self.custom_only and any(type_code in (rule.types or ()) for rule in self.by_route)
        )


def _mean(patterns: Patterns, point_name: str) -> bool:
    return any(pattern.matches(point_name) for pattern in patterns)

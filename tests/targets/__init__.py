"""Small applications, each with a flaw and a repaired twin, that every built-in detect is held against.

A new detect needs a Pair in one of the modules; `all_pairs` gathers them.
"""

from targets import (
    accounts,
    answers,
    databases,
    documents,
    exposure,
    failures,
    files,
    pages,
    programs,
    serialised,
)
from targets.kit import Pair


def all_pairs() -> list[Pair]:
    """Every pair of every module."""
    modules = (
        accounts,
        answers,
        databases,
        documents,
        exposure,
        failures,
        files,
        pages,
        programs,
        serialised,
    )
    return [pair for module in modules for pair in module.PAIRS]

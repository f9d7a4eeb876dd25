"""Small applications, each with a flaw and a repaired twin, that every built-in detect is held against.

A new detect needs a Pair in one of the modules; `all_pairs` gathers them.
"""

from targets import answers, databases, documents, failures, files, pages, programs
from targets.kit import Pair


def all_pairs() -> list[Pair]:
    """Every pair of every module."""
    modules = (answers, databases, documents, failures, files, pages, programs)
    return [pair for module in modules for pair in module.PAIRS]

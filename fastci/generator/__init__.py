"""Job definitions for each CI, and every file of this repository that is made from the table of variables."""

from fastci.generator.artefacts import ARTEFACTS, stale_artefacts, write_artefacts
from fastci.generator.definitions import FLOWS_OF, PLATFORMS, check, generate
from fastci.generator.options import FLOWS, STYLES, Options, load_options, read_options

__all__ = [
    "ARTEFACTS",
    "FLOWS",
    "FLOWS_OF",
    "PLATFORMS",
    "STYLES",
    "Options",
    "check",
    "generate",
    "load_options",
    "read_options",
    "stale_artefacts",
    "write_artefacts",
]

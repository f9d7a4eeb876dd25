"""Job definitions for each CI, and every file of this repository that is made from the table of variables."""

from fastci.generator.artefacts import ARTEFACTS, stale_artefacts, write_artefacts
from fastci.generator.definitions import FLOWS_OF, PLATFORMS, beside, check, generate
from fastci.generator.detection import Found, detect_project
from fastci.generator.options import (
    FLOWS,
    NODES,
    OWN_KEYS,
    STYLES,
    Options,
    load_options,
    load_values,
    read_options,
    render_options,
)

__all__ = [
    "ARTEFACTS",
    "FLOWS",
    "FLOWS_OF",
    "NODES",
    "OWN_KEYS",
    "PLATFORMS",
    "STYLES",
    "Found",
    "Options",
    "beside",
    "check",
    "detect_project",
    "generate",
    "load_options",
    "load_values",
    "read_options",
    "render_options",
    "stale_artefacts",
    "write_artefacts",
]

"""Extensions in the FAST DSL: load them, make test requests, decide on the answers. The package's face."""

from fastci.node.dsl.attack import Attack, Callbacks, Match, NoCallbacks
from fastci.node.dsl.credentials import Credentials, load_credentials, parse_credentials
from fastci.node.dsl.extension import Extension, Memory
from fastci.node.dsl.git import clone_extensions
from fastci.node.dsl.loader import builtin_extensions, load_extensions, parse_extension
from fastci.node.dsl.markers import Markers, MarkerSource
from fastci.node.dsl.oracle import ORACLES
from fastci.node.dsl.patterns import ExtensionFault
from fastci.node.dsl.rehearsal import Rehearsal, rehearse
from fastci.node.dsl.schema import extension_schema

__all__ = [
    "ORACLES",
    "Attack",
    "Callbacks",
    "Credentials",
    "Extension",
    "ExtensionFault",
    "MarkerSource",
    "Markers",
    "Match",
    "Memory",
    "NoCallbacks",
    "Rehearsal",
    "builtin_extensions",
    "clone_extensions",
    "extension_schema",
    "load_credentials",
    "load_extensions",
    "parse_credentials",
    "parse_extension",
    "rehearse",
]

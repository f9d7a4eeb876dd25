"""Test records on disk: what was recorded, durable from the moment a client has its answer."""

from fastci.node.store.folder import Store
from fastci.node.store.model import Baseline, Record, Row
from fastci.node.store.recorder import Recorder

__all__ = ["Baseline", "Record", "Recorder", "Row", "Store"]

"""The recording proxy: in front of the target, invisible to the test tool, everything admitted on record."""

from fastci.node.proxy.authority import Authority, load_authority
from fastci.node.proxy.listener import Patience, ProxyReport, serve

__all__ = ["Authority", "Patience", "ProxyReport", "load_authority", "serve"]

"""Exchanges in the file formats of other tools: HAR in and out, Postman collections and curl commands in."""

from fastci.node.interchange.curl import parse_curl
from fastci.node.interchange.har import parse_har, write_har
from fastci.node.interchange.junit import Window, parse_windows, test_at
from fastci.node.interchange.postman import parse_postman

__all__ = ["Window", "parse_curl", "parse_har", "parse_postman", "parse_windows", "test_at", "write_har"]

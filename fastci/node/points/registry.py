"""The parsers, the strictest first: the first that accepts a value reads it."""

from fastci.node.points.cookie import Cookie
from fastci.node.points.form_urlencoded import FormUrlencoded
from fastci.node.points.json_doc import JsonDoc
from fastci.node.points.model import Parser
from fastci.node.points.multipart import Multipart
from fastci.node.points.xml import Xml

PARSERS: tuple[Parser, ...] = (JsonDoc(), Xml(), Multipart(), Cookie(), FormUrlencoded())

"""The parsers, the strictest first: the first that accepts a value reads it."""

from fastci.node.points.base64 import Base64
from fastci.node.points.cookie import Cookie
from fastci.node.points.form_urlencoded import FormUrlencoded
from fastci.node.points.graphql import Graphql
from fastci.node.points.gzip import Gzip
from fastci.node.points.json_doc import JsonDoc
from fastci.node.points.jwt import Jwt
from fastci.node.points.model import Parser
from fastci.node.points.multipart import Multipart
from fastci.node.points.percent import Percent
from fastci.node.points.xml import Xml
from fastci.node.points.zip import Zip

PARSERS: tuple[Parser, ...] = (
    JsonDoc(),
    Xml(),
    Gzip(),
    Zip(),
    Multipart(),
    Cookie(),
    FormUrlencoded(),
    Jwt(),
    Graphql(),
    Base64(),
    Percent(),
)

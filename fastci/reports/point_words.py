"""Points in the words of a reader: `GET_q_value` is `query q`, `POST_JSON_DOC_HASH_a_value` is `JSON a`."""

import re
from collections.abc import Callable
from functools import lru_cache

from fastci.verdict.coverage import WHOLE

_ALONE = {
    "": "whole request",
    WHOLE: "whole request",
    "METHOD": "method",
    "URI": "address",
    "ACTION_NAME": "last part of the path",
    "ACTION_EXT": "ending of the path",
    "POST": "body",
    "POST_JSON_DOC": "JSON body",
    "POST_XML": "XML body",
}
_BEGINNINGS = (
    ("GET_", "query "),
    ("POST_FORM_URLENCODED_", "form "),
    ("POST_MULTIPART_", "part "),
    ("POST_JSON_DOC_", "JSON "),
    ("POST_XML_", "XML "),
    ("POST_", "body "),
    ("HEADER_Cookie_COOKIE_", "cookie "),
    ("HEADER_", "header "),
    ("GRAPHQL_", "GraphQL "),
)
_PATH = re.compile(r"PATH_(\d+)(.*)", re.DOTALL)
_INNER: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"_(BASE64|GZIP|PERCENT|ZIP)(?=_|$)"), lambda m: f" › {m[1].lower()}"),
    (
        re.compile(r"(?:^|_)(?:JWT_)(PAYLOAD|HEADER|SIGNATURE)(?:_JSON_DOC)?"),
        lambda m: f" › token {m[1].lower()} ",
    ),
    (re.compile(r"(?:^|_)JSON_DOC(?=_|$)"), lambda m: " › JSON "),
    (re.compile(r"(?:^|_)(?:JSON_ARRAY|ARRAY)_(\d+|\*)"), lambda m: f"[{m[1]}]"),
    (re.compile(r"(?:^|_)(?:JSON_OBJ|HASH)_"), lambda m: "."),
    (re.compile(r"(?:^|_)XML_TAG_"), lambda m: "/"),
    (re.compile(r"(?:^|_)XML_ATTR_"), lambda m: "/@"),
    (re.compile(r"_(FILENAME|FILE|TYPE)$"), lambda m: f", {m[1].lower().replace('filename', 'file name')}"),
)


@lru_cache(maxsize=4096)
def in_words(point: str) -> str:
    """The point as people say it; what is of no known form stays as it is."""
    name, _, service = point.rpartition("_")
    if service not in ("value", "name"):
        name, service = point, "value"
    words = _worded(name)
    return f"name of {words}" if service == "name" else words


def _worded(name: str) -> str:
    if name in _ALONE:
        return _ALONE[name]
    if path := _PATH.fullmatch(name):
        return f"part {int(path[1]) + 1} of the path{_inner(path[2])}"
    for beginning, words in _BEGINNINGS:
        if name.startswith(beginning):
            return words + _inner(name.removeprefix(beginning)).removeprefix(".").removeprefix("/").strip()
    return name


def _inner(rest: str) -> str:
    for form, words in _INNER:
        rest = form.sub(words, rest)
    return re.sub(r"([›\w]) \.", r"\1 ", re.sub(r" {2,}", " ", rest))

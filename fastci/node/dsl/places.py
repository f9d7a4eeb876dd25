"""Where in a page something stands, decided as a browser does: by a parse as HTML5 (Lexbor).

Scripting counts as on: what stands in `noscript` is text. The content of `template` is inert and left out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser, LexborNode

from fastci.node.dsl.script import code_of

PLACES = ("tag", "attr", "attr-name", "href", "js", "refresh")
"""The places of `html:`; `attribute` is another word for `attr`; `attr-name` and `refresh` are ours."""

_NOSCRIPT = re.compile(r"<(/?)noscript(?=[\s/>])", re.I)
_SCRIPT_TYPES = re.compile(
    r"\s*(?:module|(?:text|application)/(?:x-)?(?:java|ecma|j|live)script(?:1\.[0-5])?)?\s*(?:;.*)?", re.I
)
# URL Standard: leading controls and spaces, and tabs and line ends anywhere, do not count.
_JAVASCRIPT = re.compile(r"[\x00-\x20]*" + r"[\t\n\r]*".join("javascript:") + r"(.*)", re.I | re.S)
_REFRESH = re.compile(r"[^;,]*[;,\s]\s*(?:url\s*=\s*)?[\"']?([^\"']*)", re.I)
# Attributes whose address a click or the page itself navigates to or runs; an image's is only fetched.
_LINKS = {
    "href": frozenset({"a", "area", "base", "link", "use", "animate"}),
    "xlink:href": frozenset({"a", "use", "script"}),
    "src": frozenset({"iframe", "frame", "script", "embed"}),
    "action": frozenset({"form"}),
    "formaction": frozenset({"button", "input"}),
    "data": frozenset({"object"}),
}
# Where an address `javascript:...` runs when it is followed.
_RUNNING = frozenset({"a", "area", "iframe", "frame", "embed", "object", "form", "button", "input"})
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:-]*)")
_UNCLOSED = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
    | {"p", "li", "dt", "dd", "option", "optgroup", "tr", "td", "th", "thead", "tbody", "tfoot"}
)
_DEEPEST = 3_000  # browsers stop at 512
_MOST_NODES = 200_000
_NESTED = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of markup: its kind (one of PLACES), its text, and the element it stands in.

    `is_name` tells an attribute's name from its value; both are of the kind `attr`.
    """

    kind: str
    text: str
    element: str
    is_name: bool = False


def places_of(page: str) -> list[Place]:
    """Every place in the page, in its order. Names are lower case, values without character references."""
    return list(_places(page, _NESTED))


def _places(page: str, depth: int) -> Iterator[Place]:
    root = LexborHTMLParser(_NOSCRIPT.sub(r"<\1noframes", _not_too_deep(page))).root
    if root is None:
        return
    for count, node in enumerate(root.traverse(include_text=False)):
        if count > _MOST_NODES:
            return
        tag = node.tag or ""
        if tag[:1] in ("-", "_", ""):
            continue
        yield Place("tag", tag, tag)
        if tag == "script":
            yield from _script(node)
        for name, value in node.attributes.items():
            yield from _attribute(tag, name.lower(), value or "", node, depth)


def _not_too_deep(page: str) -> str:
    """The page up to where its elements nest beyond all reason: the parser takes the square of the depth."""
    if page.count("<") <= _DEEPEST:
        return page
    depth = 0
    for match in _TAG.finditer(page):
        if match[2].lower() not in _UNCLOSED:
            depth += -1 if match[1] else 1
            if depth > _DEEPEST:
                return page[: match.start()]
    return page


def _attribute(tag: str, name: str, value: str, node: LexborNode, depth: int) -> Iterator[Place]:
    yield Place("attr-name", name, tag)
    yield Place("attr", name, tag, True)
    if value:
        yield Place("attr", value, tag)
    if name.startswith("on"):
        yield Place("js", code_of(value), tag)
    elif tag in _LINKS.get(name, ()):
        yield from _link(value, tag)
    elif name == "content" and (node.attributes.get("http-equiv") or "").lower() == "refresh":
        if tag == "meta" and (match := _REFRESH.match(value)):
            yield Place("refresh", match[1].strip(), tag)
    elif name == "srcdoc" and tag == "iframe" and depth:
        yield from _places(value, depth - 1)


def _link(address: str, tag: str) -> Iterator[Place]:
    yield Place("href", address.strip("\t\n\f\r \x00"), tag)
    script = _JAVASCRIPT.match(address)
    if script and tag in _RUNNING:
        yield Place("js", code_of(script[1]), tag)


def _script(node: LexborNode) -> Iterator[Place]:
    kind = node.attributes.get("type")
    if kind is None or _SCRIPT_TYPES.fullmatch(kind):
        text = node.text(deep=True)
        if text:
            yield Place("js", code_of(text), "script")

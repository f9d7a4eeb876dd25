"""Applications that read XML with lxml: resolving whatever the document declares, and resolving nothing."""

import threading
from html import escape

from lxml import etree

from fastci.node.message import Request, Response
from targets.kit import Handler, Pair, looked_up, page, post
from targets.programs import run

_LIST = '<?xml version="1.0"?>\n<list><item><name>Tea</name><count>5</count></item></list>'

# lxml gives libxml2 its resolvers for the whole process while it parses, and takes them away when it has.
_PARSING = threading.Lock()


def read_xml(document: bytes, parser: etree.XMLParser) -> etree._Element:
    """The root of a document, read by one thread at a time: only then is this parser's resolver asked."""
    with _PARSING:
        return etree.fromstring(document, parser)


class _Noted(etree.Resolver):
    """Notes what would be fetched from the network; files are read."""

    def resolve(self, url: str, public_id: str, context: object) -> object:
        if not url.startswith("http"):
            return None
        looked_up.add(url.partition("://")[2].partition("/")[0])
        return self.resolve_string("", context)


def _parser(*, resolving: bool) -> etree.XMLParser:
    parser = etree.XMLParser(resolve_entities=resolving, load_dtd=resolving, no_network=not resolving)
    parser.resolvers.add(_Noted())
    return parser


def _names(request: Request, *, resolving: bool) -> Response:
    """Gives the name of every item; counts must be numbers."""
    try:
        root = read_xml(request.body, _parser(resolving=resolving))
        found = [
            (item.findtext("name") or "", int(item.findtext("count") or 0)) for item in root.iter("item")
        ]
    except (etree.XMLSyntaxError, ValueError):
        return page("<p>That is no list.</p>", 400)
    return page("".join(f"<li>{escape(name)}: {count}</li>" for name, count in found))


def names_resolving(request: Request) -> Response:
    return _names(request, resolving=True)


def names_safe(request: Request) -> Response:
    return _names(request, resolving=False)


def _echo(*, resolving: bool, include: bool = False) -> Handler:
    """Gives the text of whatever document comes."""

    def handler(request: Request) -> Response:
        try:
            root = read_xml(request.body, _parser(resolving=resolving))
            if include:
                root.getroottree().xinclude()
        except etree.LxmlError as error:
            return page(f"<p>{escape(str(error))}</p>", 400)
        return page(f"<p>{escape(' '.join(str(text) for text in root.itertext()))}</p>")

    return handler


_NOISY = (
    "ini_set('display_errors', '1'); simplexml_load_string(stream_get_contents(STDIN), null, LIBXML_NOENT);"
)


def names_with_errors(request: Request) -> Response:
    """PHP resolves entities and says what went wrong; nothing of the document is shown."""
    return page(f"<pre>{escape(run(['php', '-r', _NOISY], request.body.decode()))}</pre>Thank you.")


def _pair(detect: str, flaw: str, broken: Handler, repaired: Handler, point: str = "POST_XML_value") -> Pair:
    request = post("/import", _LIST, "application/xml")
    return Pair(detect=detect, flaw=flaw, request=request, point=point, broken=broken, repaired=repaired)


PAIRS = (
    _pair("xxe-file", "entities resolved", names_resolving, names_safe),
    _pair("xxe-error", "a file that is not there", names_with_errors, names_safe),
    _pair("xxe-document", "any document taken", _echo(resolving=True), _echo(resolving=False), "POST_value"),
    _pair("xxe-document", "includes followed", _echo(resolving=False, include=True), _echo(resolving=False)),
    _pair("xxe-oob", "entities resolved", names_resolving, names_safe),
)

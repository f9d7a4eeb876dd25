"""Pages that show a value without the escaping its place needs, and the same with it."""

import json
import re
from collections.abc import Callable
from html import escape, unescape
from urllib.parse import unquote

from fastci.node.message import Request, Response
from targets.kit import Pair, answer, get, inputs, page


def _shows(template: str, escaping: Callable[[str], str] = str) -> Callable[[Request], Response]:
    def handler(request: Request) -> Response:
        value = escaping(inputs(request)["q"])
        return page(f"<!doctype html><title>Shop</title>{template.replace('VALUE', value)}")

    return handler


def as_json(request: Request) -> Response:
    """Markup in JSON stays text: nothing reads this answer as a page."""
    return answer({"q": inputs(request)["q"]})


def as_download(request: Request) -> Response:
    return page(inputs(request)["q"], Content_Disposition="attachment; filename=note.html")


def _script_string(value: str) -> str:
    return json.dumps(value)[1:-1].replace("'", "\\u0027").replace("<", "\\u003c")


def _half_escaped(value: str) -> str:
    """Quotes get a backslash, backslashes do not: a backslash before the quote takes it back."""
    return value.replace("'", "\\'").replace("<", "&lt;")


def link_checked(request: Request) -> Response:
    value = inputs(request)["q"]
    address = value if value.startswith(("/", "https://", "http://")) else "/"
    return page(f'<a href="{escape(address)}">on</a>')


def _scripted(script: str) -> Callable[[Request], Response]:
    """A page whose server shows nothing of the value; its script reads the address."""

    def handler(request: Request) -> Response:
        return page(f"<!doctype html><title>Shop</title><p id=out></p><script>{script}</script>")

    return handler


_PARAMETER = "const v = new URLSearchParams(location.search).get('q');"
_FRAGMENT = "const v = decodeURIComponent(location.hash.slice(1));"
_WRITES, _QUOTES = (
    "document.getElementById('out').innerHTML = v;",
    ("document.getElementById('out').textContent = v; document.body.append(document.createElement('hr'));"),
)
_REQUEST, _POINT = get("/search?q=tea"), "GET_q_value"


def _pair(
    detect: str, flaw: str, broken: Callable[[Request], Response], repaired: Callable[[Request], Response]
) -> Pair:
    return Pair(detect=detect, flaw=flaw, request=_REQUEST, point=_POINT, broken=broken, repaired=repaired)


_text, _quoted, _single, _bare = (
    "<p>VALUE</p>",
    '<input value="VALUE">',
    "<input value='VALUE'>",
    "<input value=VALUE>",
)
_srcdoc = '<iframe srcdoc="<p>VALUE</p>"></iframe>'
_twice = lambda value: escape(escape(value))  # noqa: E731
_without_tags = lambda value: re.sub("<[^>]*>", "", value)  # noqa: E731
_decoded = lambda value: unquote(re.sub("[<>]", "", value))  # noqa: E731
_from_entities = lambda value: unescape(re.sub("[<>]", "", value))  # noqa: E731
_only_tags = lambda value: value.replace("<", "&lt;").replace(">", "&gt;")  # noqa: E731

PAIRS = (
    _pair("xss-html", "text", _shows(_text), _shows(_text, escape)),
    _pair("xss-html", "text that is downloaded or is JSON", _shows(_text), as_download),
    _pair("xss-html", "text area", _shows("<textarea>VALUE</textarea>"), as_json),
    _pair("xss-html", "title", _shows("<title>VALUE</title>"), _shows("<title>VALUE</title>", escape)),
    _pair("xss-html", "comment", _shows("<!-- VALUE -->"), _shows("<!-- VALUE -->", escape)),
    _pair(
        "xss-html",
        "script",
        _shows("<script>var q = 'VALUE'</script>"),
        _shows("<script>var q = 'VALUE'</script>", _script_string),
    ),
    *(
        Pair(
            detect="xss-dom",
            flaw=f"script that reads {name}",
            request=_REQUEST,
            point="*",
            broken=_scripted(source + _WRITES),
            repaired=_scripted(source + _QUOTES),
            needs="chromium",
        )
        for name, source in (("a parameter", _PARAMETER), ("what follows the #", _FRAGMENT))
    ),
    _pair("xss-evasion", "tags taken out", _shows(_text, _without_tags), _shows(_text, escape)),
    _pair("xss-evasion", "decoded again", _shows(_text, _decoded), _shows("<p>%3CVALUE</p>", escape)),
    _pair("xss-evasion", "entities read", _shows(_text, _from_entities), as_json),
    _pair("xss-html", "page in a frame's attribute", _shows(_srcdoc, escape), _shows(_srcdoc, _twice)),
    _pair("xss-attribute", "double quotes", _shows(_quoted, _only_tags), _shows(_quoted, escape)),
    _pair("xss-attribute", "single quotes", _shows(_single, _only_tags), _shows(_single, escape)),
    _pair("xss-attribute", "no quotes", _shows(_bare, _only_tags), _shows(_text, _only_tags)),
    _pair("xss-href", "link", _shows('<a href="VALUE">on</a>', escape), link_checked),
    _pair(
        "xss-href",
        "frame",
        _shows('<iframe src="VALUE"></iframe>', escape),
        _shows('<a href="/?to=VALUE">on</a>', escape),
    ),
    _pair(
        "xss-script",
        "single quotes",
        _shows("<script>var q = 'VALUE';</script>", _only_tags),
        _shows("<script>var q = 'VALUE';</script>", _script_string),
    ),
    _pair(
        "xss-script",
        "double quotes",
        _shows('<script>var q = "VALUE";</script>', _only_tags),
        _shows("<script>// VALUE</script>", _script_string),
    ),
    _pair(
        "xss-script",
        "template",
        _shows("<script>var q = `VALUE`;</script>", escape),
        _shows('<script type="text/x-template">VALUE</script>', _only_tags),
    ),
    _pair(
        "xss-script",
        "half escaped quotes",
        _shows("<script>var q = 'VALUE';</script>", _half_escaped),
        _shows("<script>/* VALUE */</script>", _script_string),
    ),
    _pair(
        "xss-script",
        "event handler",
        _shows("<b onclick=\"show('VALUE')\">x</b>", escape),
        _shows("<b title=\"show('VALUE')\">x</b>", escape),
    ),
)

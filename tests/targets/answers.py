"""Redirects, header lines, templates, fetched addresses: places that a value should not decide alone."""

import re
from contextlib import suppress
from html import escape
from unittest import mock
from urllib.parse import quote, urlsplit

from jinja2 import Environment
from mako.template import Template

from fastci.node.message import Field, Request, Response, parse_response
from targets.kit import Handler, Pair, answer, get, inputs, looked_up, page, path_of
from targets.programs import run

# redirects


def _to(address: str, status: int = 302) -> Response:
    return Response(status=status, fields=(Field.of(b"Location", address.encode("utf-8", "replace")),))


def redirect(request: Request) -> Response:
    return _to(inputs(request)["next"])


def redirect_if_path(request: Request) -> Response:
    """Takes a slash at the start for proof; browsers read two of them, or a backslash, as a host."""
    to = inputs(request)["next"]
    return _to(to if to.startswith("/") and not to.startswith("//") else "/")


def redirect_inside(request: Request) -> Response:
    to = inputs(request)["next"].replace("\\", "/")
    parts = urlsplit(to)
    return _to("/" if parts.scheme or parts.netloc or not to.startswith("/") else quote(to, safe="/?=&"))


def redirect_without_backslashes(request: Request) -> Response:
    """Takes what no path has out of the value; one slash is left, and that means our own host."""
    to = inputs(request)["next"].replace("\\", "")
    return _to(to if to.startswith("/") and not to.startswith("//") else "/")


def redirect_behind_prefix(request: Request) -> Response:
    """The value stays a parameter of an address of our own."""
    return _to("/go?to=" + quote(inputs(request)["next"], safe=":/"))


def redirect_if_it_names_us(request: Request) -> Response:
    """Looks for the allowed address anywhere in the value."""
    to = inputs(request)["next"]
    return _to(to if "/teas" in to else "/")


def redirect_if_it_begins_like_us(request: Request) -> Response:
    to = inputs(request)["next"]
    return _to(to if to.startswith("https://friends.example") else "/")


def redirect_to_host(request: Request) -> Response:
    to = inputs(request)["next"]
    return _to(to if re.fullmatch(r"https://friends\.example(?:/[\w/]*)?", to) else "/")


def moved_by_script(request: Request) -> Response:
    to = inputs(request)["next"].replace("<", "").replace('"', "")
    return page(f'<script>window.location.href = "{to}";</script>')


def moved_on(request: Request) -> Response:
    return page(f'<meta http-equiv="refresh" content="3; url={escape(inputs(request)["next"])}">')


def linked(request: Request) -> Response:
    """A page on which the visitor may follow the address."""
    to = inputs(request)["next"]
    address = to if urlsplit(to).scheme in ("http", "https") else "/"
    return page(f'You leave us for <a href="{escape(address)}">this site</a>.')


def add_slash(request: Request) -> Response:
    path = path_of(request)
    return page("home") if path.endswith("/") else _to(path + "/", 301)


def add_slash_once(request: Request) -> Response:
    path = "/" + path_of(request).replace("\\", "/").lstrip("/")
    return page("home") if path.endswith("/") else _to(path + "/", 301)


# header lines


def language_header(request: Request) -> Response:
    """Writes the value into the head as it is, byte by byte."""
    head = (
        f"HTTP/1.1 200 OK\r\nSet-Cookie: lang={inputs(request)['lang']}\r\nContent-Type: text/plain\r\n\r\n"
    )
    return parse_response(head.encode(), b"ok")


def language_header_narrow(request: Request) -> Response:
    """Keeps the low byte of each character, after looking for line ends."""
    value = inputs(request)["lang"].replace("\r", "").replace("\n", "")
    head = f"HTTP/1.1 200 OK\r\nSet-Cookie: lang={''.join(chr(ord(c) & 0xFF) for c in value)}\r\n\r\n"
    return parse_response(head.encode("latin-1"), b"ok")


def language_header_quoted(request: Request) -> Response:
    head = f"HTTP/1.1 200 OK\r\nSet-Cookie: lang={quote(inputs(request)['lang'])}\r\n\r\n"
    return parse_response(head.encode(), inputs(request)["lang"].encode())


# templates


def template(request: Request) -> Response:
    try:
        return page(
            Environment(autoescape=True).from_string(f"<p>Dear {inputs(request)['name']}</p>").render()
        )
    except Exception:
        return page("<p>That card cannot be printed.</p>", 500)


def template_unseen(request: Request) -> Response:
    """Prints a card for later. What the template fetches is only noted."""
    with suppress(Exception), mock.patch("urllib.request.urlopen", looked_up.add):
        Environment(autoescape=True).from_string(f"Dear {inputs(request)['name']}").render()
    return page("<p>Your card is on its way.</p>")


def template_unseen_variable(request: Request) -> Response:
    Environment(autoescape=True).from_string("Dear {{ name }}").render(name=inputs(request)["name"])
    return page("<p>Your card is on its way.</p>")


def template_variable(request: Request) -> Response:
    source = "<p>Dear {{ name }}</p>"
    return page(Environment(autoescape=True).from_string(source).render(name=inputs(request)["name"]))


def _engine(start: str, end: str) -> Handler:
    """Stands for an engine that is not at hand: computes products between its signs."""

    def handler(request: Request) -> Response:
        text = inputs(request)["name"]
        before, opened, rest = text.partition(start)
        inner, closed, after = rest.partition(end)
        factors = inner.strip().split("*")
        if opened and closed and len(factors) == 2 and all(factor.isdigit() for factor in factors):
            text = f"{before}{int(factors[0]) * int(factors[1]):,}{after}"
        return page(f"<p>Dear {escape(text)}</p>")

    return handler


TWIG = "/usr/share/php/Twig/autoload.php"
HANDLEBARS = "/usr/share/nodejs/handlebars"


def mako(request: Request) -> Response:
    try:
        return page(Template(f"<p>Dear {inputs(request)['name']}</p>").render())
    except Exception:
        return page("<p>That card cannot be printed.</p>", 500)


def mako_variable(request: Request) -> Response:
    return page(Template("<p>Dear ${name | h}</p>").render(name=inputs(request)["name"]))


def _twig(code: str) -> Handler:
    """The real engine; the value comes by the program's input."""
    start = f"require '{TWIG}'; $v = stream_get_contents(STDIN);"

    def handler(request: Request) -> Response:
        text = run(["php", "-d", "display_errors=0", "-r", start + code], inputs(request)["name"])
        return page(f"<p>{text or 'That card cannot be printed.'}</p>")

    return handler


twig = _twig(
    "echo (new Twig\\Environment(new Twig\\Loader\\ArrayLoader()))->createTemplate('Dear '.$v)->render([]);"
)
twig_variable = _twig(
    "echo (new Twig\\Environment(new Twig\\Loader\\ArrayLoader()))"
    "->createTemplate('Dear {{ v }}')->render(['v' => $v]);"
)


def _handlebars(code: str) -> Handler:
    start = f"const h = require('{HANDLEBARS}'), v = require('fs').readFileSync(0, 'utf8');"

    def handler(request: Request) -> Response:
        text = run(["node", "-e", start + code], inputs(request)["name"])
        return page(f"<p>{text or 'That card cannot be printed.'}</p>")

    return handler


handlebars = _handlebars("console.log(h.compile('Dear ' + v)({}))")
handlebars_variable = _handlebars("console.log(h.compile('Dear {{v}}')({v}))")


def signs_taken_out(request: Request) -> Response:
    """Shows the value without what stands between the signs of templates."""
    return page(f"<p>Dear {escape(re.sub(r'{{.*?}}', '', inputs(request)['name']))}</p>")


# addresses that are fetched


def fetch(request: Request) -> Response:
    host = urlsplit(inputs(request)["from"]).hostname
    if host:
        looked_up.add(host)
    return page("<p>Thank you.</p>")


_INSIDE = {
    "127.0.0.1:22": "SSH-2.0-OpenSSH_9.2p1",
    "169.254.169.254": "ami-id\nami-launch-index\nhostname\n",
    "feeds.example": "<feed>tea</feed>",
}


def fetch_and_show(request: Request) -> Response:
    """Shows what it gets at an address; its network is a table."""
    place = urlsplit(inputs(request)["from"]).netloc
    return page(f"<pre>{escape(_INSIDE.get(place, 'nobody answers'))}</pre>")


def fetch_known_and_show(request: Request) -> Response:
    place = urlsplit(inputs(request)["from"]).netloc
    shown = _INSIDE[place] if place == "feeds.example" else f"{place} is not among our feeds"
    return page(f"<pre>{escape(shown)}</pre>")


def fetch_and_tell(request: Request) -> Response:
    host = urlsplit(inputs(request)["from"]).hostname or ""
    return page(f"<p>Error: getaddrinfo ENOTFOUND {escape(host)}</p>" if "." in host else "<p>none</p>", 502)


def fetch_none(request: Request) -> Response:
    return page(f"<p>{escape(inputs(request)['from'])} is not among our feeds.</p>", 400)


def fetch_known(request: Request) -> Response:
    host = urlsplit(inputs(request)["from"]).hostname
    if host in ("feeds.example", "news.example"):
        looked_up.add(host)
    return page("<p>Thank you.</p>")


def _redirects(detect: str, flaw: str, broken: Handler, repaired: Handler) -> Pair:
    return Pair(
        detect=detect,
        flaw=flaw,
        request=get("/go?next=/teas"),
        point="GET_next_value",
        broken=broken,
        repaired=repaired,
    )


def _template(
    flaw: str, broken: Handler, repaired: Handler = template_variable, *, detect: str = "ssti-calc",
    needs: str = "",
) -> Pair:  # fmt: skip
    return Pair(
        detect=detect,
        needs=needs,
        flaw=flaw,
        request=get("/card?name=Ann"),
        point="GET_name_value",
        broken=broken,
        repaired=repaired,
    )


def _header(flaw: str, broken: Handler) -> Pair:
    return Pair(
        detect="crlf-header",
        flaw=flaw,
        request=get("/lang?lang=en"),
        point="GET_lang_value",
        broken=broken,
        repaired=language_header_quoted,
    )


PAIRS = (
    _redirects("redir-location", "any address", redirect, redirect_inside),
    _redirects(
        "redir-location", "anything that begins with a slash", redirect_if_path, redirect_behind_prefix
    ),
    _redirects("redir-location", "page that moves on", moved_on, linked),
    _redirects("redir-location", "script that moves on", moved_by_script, linked),
    _redirects("redir-location", "begins with one slash", redirect_if_path, redirect_without_backslashes),
    _redirects("redir-prefixed", "names the allowed one", redirect_if_it_names_us, redirect_inside),
    Pair(
        detect="redir-suffix",
        flaw="begins like the allowed one",
        request=get("/go?next=https://friends.example"),
        point="GET_next_value",
        broken=redirect_if_it_begins_like_us,
        repaired=redirect_to_host,
    ),
    Pair(
        detect="redir-path",
        flaw="slash added",
        request=get("/teas"),
        point="URI_value",
        broken=add_slash,
        repaired=add_slash_once,
    ),
    _header("pasted", language_header),
    _header("cut to bytes", language_header_narrow),
    _template("Jinja", template),
    _template("Mako", mako, mako_variable),
    _template("Twig", twig, twig_variable, needs=TWIG),
    _template("Handlebars", handlebars, handlebars_variable, detect="ssti-handlebars", needs=HANDLEBARS),
    _template("signs", handlebars, signs_taken_out, detect="ssti-handlebars", needs=HANDLEBARS),
    _template("FreeMarker, groups digits", _engine("${", "}")),
    _template("ERB", _engine("<%=", "%>")),
    _template("Razor", _engine("@(", ")")),
    Pair(
        detect="ssrf-error",
        flaw="error shown",
        request=get("/feed?from=http://feeds.example/"),
        point="GET_from_value",
        broken=fetch_and_tell,
        repaired=fetch_none,
    ),
    *(
        Pair(
            detect="ssrf-content",
            flaw=f"shows what it fetches, value {value}",
            request=get(f"/feed?from={value}"),
            point="GET_from_value",
            broken=fetch_and_show,
            repaired=fetch_known_and_show,
        )
        for value in ("http://feeds.example/", "feeds.example")
    ),
    Pair(
        detect="ssti-oob",
        flaw="Jinja, printed later",
        request=get("/card?name=Ann"),
        point="GET_name_value",
        broken=template_unseen,
        repaired=template_unseen_variable,
    ),
    Pair(
        detect="ssrf-oob",
        flaw="any address",
        request=get("/feed?from=http://feeds.example/"),
        point="GET_from_value",
        broken=fetch,
        repaired=fetch_known,
    ),
)


def everything_sent(request: Request) -> Response:
    """Shows what it was sent as JSON, as services that one debugs clients with do."""
    shown = {
        "path": request.target.decode("latin-1"),
        "fields": [f"{field.name.decode()}: {field.value.decode('latin-1')}" for field in request.fields[1:]],
        "body": request.body.decode("utf-8", "replace"),
    }
    return answer(shown)


def lengths_sent(request: Request) -> Response:
    """Counts what it was sent instead of showing it."""
    return page(f"<p>{len(request.target)} and {len(request.body)} bytes</p>")


def broken_at_signs(request: Request) -> Response:
    """Shows values as wikis do: a long word may be broken behind some signs of it."""
    shown = [re.sub("(&amp;|[;=])", r"\1<wbr>", escape(str(value))) for value in inputs(request).values()]
    return page("".join(f"<p>{each}</p>" for each in shown))

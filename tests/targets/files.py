"""Applications that give out files by a name from the request, and the same kept inside their folder."""

import base64
import ntpath
import os
import tempfile
from pathlib import Path
from urllib.parse import unquote

from fastci.node.message import Request, Response
from targets.kit import Handler, Pair, answer, get, inputs, page, path_of

_DOCS = Path(tempfile.gettempdir())
_WINDOWS = {
    r"c:\inetpub\docs\tea.txt": "Tea grows on hills.",
    r"c:\windows\win.ini": "; for 16-bit app support\r\n[fonts]\r\n[extensions]\r\n",
}


def _read(path: str | Path) -> Response:
    try:
        text = Path(path).read_text(errors="replace")[:4000]
    except (OSError, ValueError):
        return page("<p>There is no such paper.</p>", 404)
    return page(text, media_type="text/plain")


def joined(request: Request) -> Response:
    return _read(_DOCS / inputs(request)["file"])


def encoded(request: Request) -> Response:
    """What is found comes in a field of the answer, in Base64."""
    found = joined(request)
    return answer({"content": base64.b64encode(found.body).decode()}, found.status)


def pasted(request: Request) -> Response:
    """Below the folder, but an absolute name stays below it as well."""
    return _read(f"{_DOCS}/{inputs(request)['file']}")


def stripped_once(request: Request) -> Response:
    return _read(f"{_DOCS}/{inputs(request)['file'].replace('../', '')}")


def decoded_twice(request: Request) -> Response:
    name = inputs(request)["file"]
    if ".." in name or name.startswith("/"):
        return page("<p>There is no such paper.</p>", 404)
    return _read(f"{_DOCS}/{unquote(name)}")


def ended_by_nul(request: Request) -> Response:
    """Checks the ending that the program behind it, written in C, does not see."""
    name = inputs(request)["file"]
    return _read(f"{_DOCS}/{name + '.txt'}".partition("\0")[0])


def fetched(request: Request) -> Response:
    name = inputs(request)["file"]
    return _read(name.removeprefix("file://")) if name.startswith("file://") else page("<p>papers</p>")


def normalised(request: Request) -> Response:
    """Must begin with a folder of ours, then takes the steps upwards out."""
    name = inputs(request)["file"]
    if not name.startswith("tea"):
        return page("<p>There is no such paper.</p>", 404)
    return _read(os.path.normpath(f"{_DOCS}/{name}"))


def kept_inside(request: Request) -> Response:
    path = os.path.realpath(_DOCS / inputs(request)["file"].replace("\0", ""))
    return _read(path) if path.startswith(f"{os.path.realpath(_DOCS)}/") else page("<p>No.</p>", 404)


def named_only(request: Request) -> Response:
    """Shows the name it does not find."""
    return page(
        f"<p>There is no paper {inputs(request)['file']!r}; see root:papers:0:1</p>", 404, "text/plain"
    )


def _windows(name: str) -> Response:
    path = ntpath.normpath(ntpath.join(r"C:\inetpub\docs", name)).lower()
    text = _WINDOWS.get(path)
    return page(text, media_type="text/plain") if text else page("<p>No such paper.</p>", 404)


def on_windows(request: Request) -> Response:
    return _windows(inputs(request)["file"])


def on_windows_checked(request: Request) -> Response:
    name = inputs(request)["file"]
    return page("<p>No.</p>", 400) if {"\\", ":", "/"} & set(name) else _windows(name)


def static(request: Request) -> Response:
    """What follows /static/ is decoded, then opened."""
    folder, _, name = path_of(request).partition("/static/")
    return _read(f"{_DOCS}/{name}") if not folder and name else page("<p>home</p>", 404)


def static_kept_inside(request: Request) -> Response:
    name = path_of(request).partition("/static/")[2]
    path = os.path.realpath(f"{_DOCS}/{name}".replace("\0", ""))
    return _read(path) if path.startswith(f"{os.path.realpath(_DOCS)}/") else page("<p>No.</p>", 404)


def whole_path(request: Request) -> Response:
    return _read(f"{_DOCS}{path_of(request)}")


def whole_path_kept_inside(request: Request) -> Response:
    path = os.path.realpath(f"{_DOCS}{path_of(request)}".replace("\0", ""))
    return _read(path) if path.startswith(f"{os.path.realpath(_DOCS)}/") else page("<p>No.</p>", 404)


def through_wrappers(request: Request) -> Response:
    """Opens names as PHP does: this filter gives any file in base64, the page's own source too."""
    name = inputs(request)["file"]
    if name.startswith("php://filter/convert.base64-encode/resource="):
        source = f"<?php include '{name.rpartition('=')[2]}.inc'; echo $tea;"
        return page(base64.b64encode(source.encode()).decode())
    return page("<p>Tea grows on hills.</p>")


def in_a_folder(request: Request) -> Response:
    """A file of a Java application, some folders above which its settings lie."""
    path = os.path.normpath(f"/papers/{inputs(request)['file']}")
    if path == "/WEB-INF/web.xml":
        return page("<web-app version='3.0'><servlet></servlet></web-app>", media_type="application/xml")
    return page("<p>Tea grows on hills.</p>")


_FOLDERS = {"/srv/papers": ("assam.txt",), "/etc": ("hostname", "passwd", "resolv.conf", "shadow", "xdg")}


def listing(request: Request) -> Response:
    """What is in a folder below that of the papers."""
    names = _FOLDERS.get(os.path.normpath(f"/srv/{inputs(request)['file']}"), ())
    return page("".join(f"<li>{name}</li>" for name in names))


def listing_one_level(request: Request) -> Response:
    """Lists what it knows; of others it says which names would be dangerous."""
    if "/" in inputs(request)["file"]:
        return page("<p>Never ask for passwd, shadow or hostname.</p>", 400)
    return listing(request)


def _pair(detect: str, flaw: str, broken: Handler, repaired: Handler = kept_inside) -> Pair:
    return Pair(
        detect=detect,
        flaw=flaw,
        request=get("/papers?file=tea.txt"),
        point="GET_file_value",
        broken=broken,
        repaired=repaired,
    )


_STATIC = get("/static/shop.css")

PAIRS = (
    _pair("ptrav-unix", "joined", joined),
    _pair("ptrav-unix", "pasted", pasted),
    _pair("ptrav-unix", "given in Base64", encoded),
    _pair("ptrav-unix", "steps taken out once", stripped_once),
    _pair("ptrav-unix", "decoded twice", decoded_twice),
    _pair("ptrav-unix", "name ended by NUL", ended_by_nul),
    _pair("ptrav-unix", "address fetched", fetched, named_only),
    _pair("ptrav-wrapper", "opened with wrappers", through_wrappers),
    _pair("ptrav-webinf", "a folder of the application", in_a_folder),
    _pair("ptrav-append", "normalised behind a folder", normalised),
    _pair("ptrav-folder", "joined", listing, listing_one_level),
    _pair("ptrav-windows", "joined", on_windows, on_windows_checked),
    Pair(
        detect="ptrav-path",
        flaw="static files",
        request=_STATIC,
        point="ACTION_NAME_value",
        broken=static,
        repaired=static_kept_inside,
    ),
    Pair(
        detect="ptrav-uri",
        flaw="the whole path",
        request=_STATIC,
        point="URI_value",
        broken=whole_path,
        repaired=whole_path_kept_inside,
    ),
)

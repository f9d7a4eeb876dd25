"""Applications that make objects of what they are sent, and the same with plain data."""

import base64
import binascii
import io
import json
import pickle
import re
from html import escape
from urllib.parse import quote

import yaml

from fastci.node.message import Request, Response
from targets.kit import Handler, Pair, clock, get, inputs, page, post
from targets.programs import available, run
from targets.uploads import UPLOADS


class _Loader(pickle.Unpickler):
    """Python's own, but its clock is the kit's."""

    def find_class(self, module: str, name: str) -> object:
        found = super().find_class(module, name)
        if name == "eval":
            return lambda text: (
                clock.wait(*re.findall(r"sleep\((\d+)\)", text)) if "sleep" in text else found(text)
            )
        return found


def _loaded(request: Request, *, shown: bool) -> Response:
    try:
        data = base64.b64decode(inputs(request)["state"], validate=True)
        state = _Loader(io.BytesIO(data)).load()
    except (binascii.Error, pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, KeyError,
            IndexError, ImportError, SyntaxError, NameError):  # fmt: skip
        return page("<p>That state is broken.</p>", 400)
    return page(f"<p>{escape(str(state))}</p>" if shown else "<p>Thank you.</p>")


def unpickles(request: Request) -> Response:
    return _loaded(request, shown=True)


def unpickles_silently(request: Request) -> Response:
    return _loaded(request, shown=False)


def keeps_state(request: Request) -> Response:
    """Only looks it up."""
    return page(f"<p>{escape(inputs(request)['state'])}</p>")


def revives_functions(request: Request) -> Response:
    """What a JavaScript serialiser does with texts that begin like functions; it computes products only."""
    try:
        rows = json.loads(request.body)
    except ValueError:
        return page("<p>not JSON</p>", 400)
    text = (
        str(rows[0].get("name", "")) if isinstance(rows, list) and rows and isinstance(rows[0], dict) else ""
    )
    call = re.fullmatch(r"_\$\$ND_FUNC\$\$_function\(\)\{return String\((\d+)\*(\d+)\)\}\(\)", text)
    return page(f"<li>{int(call[1]) * int(call[2]) if call else escape(text)}</li>")


def reads_texts(request: Request) -> Response:
    try:
        rows = json.loads(request.body)
    except ValueError:
        return page("<p>not JSON</p>", 400)
    return page(f"<li>{escape(str(rows))}</li>")


def makes_classes(request: Request) -> Response:
    """PHP's `unserialize`, where there is PHP; else what it would make of an unknown class."""
    cart = inputs(request)["cart"]
    if available("php"):
        script = "print_r(@unserialize(stream_get_contents(STDIN)));"
        return page(f"<pre>{escape(run(['php', '-r', script], cart))}</pre>")
    name = re.fullmatch(r'O:10:"(\w{10})":0:\{\}', cart)
    made = (
        f"__PHP_Incomplete_Class Object ( [__PHP_Incomplete_Class_Name] => {name[1]} )" if name else "Array"
    )
    return page(f"<pre>{made}</pre>")


def makes_no_classes(request: Request) -> Response:
    try:
        return page(f"<p>{escape(str(json.loads(inputs(request)['cart'])))}</p>")
    except ValueError:
        return page("<p>not JSON</p>", 400)


def names_classes(request: Request) -> Response:
    """What a Java application says of a class that it does not have."""
    data = inputs(request)["cart"].encode("utf-8", "surrogateescape")
    name = re.match(rb"\xac\xed\0\x05sr\0\x0a(\w{10})", data)
    if name:
        return page(f"<pre>java.lang.ClassNotFoundException: {name[1].decode()}</pre>", 500)
    return page("<p>one tea</p>" if data.startswith(b"\xac\xed") else "<p>broken</p>")


def reads_tags(request: Request) -> Response:
    try:
        found = yaml.load(inputs(request)["settings"], yaml.UnsafeLoader)
    except (yaml.YAMLError, TypeError, ValueError, SyntaxError, NameError):
        return page("<p>That is no YAML.</p>", 400)
    return page(f"<p>{escape(str(found))}</p>")


def reads_no_tags(request: Request) -> Response:
    try:
        return page(f"<p>{escape(str(yaml.safe_load(inputs(request)['settings'])))}</p>")
    except (yaml.YAMLError, ValueError):
        return page("<p>That is no YAML.</p>", 400)


_SETTINGS = get("/set?settings=tea:%20Assam")
_STATE = get("/state?state=" + quote(base64.b64encode(pickle.dumps({"step": 2}, protocol=0)).decode()))
_AT_STATE = "GET_state_BASE64_value"
_ROWS = post("/import", '[{"name": "Assam"}]', "application/json")
_JAVA = get("/cart?cart=" + quote(b"\xac\xed\0\x05t\0\x04cart"))


def _pair(detect: str, flaw: str, broken: Handler, repaired: Handler, request: Request, point: str) -> Pair:
    return Pair(detect=detect, flaw=flaw, broken=broken, repaired=repaired, request=request, point=point)


PAIRS = (
    _pair("deser-python", "shown", unpickles, keeps_state, _STATE, _AT_STATE),
    _pair("deser-python-time", "not shown", unpickles_silently, keeps_state, _STATE, _AT_STATE),
    _pair(
        "deser-node",
        "functions",
        revives_functions,
        reads_texts,
        _ROWS,
        "POST_JSON_DOC_ARRAY_0_HASH_name_value",
    ),
    _pair(
        "deser-error",
        "PHP",
        makes_classes,
        makes_no_classes,
        get("/cart?cart=a:1:%7Bi:0;s:3:%22tea%22;%7D"),
        "GET_cart_value",
    ),
    _pair("deser-error", "Java", names_classes, makes_no_classes, _JAVA, "GET_cart_value"),
    _pair(
        "deser-yaml",
        "tags",
        reads_tags,
        reads_no_tags,
        get("/set?settings=tea:%20Assam"),
        "GET_settings_value",
    ),
    *UPLOADS,
)

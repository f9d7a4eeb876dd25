"""Suppliers' lists, sent as XML by our staff's programs."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flask import Blueprint, Response, jsonify, request
from lxml import etree

from shop.account import the_staff
from shop.fields import Refused
from shop.files import read_file
from shop.storage import writing

pages = Blueprint("supply", __name__)

_ITEMS = 100
_SKU = re.compile(r"[A-Z]{3}-[0-9]{2}")
_PRICE = re.compile(r"[0-9]{1,5}(\.[0-9]{1,2})?")


class _LocalFiles(etree.Resolver):  # type: ignore[misc]
    """External entities as libxml2 reads them, but never from a device: /dev/zero would parse for ever."""

    def resolve(self, system_url: str | None, public_id: str | None, context: object) -> object:
        target = urlsplit(system_url or "")
        content = b""
        if target.scheme in ("", "file"):
            with suppress(OSError, ValueError):
                content = read_file(Path(unquote(target.path)))
        # Not resolve_empty(): lxml then asks libxml2's own loader after all.
        return self.resolve_string(content, context)


def _parse(body: bytes, parser: etree.XMLParser) -> etree._Element:
    try:
        return etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise Refused("The list is no well-formed XML.") from None


def _items(root: etree._Element) -> list[dict[str, str]]:
    """The ``<item>`` elements of a list, each with sku, title and price as text."""
    found = []
    for item in root.iter("item"):
        found.append({key: (item.findtext(key) or "").strip() for key in ("sku", "title", "price")})
    if not 0 < len(found) <= _ITEMS:
        raise Refused(f"The list must hold 1 to {_ITEMS} items.")
    return found


@pages.post("/api/catalogue/import")
def import_catalogue() -> Response:
    the_staff()
    # flaw: xxe-catalogue
    parser = etree.XMLParser(resolve_entities=True, load_dtd=True, no_network=True)
    parser.resolvers.add(_LocalFiles())
    items = _items(_parse(request.get_data(), parser))
    known = [
        (item["sku"], round(float(item["price"]) * 100))
        for item in items
        if _SKU.fullmatch(item["sku"]) and _PRICE.fullmatch(item["price"])
    ]
    with writing() as connection:
        connection.executemany("INSERT OR REPLACE INTO supplier_prices VALUES (?, ?)", known)
    return jsonify(imported=items, prices=len(known))


@pages.post("/api/stock/import")
def import_stock() -> Response:
    the_staff()
    # twin: xxe-catalogue
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True)
    root = _parse(request.get_data(), parser)
    if root.getroottree().docinfo.internalDTD is not None:
        raise Refused("The list must not declare a document type.")
    items = _items(root)
    known = [(item["sku"], item["title"][:100]) for item in items if _SKU.fullmatch(item["sku"])]
    with writing() as connection:
        connection.executemany("INSERT OR REPLACE INTO stock_reports VALUES (?, ?)", known)
    return jsonify(imported=items, products=len(known))

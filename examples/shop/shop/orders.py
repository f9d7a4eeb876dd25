"""Basket, checkout, the customer's own orders with their invoices, vouchers."""

from __future__ import annotations

import sqlite3
import time

from flask import Blueprint, Response, jsonify, render_template, request

from shop.account import current_customer, current_session, start_session, the_customer, to_login
from shop.catalogue import find_product
from shop.fields import Refused, go_to, json_object, plain_text, whole_number
from shop.storage import LATEST, database, writing

pages = Blueprint("orders", __name__)

_BASKET = (
    "SELECT p.id, p.name, p.cents, b.quantity FROM basket b JOIN products p ON p.id = b.product_id"
    " WHERE b.session_id = ? ORDER BY p.id"
)


def _basket() -> list[sqlite3.Row]:
    session = current_session()
    return [] if session is None else database().execute(_BASKET, (session["id"],)).fetchall()


def _put(product_id: int, quantity: int, response: Response) -> int:
    """Lay products into the visitor's basket, at most 99 of a kind; returns the session's id."""
    find_product(product_id)
    session = current_session()
    session_id: int = start_session(response, None) if session is None else session["id"]
    with writing() as connection:
        connection.execute(
            "INSERT INTO basket VALUES (?, ?, ?) ON CONFLICT (session_id, product_id)"
            " DO UPDATE SET quantity = min(99, quantity + excluded.quantity)",
            (session_id, product_id, quantity),
        )
    return session_id


@pages.get("/basket")
def basket_page() -> str:
    rows = _basket()
    total = sum(row["cents"] * row["quantity"] for row in rows)
    return render_template("basket.html", rows=rows, total=total)


@pages.post("/basket")
def add_to_basket() -> Response:
    product_id = whole_number(request.form.get("product"), "The product", high=999_999)
    quantity = whole_number(request.form.get("quantity", "1"), "The quantity")
    response = go_to("/basket")
    _put(product_id, quantity, response)
    return response


@pages.post("/api/basket")
def api_add_to_basket() -> Response:
    body = json_object()
    product_id = whole_number(body.get("product"), "The product", high=999_999)
    quantity = whole_number(body.get("quantity", 1), "The quantity")
    response = jsonify()
    session_id = _put(product_id, quantity, response)
    rows = database().execute(_BASKET, (session_id,)).fetchall()
    response.set_data(jsonify(basket=[dict(row) for row in rows]).get_data())
    return response


@pages.post("/checkout")
def checkout() -> Response:
    customer = current_customer()
    if customer is None:
        return to_login()
    address = plain_text(request.form.get("address"), "The address", limit=300)
    code = plain_text(request.form.get("voucher", ""), "The voucher", limit=40, empty=True)
    lines = [(row["id"], row["name"], row["quantity"], row["cents"]) for row in _basket()]
    if not lines:
        return go_to("/basket")
    order_id = _place(customer["user_id"], address, lines, percent=_percent(code) or 0)
    with writing() as connection:
        connection.execute("DELETE FROM basket WHERE session_id = ?", (customer["id"],))
    return go_to(f"/orders/{order_id}")


@pages.post("/api/orders")
def api_place_order() -> tuple[Response, int]:
    customer = the_customer()
    body = json_object()
    product = find_product(whole_number(body.get("product"), "The product", high=999_999))
    quantity = whole_number(body.get("quantity", 1), "The quantity")
    address = plain_text(body.get("address"), "The address", limit=300)
    line = (product["id"], product["name"], quantity, product["cents"])
    order_id = _place(customer["user_id"], address, [line], percent=0)
    return jsonify(id=order_id, cents=product["cents"] * quantity), 201


def _place(user_id: int, address: str, lines: list[tuple[int, str, int, int]], *, percent: int) -> int:
    total = sum(quantity * cents for _, _, quantity, cents in lines) * (100 - percent) // 100
    placed = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    with writing() as connection:
        order_id = connection.execute(
            "INSERT INTO orders (user_id, placed, address, cents) VALUES (?, ?, ?, ?)",
            (user_id, placed, address, total),
        ).lastrowid
        connection.executemany(
            "INSERT INTO order_lines VALUES (?, ?, ?, ?, ?)", [(order_id, *line) for line in lines]
        )
    assert order_id is not None
    return order_id


def _own_order(order_id: int, user_id: int) -> sqlite3.Row:
    # One answer for "not there" and "not yours".
    rows = database().execute("SELECT * FROM orders WHERE id = ? AND user_id = ?", (order_id, user_id))
    row: sqlite3.Row | None = rows.fetchone()
    if row is None:
        raise Refused("You have no such order.", 404)
    return row


def _lines(order_id: int) -> list[sqlite3.Row]:
    return database().execute("SELECT * FROM order_lines WHERE order_id = ?", (order_id,)).fetchall()


@pages.get("/orders")
def order_list() -> Response | str:
    customer = current_customer()
    if customer is None:
        return to_login()
    rows = database().execute(
        "SELECT * FROM orders WHERE user_id = ? ORDER BY id DESC LIMIT ?", (customer["user_id"], LATEST)
    )
    return render_template("orders.html", orders=rows.fetchall(), wanted="")


@pages.get("/orders/search")
def order_search() -> Response | str:
    # twin: sqli-search
    customer = current_customer()
    if customer is None:
        return to_login()
    wanted = plain_text(request.args.get("q", ""), "The search", empty=True)
    rows = database().execute(
        "SELECT DISTINCT o.* FROM orders o JOIN order_lines l ON l.order_id = o.id"
        " WHERE o.user_id = ? AND instr(lower(l.name || ' ' || o.address), lower(?)) > 0"
        " ORDER BY o.id DESC LIMIT ?",
        (customer["user_id"], wanted, LATEST),
    )
    return render_template("orders.html", orders=rows.fetchall(), wanted=wanted)


@pages.get("/orders/<id:order_id>")
def order_page(order_id: int) -> Response | str:
    customer = current_customer()
    if customer is None:
        return to_login()
    order = _own_order(order_id, customer["user_id"])
    return render_template("order.html", order=order, lines=_lines(order_id))


@pages.get("/orders/<id:order_id>/invoice")
def invoice(order_id: int) -> Response:
    customer = the_customer()
    order = _own_order(order_id, customer["user_id"])
    text = render_template("invoice.txt", order=order, lines=_lines(order_id))
    response = Response(text, mimetype="text/plain")
    response.headers["Content-Disposition"] = f"attachment; filename=invoice-{order_id}.txt"
    return response


@pages.get("/api/orders")
def api_orders() -> Response:
    rows = database().execute(
        "SELECT id, placed, cents FROM orders WHERE user_id = ? ORDER BY id DESC LIMIT ?",
        (the_customer()["user_id"], LATEST),
    )
    return jsonify(orders=[dict(row) for row in rows])


def _percent(code: str) -> int | None:
    row = database().execute("SELECT percent FROM vouchers WHERE code = ?", (code,)).fetchone()
    return None if row is None else int(row["percent"])


@pages.post("/api/vouchers/check")
def api_check_voucher() -> Response:
    # twin: sqli-login
    percent = _percent(plain_text(json_object().get("code"), "The code", limit=40))
    return jsonify(valid=percent is not None, percent=percent or 0)

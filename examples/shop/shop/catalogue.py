"""Products: lists, search, the product page with its reviews and questions, prices for more than one."""

from __future__ import annotations

import sqlite3
import traceback

from flask import Blueprint, Response, jsonify, render_template, request

from shop.account import current_customer, to_login
from shop.fields import Refused, go_to, plain_text, whole_number
from shop.storage import LATEST, database, reporting, writing

pages = Blueprint("catalogue", __name__)

_ORDERS = {"name": "name, id", "price": "cents, id", "new": "id DESC"}
_PER_PAGE = 8


def find_product(product_id: int) -> sqlite3.Row:
    """The product, or Refused with 404."""
    row: sqlite3.Row | None = (
        database().execute("SELECT * FROM products WHERE id = ?", (product_id,)).fetchone()
    )
    if row is None:
        raise Refused("We have no such product.", 404)
    return row


@pages.get("/")
def home() -> str:
    products = database().execute("SELECT * FROM products ORDER BY id DESC LIMIT 4").fetchall()
    return render_template("home.html", products=products)


@pages.get("/products")
def product_list() -> str:
    sort = request.args.get("sort", "name")
    if sort not in _ORDERS:
        raise Refused("We can sort by name, price and new.")
    page = whole_number(request.args.get("page", "1"), "The page")
    rows = database().execute(
        f"SELECT * FROM products ORDER BY {_ORDERS[sort]} LIMIT ? OFFSET ?",
        (_PER_PAGE, (page - 1) * _PER_PAGE),
    )
    return render_template("products.html", products=rows.fetchall(), sort=sort, page=page, orders=_ORDERS)


@pages.get("/search")
def search() -> tuple[str, int]:
    wanted = request.args.get("q", "")
    try:
        # flaw: sqli-search
        products = (
            reporting()
            .execute(
                "SELECT id, name, summary, cents FROM products"
                f" WHERE name || ' ' || summary LIKE '%{wanted}%' ORDER BY name LIMIT 20"
            )
            .fetchall()
        )
    except (sqlite3.Error, UnicodeError) as error:
        message = f"sqlite3.{type(error).__name__}: {error}"
        return render_template("search.html", wanted=wanted, products=[], problem=message), 500
    return render_template("search.html", wanted=wanted, products=products), 200


@pages.get("/api/products")
def api_products() -> Response:
    # twin: sqli-search
    wanted = plain_text(request.args.get("q", ""), "The search", empty=True)
    products = database().execute(
        "SELECT id, sku, name, cents FROM products"
        " WHERE instr(lower(name || ' ' || summary), lower(?)) > 0 ORDER BY name LIMIT 20",
        (wanted,),
    )
    return jsonify(products=[dict(product) for product in products])


@pages.get("/products/<id:product_id>")
def product_page(product_id: int) -> str:
    product = find_product(product_id)
    newest = "WHERE product_id = ? ORDER BY id DESC LIMIT ?"
    connection = database()
    return render_template(
        "product.html",
        product=product,
        reviews=connection.execute(f"SELECT * FROM reviews {newest}", (product_id, LATEST)).fetchall(),
        questions=connection.execute(f"SELECT * FROM questions {newest}", (product_id, LATEST)).fetchall(),
    )


@pages.get("/api/products/<id:product_id>")
def api_product(product_id: int) -> Response:
    product = find_product(product_id)
    return jsonify({key: product[key] for key in ("id", "sku", "name", "summary", "cents", "stock")})


@pages.get("/products/<id:product_id>/quote")
def quote(product_id: int) -> tuple[str, int]:
    product = find_product(product_id)
    try:
        # flaw: info-quote
        quantity = int(request.args.get("quantity", "1"))
        total = product["cents"] * quantity * (0.9 if quantity >= 10 else 1.0)
        return render_template("quote.html", product=product, quantity=quantity, total=total), 200
    except Exception:
        return render_template("crash.html", trace=traceback.format_exc()), 500


@pages.get("/products/<id:product_id>/availability")
def availability(product_id: int) -> str:
    # twin: info-quote
    product = find_product(product_id)
    quantity = whole_number(request.args.get("quantity", "1"), "The quantity", high=9999)
    return render_template("availability.html", product=product, quantity=quantity)


@pages.post("/products/<id:product_id>/reviews")
def add_review(product_id: int) -> Response:
    customer = current_customer()
    if customer is None:
        return to_login()
    find_product(product_id)
    rating = whole_number(request.form.get("rating"), "The rating", high=5)
    title = plain_text(request.form.get("title"), "The title", limit=120)
    # flaw: xss-review (the page shows this text as it is)
    text = plain_text(request.form.get("text"), "The text", limit=1000)
    with writing() as connection:
        connection.execute(
            "INSERT INTO reviews (product_id, author, rating, title, text) VALUES (?, ?, ?, ?, ?)",
            (product_id, customer["name"], rating, title, text),
        )
    return go_to(f"/products/{product_id}")


@pages.post("/products/<id:product_id>/questions")
def add_question(product_id: int) -> Response:
    # twin: xss-review
    customer = current_customer()
    if customer is None:
        return to_login()
    find_product(product_id)
    text = plain_text(request.form.get("text"), "The question", limit=1000)
    with writing() as connection:
        connection.execute(
            "INSERT INTO questions (product_id, author, text) VALUES (?, ?, ?)",
            (product_id, customer["name"], text),
        )
    return go_to(f"/products/{product_id}")

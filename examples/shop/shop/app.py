"""The application: blueprints, layout variables, and one form of answer for every error."""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response, current_app, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from shop import account, catalogue, downloads, orders, service, storage, supply
from shop.fields import IdConverter, Refused
from shop.money import currency, money

_TITLES = {
    400: "This request cannot be understood.",
    401: "Please log in first.",
    403: "This page is for our staff.",
    404: "There is nothing at this address.",
    405: "This address does not answer that method.",
    413: "That is more than we can take.",
}


def create_app(data: Path) -> Flask:
    """Build the application over the folder ``data``, which is made and seeded if it is empty."""
    storage.prepare(data)
    app = Flask("shop")
    app.config.update(DATA=data, MAX_CONTENT_LENGTH=512 * 1024, MAX_FORM_MEMORY_SIZE=256 * 1024)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # Werkzeug answers "//x" with a redirect built from the Host header; no address of ours needs that.
    app.url_map.merge_slashes = False
    app.url_map.converters["id"] = IdConverter
    for part in (catalogue, account, orders, service, downloads, supply):
        app.register_blueprint(part.pages)
    app.teardown_appcontext(storage.close)
    app.after_request(_protect)
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)
    app.jinja_env.filters["money"] = money
    app.jinja_env.globals.update(current_customer=account.current_customer, currency=currency)
    app.add_url_rule("/health", "health", lambda: Response("ok\n", mimetype="text/plain"))
    return app


def _protect(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "same-origin"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def _error(status: int, message: str) -> Response:
    if request.path.startswith("/api/"):
        response = jsonify(error=message)
    else:
        response = Response(render_template("error.html", status=status, message=message))
    response.status_code = status
    return response


def _refused(error: Refused) -> Response:
    return _error(error.status, error.message)


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = _error(status, _TITLES.get(status, "That did not work."))
    allow = error.get_response().headers.get("Allow")
    if allow:
        response.headers["Allow"] = allow
    return response


def _unexpected(error: Exception) -> Response:
    current_app.logger.error("%s %r: %r", request.method, request.path[:200], error)
    return _error(500, "Something went wrong on our side.")

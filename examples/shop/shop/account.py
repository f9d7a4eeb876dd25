"""Customers: registering, logging in by page and by API, and the cookie session both share."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from urllib.parse import quote

from flask import Blueprint, Response, g, jsonify, render_template, request

from shop.fields import Refused, go_to, json_object, local_path, plain_text
from shop.passwords import check_password, hash_password
from shop.storage import database, reporting, writing

pages = Blueprint("account", __name__)

# Since the last use; a recorded cookie stays good for as long as it is replayed now and then.
SESSION_SECONDS = 3600
_COOKIE = "sid"
_NOBODY = hash_password("nobody has this password")


def current_session() -> sqlite3.Row | None:
    """The live session of this request's cookie, joined with its customer if one is logged in."""
    if "session" not in g:
        g.session = _load_session(request.cookies.get(_COOKIE, ""))
    found: sqlite3.Row | None = g.session
    return found


def current_customer() -> sqlite3.Row | None:
    """The same, but only if a customer is logged in: id (of the session), user_id, email, name, staff."""
    session = current_session()
    return session if session is not None and session["email"] is not None else None


def the_customer() -> sqlite3.Row:
    """The customer, or Refused with 401."""
    customer = current_customer()
    if customer is None:
        raise Refused("Please log in first.", 401)
    return customer


def the_staff() -> sqlite3.Row:
    """The customer if they are staff, or Refused with 401 or 403."""
    customer = the_customer()
    if not customer["staff"]:
        raise Refused("This page is for our staff.", 403)
    return customer


def to_login() -> Response:
    """Where a page sends a visitor who must log in first."""
    return go_to("/login?next=" + quote(request.path, safe="/"))


def start_session(response: Response, user_id: int | None) -> int:
    """Begin a session, set its cookie on ``response``, return its id. An anonymous basket moves along.

    The session the visitor came with is left to expire: one login is no reason to end another.
    """
    before = current_session()
    token = secrets.token_urlsafe(24)
    now = time.time()
    with writing() as connection:
        connection.execute("DELETE FROM sessions WHERE seen < ?", (now - SESSION_SECONDS,))
        session_id = connection.execute(
            "INSERT INTO sessions (token, user_id, seen) VALUES (?, ?, ?)", (_digest(token), user_id, now)
        ).lastrowid
        if before is not None and before["email"] is None:
            connection.execute(
                "UPDATE basket SET session_id = ? WHERE session_id = ?", (session_id, before["id"])
            )
    response.set_cookie(_COOKIE, token, max_age=SESSION_SECONDS, httponly=True, samesite="Lax")
    assert session_id is not None
    return session_id


def _load_session(token: str) -> sqlite3.Row | None:
    if not token:
        return None
    now = time.time()
    row: sqlite3.Row | None = (
        database()
        .execute(
            "SELECT s.id, s.user_id, s.seen, u.email, u.name, u.staff FROM sessions s"
            " LEFT JOIN users u ON u.id = s.user_id WHERE s.token = ? AND s.seen > ?",
            (_digest(token), now - SESSION_SECONDS),
        )
        .fetchone()
    )
    if row is not None and row["seen"] < now - 60:
        with writing() as connection:
            connection.execute("UPDATE sessions SET seen = ? WHERE id = ?", (now, row["id"]))
    return row


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _register(fullname: object, email: object, password: object) -> str:
    """Add a customer. The same registration sent twice (a retry) is one; another's address is refused."""
    name = plain_text(fullname, "Your name", limit=80)
    address = plain_text(email, "Your address", limit=254).lower()
    secret = plain_text(password, "Your password", limit=200)
    if "@" not in address:
        raise Refused("Your address is no e-mail address.")
    if len(secret) < 8:
        raise Refused("Your password needs at least 8 characters.")
    hashed = hash_password(secret)
    with writing() as connection:
        known = connection.execute("SELECT password FROM users WHERE email = ?", (address,)).fetchone()
        if known is None:
            connection.execute(
                "INSERT INTO users (email, name, password) VALUES (?, ?, ?)", (address, name, hashed)
            )
    if known is not None and not check_password(secret, known["password"]):
        raise Refused("This address cannot be registered.", 409)
    return address


@pages.get("/register")
def register_page() -> str:
    return render_template("register.html")


@pages.post("/register")
def register() -> Response:
    form = request.form
    _register(form.get("fullname"), form.get("email"), form.get("password"))
    return go_to("/login")


@pages.post("/api/register")
def api_register() -> tuple[Response, int]:
    # twin: sqli-login
    body = json_object()
    address = _register(body.get("fullname"), body.get("email"), body.get("password"))
    return jsonify(registered=address), 201


@pages.get("/login")
def login_page() -> str:
    return render_template("login.html", next=local_path(request.args.get("next", "/")))


@pages.post("/login")
def login() -> Response:
    # twin: redir-go
    email = plain_text(request.form.get("email"), "Your address", limit=254).lower()
    password = plain_text(request.form.get("password"), "Your password")
    row = database().execute("SELECT id, password FROM users WHERE email = ?", (email,)).fetchone()
    # Hash in either case: the time must not tell which addresses have an account.
    fits = check_password(password, row["password"] if row else _NOBODY)
    if row is None or not fits:
        raise Refused("Address and password do not fit together.", 401)
    response = go_to(local_path(request.form.get("next", "/")))
    start_session(response, row["id"])
    return response


@pages.post("/api/login")
def api_login() -> tuple[Response, int]:
    body = json_object()
    email = plain_text(body.get("email"), "Your address", limit=4000)
    password = plain_text(body.get("password"), "Your password")
    try:
        # flaw: sqli-login
        row = reporting().execute(f"SELECT id, name, password FROM users WHERE email = '{email}'").fetchone()
    except sqlite3.Error as error:
        return jsonify(error=f"sqlite3.{type(error).__name__}: {error}"), 500
    if row is None or not check_password(password, str(row["password"])):
        return jsonify(error="Address and password do not fit together."), 401
    response = jsonify(user={"id": _shown(row["id"]), "name": _shown(row["name"])})
    start_session(response, row["id"])
    return response, 200


def _shown(value: object) -> object:
    # A UNION may bring bytes, which JSON cannot.
    return value if isinstance(value, (int, str, float)) else str(value)


@pages.post("/logout")
def logout() -> Response:
    session = current_session()
    if session is not None:
        with writing() as connection:
            connection.execute("DELETE FROM sessions WHERE id = ?", (session["id"],))
            connection.execute("DELETE FROM basket WHERE session_id = ?", (session["id"],))
    response = go_to("/")
    response.delete_cookie(_COOKIE, httponly=True, samesite="Lax")
    return response


@pages.get("/account")
def account() -> Response | str:
    customer = current_customer()
    return to_login() if customer is None else render_template("account.html", customer=customer)


@pages.get("/api/me")
def api_me() -> Response:
    customer = the_customer()
    return jsonify(email=customer["email"], name=customer["name"])

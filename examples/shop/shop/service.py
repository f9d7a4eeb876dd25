"""Customer service: parcels, gifts, deliveries, gift cards, and the links that lead elsewhere."""

from __future__ import annotations

import html

from flask import Blueprint, Response, current_app, render_template, request
from markupsafe import Markup
from werkzeug.urls import iri_to_uri

from shop import commands
from shop.cards import CARDS
from shop.fields import Refused, go_to, local_path, plain_text
from shop.money import RATES
from shop.seed import GIFTS, PARCELS, RETURNS, SIZES

pages = Blueprint("service", __name__)


@pages.get("/track")
def track() -> str:
    number = request.args.get("number", "")
    # flaw: xss-track
    return render_template("track.html", number=Markup(number), news=PARCELS.get(number))


@pages.get("/returns")
def returns() -> str:
    # twin: xss-track
    number = request.args.get("number", "")
    return render_template("returns.html", number=number, news=RETURNS.get(number))


@pages.get("/gift-finder")
def gift_finder() -> str:
    person = request.args.get("person", "")
    # flaw: xss-gift (quotes are left, and the page puts this between quotes)
    shown = Markup(html.escape(person, quote=False))
    return render_template("gift-finder.html", shown=shown, person=person, gifts=GIFTS.get(person, ()))


@pages.get("/size-finder")
def size_finder() -> str:
    # twin: xss-gift
    person = request.args.get("person", "")
    return render_template("size-finder.html", person=person, size=SIZES.get(person))


@pages.get("/delivery")
def delivery() -> str:
    return render_template("delivery.html")


@pages.post("/warehouse/check")
def check_warehouse() -> str:
    host = request.form.get("host", "").strip()
    if not host:
        raise Refused("The warehouse is missing.")
    # flaw: rce-warehouse
    command = f"printf 'route to %s: open\\n' {host}"
    return render_template("command.html", title="Warehouse", output=_output(command))


@pages.post("/warehouse/delivery")
def check_delivery() -> str:
    # twin: rce-warehouse
    postcode = plain_text(request.form.get("postcode"), "The postcode", limit=40)
    command = ["printf", "delivery to %s: two days\\n", postcode]
    return render_template("command.html", title="Delivery", output=_output(command))


def _output(command: str | list[str]) -> str:
    try:
        return commands.run(command, current_app.config["DATA"] / "scratch", shell=isinstance(command, str))
    except (OSError, ValueError):
        raise Refused("This cannot be checked.") from None


@pages.get("/go")
def go() -> Response:
    target = request.args.get("next", "") or "/"
    try:
        iri_to_uri(target)
    except ValueError:
        raise Refused("This link leads nowhere.") from None
    if any(ord(character) < 32 for character in target):
        raise Refused("This link leads nowhere.")
    # flaw: redir-go
    return go_to(target, 302)


@pages.get("/currency")
def choose_currency() -> Response:
    # twin: redir-go
    code = request.args.get("code", "")
    if code not in RATES:
        raise Refused("We take EUR, USD and GBP.")
    response = go_to(local_path(request.args.get("next", "/")), 302)
    response.set_cookie("currency", code, max_age=30 * 24 * 3600, httponly=True, samesite="Lax")
    return response


@pages.get("/gift-card")
def gift_card() -> str:
    return render_template("gift-card.html")


@pages.post("/gift-card/preview")
def preview_card() -> str:
    message = plain_text(request.form.get("message"), "The message", limit=500)
    try:
        # flaw: ssti-card
        text = CARDS.from_string(message).render(shop="Kettle & Oak")
    except Exception:
        raise Refused("This message cannot be printed.") from None
    return render_template("card.html", kind="Gift card", text=text)


@pages.post("/gift-card/label")
def preview_label() -> str:
    # twin: ssti-card
    message = plain_text(request.form.get("message"), "The message", limit=500)
    return render_template("card.html", kind="Label", text=message)

"""Prices: kept in euro cents, shown in the currency the visitor chose."""

from __future__ import annotations

from flask import request

RATES = {"EUR": ("€", 1.0), "USD": ("$", 1.08), "GBP": ("£", 0.86)}


def currency() -> str:
    """Code of the chosen currency; anything unknown in the cookie counts as no choice."""
    code = request.cookies.get("currency", "EUR")
    return code if code in RATES else "EUR"


def money(cents: object) -> str:
    """``1990`` as ``€19.90``. What is no number is shown as it is."""
    if not isinstance(cents, (int, float)):
        return str(cents)
    sign, rate = RATES[currency()]
    return f"{sign}{cents * rate / 100:,.2f}"

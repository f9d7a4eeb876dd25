from __future__ import annotations

import uuid

from conftest import Client


def test_login_page_remembers_where_to_go(visitor: Client) -> None:
    assert 'name="next" value="/orders"' in visitor.get("/login", params={"next": "/orders"}).text


def test_register_page_has_a_form(visitor: Client) -> None:
    assert 'name="fullname"' in visitor.get("/register").text


def test_account_page_greets_the_customer(customer: Client, account: dict[str, str]) -> None:
    assert account["email"] in customer.get("/account").text


def test_api_customer_registers_and_logs_in(visitor: Client) -> None:
    login = {"email": f"per-{uuid.uuid4().hex[:10]}@mail.example", "password": "oak-and-ash"}
    assert visitor.post("/api/register", json={"fullname": "Per Dahl", **login}).status_code == 201
    assert visitor.post("/api/login", json=login).json()["user"]["name"] == "Per Dahl"
    assert visitor.get("/api/me").json()["email"] == login["email"]


def test_logout_ends_the_session(visitor: Client) -> None:
    visitor.post("/login", data={"email": "mara@shop.example", "password": "harbour-street-4"})
    assert visitor.post("/logout").headers["Location"] == "/"
    assert visitor.get("/account").headers["Location"] == "/login?next=/account"

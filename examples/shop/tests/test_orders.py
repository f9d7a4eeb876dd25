from __future__ import annotations

from conftest import Client


def test_basket_shows_what_a_visitor_put_in(visitor: Client) -> None:
    assert visitor.post("/basket", data={"product": 3, "quantity": 2}).headers["Location"] == "/basket"
    text = visitor.get("/basket").text
    assert "Assam breakfast tea" in text
    assert "€25.00" in text


def test_basket_is_ordered_and_invoiced(customer: Client) -> None:
    basket = customer.post("/api/basket", json={"product": 1, "quantity": 2}).json()["basket"]
    assert basket == [{"id": 1, "name": "Copper kettle", "cents": 4900, "quantity": 2}]
    form = {"address": "Mill Lane 9, Aarhus", "voucher": "SPRING10"}
    order = customer.post("/checkout", data=form).headers["Location"]
    assert "€88.20" in customer.get(order).text
    assert "2 x Copper kettle" in customer.get(f"{order}/invoice").text


def test_api_order_is_listed_and_found(customer: Client) -> None:
    order = {"product": 9, "quantity": 1, "address": "Quay 2, Odense"}
    number = customer.post("/api/orders", json=order).json()["id"]
    assert number in [row["id"] for row in customer.get("/api/orders").json()["orders"]]
    assert f'href="/orders/{number}"' in customer.get("/orders").text
    assert f'href="/orders/{number}"' in customer.get("/orders/search", params={"q": "Odense"}).text


def test_voucher_is_valid(visitor: Client) -> None:
    answer = visitor.post("/api/vouchers/check", json={"code": "WELCOME5"})
    assert answer.json() == {"valid": True, "percent": 5}

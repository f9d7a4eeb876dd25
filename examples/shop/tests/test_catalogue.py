from __future__ import annotations

import uuid

from conftest import Client


def test_home_shows_new_products(visitor: Client) -> None:
    answer = visitor.get("/")
    assert answer.status_code == 200
    assert "Storm lamp" in answer.text


def test_product_list_by_price_starts_with_the_cheapest(visitor: Client) -> None:
    text = visitor.get("/products", params={"sort": "price", "page": 1}).text
    assert text.index("Assam breakfast tea") < text.index("Stoneware mug")


def test_search_finds_products_by_a_part_of_their_name(visitor: Client) -> None:
    text = visitor.get("/search", params={"q": "lamp"}).text
    assert "Desk lamp" in text
    assert "Copper kettle" not in text


def test_api_search_finds_products_by_a_part_of_their_name(visitor: Client) -> None:
    found = visitor.get("/api/products", params={"q": "tea"}).json()["products"]
    assert [product["sku"] for product in found] == ["TEA-01", "TEA-02"]


def test_api_product_has_price_and_stock(visitor: Client) -> None:
    product = visitor.get("/api/products/5").json()
    assert (product["name"], product["cents"], product["stock"]) == ("Stoneware mug", 1400, 80)


def test_quote_for_ten_gives_a_discount(visitor: Client) -> None:
    assert "€252.00" in visitor.get("/products/4/quote", params={"quantity": 10}).text


def test_availability_of_more_than_the_stock_takes_two_weeks(visitor: Client) -> None:
    assert "sent in two weeks" in visitor.get("/products/4/availability", params={"quantity": 40}).text


def test_review_appears_on_the_product_page(customer: Client) -> None:
    title = f"Read in bed {uuid.uuid4().hex[:8]}"
    form = {"rating": 4, "title": title, "text": "Bright enough, and no hum at all."}
    answer = customer.post("/products/6/reviews", data=form)
    assert answer.headers["Location"] == "/products/6"
    assert title in customer.get("/products/6").text


def test_question_appears_on_the_product_page(customer: Client) -> None:
    text = f"Is the wool washable? {uuid.uuid4().hex[:8]}"
    answer = customer.post("/products/7/questions", data={"text": text})
    assert answer.headers["Location"] == "/products/7"
    assert text in customer.get("/products/7").text

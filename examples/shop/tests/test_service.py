from __future__ import annotations

from conftest import Client

LIST = """<?xml version="1.0"?>
<catalogue><item><sku>LMP-01</sku><title>Desk lamp</title><price>21.50</price></item></catalogue>"""
XML = {"Content-Type": "application/xml"}


def test_parcel_is_tracked(visitor: Client) -> None:
    assert "left our warehouse" in visitor.get("/track", params={"number": "KO-1001"}).text


def test_return_is_looked_up(visitor: Client) -> None:
    assert "the money is on its way" in visitor.get("/returns", params={"number": "RT-2001"}).text


def test_gift_finder_has_ideas(visitor: Client) -> None:
    assert "Wool blanket" in visitor.get("/gift-finder", params={"person": "mother"}).text


def test_size_finder_has_a_size(visitor: Client) -> None:
    assert "165 to 185 cm" in visitor.get("/size-finder", params={"person": "adult"}).text


def test_delivery_page_has_both_forms(visitor: Client) -> None:
    text = visitor.get("/delivery").text
    assert 'name="host"' in text
    assert 'name="postcode"' in text


def test_warehouse_route_is_open(visitor: Client) -> None:
    text = visitor.post("/warehouse/check", data={"host": "bremen.shop.example"}).text
    assert "route to bremen.shop.example: open" in text


def test_delivery_takes_two_days(visitor: Client) -> None:
    text = visitor.post("/warehouse/delivery", data={"postcode": "28195"}).text
    assert "delivery to 28195: two days" in text


def test_papers_are_listed_and_read(visitor: Client) -> None:
    assert "kettle.txt" in visitor.get("/papers").text
    assert "citric acid" in visitor.get("/manuals", params={"file": "kettle.txt"}).text
    assert "managed forests" in visitor.get("/certificates", params={"file": "oak.txt"}).text


def test_gift_card_and_label_are_previewed(visitor: Client) -> None:
    assert 'name="message"' in visitor.get("/gift-card").text
    card = visitor.post("/gift-card/preview", data={"message": "Happy birthday, Nils"})
    assert "Happy birthday, Nils" in card.text
    label = visitor.post("/gift-card/label", data={"message": "For the new kitchen"})
    assert "For the new kitchen" in label.text


def test_links_lead_on(visitor: Client) -> None:
    assert visitor.get("/go", params={"next": "/papers"}).headers["Location"] == "/papers"
    answer = visitor.get("/currency", params={"code": "USD", "next": "/products"})
    assert answer.headers["Location"] == "/products"


def test_supplier_list_is_imported(staff: Client) -> None:
    answer = staff.post("/api/catalogue/import", data=LIST, headers=XML).json()
    assert answer["imported"][0]["title"] == "Desk lamp"


def test_stock_list_is_imported(staff: Client) -> None:
    answer = staff.post("/api/stock/import", data=LIST, headers=XML).json()
    assert answer["imported"][0]["title"] == "Desk lamp"

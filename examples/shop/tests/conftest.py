"""The shop under test is named by SHOP_URL; the tests start nothing themselves."""

from __future__ import annotations

import os
import uuid

import pytest
import requests


class Client:
    """A browser-like client: one cookie jar, redirects shown rather than followed."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._session = requests.Session()

    def get(self, path: str, **options: object) -> requests.Response:
        return self._call("GET", path, **options)

    def post(self, path: str, **options: object) -> requests.Response:
        return self._call("POST", path, **options)

    def _call(self, method: str, path: str, **options: object) -> requests.Response:
        return self._session.request(method, self._base + path, allow_redirects=False, timeout=10, **options)


@pytest.fixture(scope="session")
def base() -> str:
    url = os.environ.get("SHOP_URL", "")
    if not url:
        pytest.exit("SHOP_URL is not set: give the address that `python -m shop` prints.", 2)
    return url.rstrip("/")


@pytest.fixture
def visitor(base: str) -> Client:
    """Somebody who is not logged in."""
    return Client(base)


@pytest.fixture(scope="session")
def account() -> dict[str, str]:
    """A new customer's data, different in every run."""
    mark = uuid.uuid4().hex[:10]
    return {"fullname": "Lena Holm", "email": f"lena-{mark}@mail.example", "password": f"tea-and-{mark}"}


@pytest.fixture(scope="session")
def customer(base: str, account: dict[str, str]) -> Client:
    """That customer, registered and logged in through the pages."""
    client = Client(base)
    assert client.post("/register", data=account).status_code == 303
    form = {"email": account["email"], "password": account["password"], "next": "/account"}
    answer = client.post("/login", data=form)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    return client


@pytest.fixture(scope="session")
def staff(base: str) -> Client:
    """The seeded warehouse account."""
    client = Client(base)
    answer = client.post("/login", data={"email": "staff@shop.example", "password": "pallet-and-fork"})
    assert answer.status_code == 303
    return client

"""Checks that need to know whose a request is, on a record of two people: from the logins to the finding."""

from pathlib import Path

import pytest
from engine_target import Asked, Said, record_exchanges, request, run_engine, web_target

PEOPLE = {"annssession1": "ann@tea.example", "bobssession2": "bob@tea.example"}
OWNERS = {"1": "ann@tea.example", "2": "bob@tea.example"}
ANN, BOB = "sid=annssession1", "sid=bobssession2"


class Shop:
    """Orders of two people. `repaired` gives each their own only, and obeys its own pages only."""

    def __init__(self, *, repaired: bool) -> None:
        self.repaired = repaired

    def __call__(self, asked: Asked) -> Said:
        who = PEOPLE.get(asked.headers.get("cookie", "").removeprefix("sid="), "")
        if asked.path == "/login":
            session = next((s for s, name in PEOPLE.items() if name == asked.form.get("mail")), "")
            return Said(body="Welcome", headers={"Set-Cookie": f"sid={session}; Path=/; HttpOnly"})
        if not who:
            return Said(body="Please log in", status=401)
        if asked.path == "/profile":
            foreign = asked.headers.get("origin", "http://shop.test") != "http://shop.test"
            if self.repaired and foreign:
                return Said(body="No.", status=403)
            return Said(body="<h1>Your profile</h1><p>It is changed.</p><p>Thank you.</p><p>Bye</p>")
        owner = OWNERS.get(asked.path.rpartition("/")[2], "")
        if not owner or (self.repaired and owner != who):
            return Said(body="There is no such order", status=404)
        return Said(body=f"<h1>Order</h1><p>E-mail: {owner}</p><p>Phone: 12</p><p>Assam</p><p>Ceylon</p>")


@pytest.mark.parametrize("repaired", [False, True])
def test_what_somebody_else_may_see_and_another_site_may_do_is_found(tmp_path: Path, repaired: bool):
    with web_target(Shop(repaired=repaired)) as target:
        asked = [
            request("POST", "/login", "mail=ann@tea.example&password=x"),
            request("GET", "/orders/1", Cookie=ANN),
            request("POST", "/login", "mail=bob@tea.example&password=y"),
            request("GET", "/orders/2", Cookie=BOB),
            request("POST", "/profile", "city=Jorhat", Cookie=BOB),
        ]
        record = record_exchanges(target.origin, asked)
        outcome = run_engine(
            record, [], tmp_path, policy="thorough", detects=["idor-object", "csrf-origin", "auth-broken"]
        )
    found = {(kind, route) for kind, _, route in outcome.found}
    assert found == (set() if repaired else {("idor", "/orders/{}"), ("csrf", "/profile")})

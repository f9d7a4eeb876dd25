"""Telling true from false conditions by what reliably differs."""

import random

from fastci.node.engine.likeness import features_of
from fastci.node.engine.oracles.boolean import Contrast, describe
from fastci.node.message import Field, Response


def page(body: str, *, status: int = 200, location: str = "") -> Response:
    fields = (Field.of(b"Location", location.encode()),) if location else ()
    return Response(status=status, fields=fields, body=body.encode())


def contrast(true: list[Response], false: list[Response], *reflected: str) -> Contrast:
    made = Contrast()
    for truth, responses in ((True, true), (False, false)):
        for response in responses:
            made.add(truth, features_of(response, reflected))
    return made


def test_content_of_one_kind_only_tells():
    made = contrast([page("<li>green tea</li>")] * 2, [page("<p>nothing found</p>")] * 2)
    assert made.tells()
    assert describe(made.signs()).startswith("only true conditions give 'green tea'")


def test_status_alone_tells():
    made = contrast([page("x")], [page("x", status=404)])
    assert (
        describe(made.signs())
        == "only true conditions give status 200; only false conditions give status 404"
    )


def test_number_of_same_rows_tells():
    assert contrast([page("<li>a</li><li>a</li>")], [page("<li>a</li>")]).tells()


def test_redirect_address_tells():
    assert contrast(
        [page("", status=302, location="/home")], [page("", status=302, location="/login")]
    ).tells()


def test_equal_answers_do_not_tell():
    assert not contrast([page("<p>same</p>")], [page("<p>same</p>")]).tells()


def test_echo_of_the_condition_does_not_tell():
    true, false = "a' AND 11<22", "a' AND 22<11"
    body = "<p>You searched for a&#x27; AND {} and a%27%20AND%20{}</p>"
    made = contrast(
        [page(body.format("11&lt;22", "11%3C22"))], [page(body.format("22&lt;11", "22%3C11"))], true, false
    )
    assert not made.tells()


def test_parts_that_vary_by_themselves_do_not_tell_after_a_few_pairs():
    rng = random.Random(1)

    def noisy() -> Response:
        return page(
            f"<p>token {rng.random()}</p><p>{rng.choice(['ad one', 'ad two', 'ad three'])}</p><p>same</p>"
        )

    made = contrast([noisy() for _ in range(4)], [noisy() for _ in range(4)])
    assert not made.tells()


def test_difference_inside_a_varying_page_tells():
    rng = random.Random(1)

    def noisy(extra: str) -> Response:
        return page(f"<p>token {rng.random()}</p>{extra}")

    made = contrast([noisy("<p>welcome</p>") for _ in range(3)], [noisy("") for _ in range(3)])
    assert describe(made.signs()).startswith("only true conditions give 'welcome'")


def test_what_is_left_of_an_echo_does_not_tell():
    """Of one condition the echo is recognised, of the other a character was escaped in a way of its own."""
    contrast = Contrast()
    for number in range(4):
        for truth, sign, shown in ((True, "!", "!"), (False, "&", "&amp;amp;")):
            said = Response(status=200, body=f"<p>Name: tea{sign}m{number}</p>".replace(sign, shown).encode())
            contrast.add(truth, features_of(said, [f"tea{sign}m{number}"]))
    assert not contrast.tells()

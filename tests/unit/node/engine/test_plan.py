"""Which baselines are tested, in which order, and which pages show what was sent."""

from collections.abc import Sequence

import pytest

from fastci.node.engine.observers import Observers
from fastci.node.engine.plan import Deal, Item, Phase, Plan, Skipped, phase_of, risk_of
from fastci.node.engine.scope import Scope
from fastci.node.message import Field, Origin, Request, Response
from fastci.node.points import list_points
from fastci.node.store import Baseline

ORIGIN = Origin(scheme="http", host="shop.test", port=80)
SCOPE = Scope.parse("", (443,))


def request(method: str, target: str, body: str = "", cookie: str = "") -> Request:
    fields = [Field.of(b"Host", b"shop.test")]
    if cookie:
        fields.append(Field.of(b"Cookie", cookie.encode()))
    if body:
        fields.append(Field.of(b"Content-Type", b"application/x-www-form-urlencoded"))
    bare = Request(method=method.encode(), target=target.encode(), fields=tuple(fields))
    return bare.with_body(body.encode())


def response(status: int = 200, body: str = "", set_cookie: str = "") -> Response:
    fields = (Field.of(b"Set-Cookie", set_cookie.encode()),) if set_cookie else ()
    return Response(status=status, body=body.encode(), fields=fields)


def record(*exchanges: tuple[Request, Response], truncated: bool = False) -> list[Baseline]:
    facts = {"started": 0.0, "duration": 0.1, "connection": 1, "truncated": truncated}
    return [
        Baseline(sequence=n, origin=ORIGIN, request=asked, response=said, test=f"test_{n}", **facts)
        for n, (asked, said) in enumerate(exchanges, 1)
    ]


def plan(baselines: Sequence[Baseline], *, skip: bool = True, excluded: tuple[str, ...] = ()) -> Plan:
    return Plan(baselines, scope=SCOPE, skip_duplicates=skip, excluded_extensions=excluded)


def outcomes(made: Plan) -> list[str]:
    return [v.reason if isinstance(v, Skipped) else v.phase.name for _, v in made.read()]


def test_phases_put_changing_after_reading_and_destroying_last():
    baselines = record(
        (request("DELETE", "/items/1"), response()),
        (request("POST", "/items", "a=b"), response()),
        (request("GET", "/items"), response()),
    )
    made = plan(baselines)
    assert outcomes(made) == ["DESTROY", "CHANGE", "READ"]
    assert [item.baseline.id for item in made.later(Phase.CHANGE)] == ["bl_2"]
    assert [item.baseline.id for item in made.later(Phase.DESTROY)] == ["bl_1"]


@pytest.mark.parametrize(
    "target",
    [
        "/logout",
        "/user/sign-out",
        "/my/change_password",
        "/items/1/delete",
        "/setup.php",
        "/createdb",
        "/logOff",
    ],
)
def test_address_that_destroys_comes_last_and_says_so(target: str):
    phase, note = phase_of(request("GET", target), response())
    assert phase is Phase.DESTROY
    assert note.startswith("tested last: its address says")


@pytest.mark.parametrize("asked", [
    request("GET", "/csrf/?password_new=a&password_conf=a"),
    request("POST", "/me", "oldPassword=a&newPassword=b"),
])  # fmt: skip
def test_request_that_sets_a_password_comes_last(asked: Request):
    assert phase_of(asked, response()) == (Phase.DESTROY, "tested last: it sets a password")


@pytest.mark.parametrize("target", ["/logouts-report", "/undelete", "/passwords", "/removed-things", "/"])
def test_address_that_only_resembles_does_not_come_last(target: str):
    assert phase_of(request("GET", target), response())[0] is Phase.READ


@pytest.mark.parametrize(
    "cookie",
    ["sid=; Path=/", "sid=x; Max-Age=0", "sid=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
     "sid=x; expires=Thu, 01-Jan-1970 00:00:01 GMT", 'sid=""; path=/', "sid=deleted; max-age=-1"],
)  # fmt: skip
def test_answer_that_ends_a_cookie_comes_last(cookie: str):
    phase, note = phase_of(request("GET", "/bye", cookie="a=1; sid=9"), response(set_cookie=cookie))
    assert phase is Phase.DESTROY
    assert note == "tested last: its answer ends the cookie sid"


def test_answer_that_ends_a_cookie_nobody_sent_changes_nothing():
    assert phase_of(request("GET", "/bye", cookie="a=1"), response(set_cookie="sid="))[0] is Phase.READ


def test_duplicates_are_left_out_and_become_places_of_the_first():
    baselines = record(
        (request("GET", "/items/1?q=a"), response()),
        (request("GET", "/items/2?q=bbb"), response()),
        (request("GET", "/items/2?q=bbb&page=2"), response()),
        (request("GET", "/items/999?q=a"), response(404)),
    )
    made = plan(baselines)
    verdicts = [verdict for _, verdict in made.read()]
    assert isinstance(verdicts[1], Skipped)
    assert verdicts[1].reason.startswith("duplicate of bl_1")
    assert [type(v) for v in verdicts] == [Item, Skipped, Item, Item]
    assert isinstance(verdicts[0], Item)
    assert [(p.baseline, p.url, p.test) for p in verdicts[0].duplicates] == [
        ("bl_2", "http://shop.test/items/2?q=bbb", "test_2")
    ]


def test_duplicates_stay_when_they_are_wanted():
    baselines = record(*[(request("GET", "/items/1"), response())] * 2)
    assert outcomes(plan(baselines, skip=False)) == ["READ", "READ"]


def test_left_out_baseline_counts_as_skipped_but_one_of_another_protocol_as_impossible():
    baselines = record((request("GET", "/ws"), response(101)), (request("GET", "/a.png"), response()))
    left_out = [v.check() for _, v in plan(baselines, excluded=("png",)).read() if isinstance(v, Skipped)]
    assert [check.coverage[0].state for check in left_out] == ["impossible", "skipped"]


def test_truncated_switched_and_excluded_baselines_are_left_out_with_the_reason():
    assert "FAST_MAX_BODY" in outcomes(plan(record((request("GET", "/"), response()), truncated=True)))[0]
    assert "protocol" in outcomes(plan(record((request("GET", "/ws"), response(101)))))[0]
    targets = ("/a.PNG", "/a.min.js?x", "/png", "/b?f=a.png")
    exchanges = [(request("GET", target), response()) for target in targets]
    assert outcomes(plan(record(*exchanges), excluded=("png", "js"))) == [
        "FILE_EXTENSIONS_TO_EXCLUDE names png",
        "FILE_EXTENSIONS_TO_EXCLUDE names js",
        "READ",
        "READ",
    ]


def test_skipped_baseline_is_in_the_results_with_its_reason():
    ((_, verdict),) = plan(record((request("GET", "/x"), response()), truncated=True)).read()
    assert isinstance(verdict, Skipped)
    check = verdict.check()
    assert (check.state, check.requests, check.coverage[0].state) == ("passed", 0, "skipped")
    assert check.coverage[0].reason == verdict.reason


def test_item_keeps_no_response_body():
    ((_, item),) = plan(record((request("GET", "/x"), response(body="long")))).read()
    assert isinstance(item, Item)
    assert item.baseline.response.body == b""


def observers_of(*exchanges: tuple[Request, Response]) -> dict[str, list[bytes]]:
    """What is found for the first changing baseline of a record: point name -> targets of pages."""
    observers, first = Observers(SCOPE), None
    for baseline, verdict in plan(record(*exchanges)).read():
        points = list_points(baseline.request)
        observers.note(baseline, verdict, [p for p in points if p.name.startswith("POST_FORM")])
        if first is None and isinstance(verdict, Item) and verdict.phase is Phase.CHANGE:
            first = verdict
    assert first is not None
    return {point: [page.target for page in pages] for point, pages in first.observers.items()}


POINT = "POST_FORM_URLENCODED_text_value"
POST = (request("POST", "/comments", "text=lovely+%3Cweather%3E+here&page=1"), response(302))


def test_page_that_shows_a_sent_value_later_observes_its_point():
    found = observers_of(
        (request("GET", "/comments"), response(body="none yet")),
        POST,
        (request("GET", "/comments"), response(body="<p>lovely &lt;weather&gt; here</p>")),
    )
    assert found == {POINT: [b"/comments"]}


def test_page_that_showed_the_value_before_is_no_observer():
    assert not observers_of(
        (request("GET", "/comments"), response(body="weather forecast")),
        POST,
        (request("GET", "/comments"), response(body="lovely &lt;weather&gt; here")),
    )


def test_page_that_shows_only_a_word_of_the_value_is_no_observer():
    assert not observers_of(POST, (request("GET", "/x"), response(body="the weather")))


def test_at_most_two_pages_observe_a_point():
    pages = [(request("GET", f"/page/{name}"), response(body="lovely <weather> here")) for name in "abc"]
    assert observers_of(POST, *pages) == {POINT: [b"/page/a", b"/page/b"]}


def test_short_values_have_no_observers():
    post = (request("POST", "/c", "text=abc"), response())
    assert not observers_of(post, (request("GET", "/x"), response(body="abc")))


def test_test_sets_are_dealt_evenly_by_their_cost_and_to_the_first_first():
    deal = Deal(3)
    dealt = [deal.next(cost) for cost in (60, 10, 10, 10, 10, 10, 10, 30, 30)]
    assert dealt[0] == 0
    assert set(dealt) == {0, 1, 2}
    assert max(deal.costs) - min(deal.costs) <= 10


def test_risk_of_what_takes_telling_input_is_higher():
    ordered = [
        request("GET", "/logo.png?v=3"),
        request("GET", "/about"),
        request("GET", "/list?a=1"),
        request("GET", "/view?file=a.txt"),
        request("POST", "/login", "user=ann&password=x&next=/home"),
    ]
    risks = [risk_of(each) for each in ordered]
    assert risks == sorted(set(risks))

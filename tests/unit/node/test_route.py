import pytest

from fastci.node.message import Request, parse_request
from fastci.node.route import route_names, route_template, shape_of


@pytest.mark.parametrize(
    ("target", "route"),
    [
        (b"/", "/"),
        (b"/shop/cart?id=7", "/shop/cart"),
        (b"/orders/17/lines/3", "/orders/{}/lines/{}"),
        (b"/orders/17.json", "/orders/{}.json"),
        (b"/v2/users", "/v2/users"),
        (b"/u/0b0c8f4e-2b1f-4b8e-9d7e-2f6c1f1f5a11/x", "/u/{}/x"),
        (b"/f/d41d8cd98f00b204e9800998ecf8427e", "/f/{}"),
        (b"/f/5f3c2b1a", "/f/{}"),
        (b"/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqb2UifQ.x-_", "/t/{}"),
        (b"/r/rec_0001/items/ord-17", "/r/{}/items/{}"),
        (b"/p/17-green-tea", "/p/{}"),
        (b"/d/2024-05-01", "/d/{}"),
        (b"/o/507f1f77bcf86cd799439011", "/o/{}"),
        (b"/k/V1StGXR8_Z5jdHi6B-myT3", "/k/{}"),
        (b"/users/joe%40example.com", "/users/{}"),
        (b"/password/reset-your-password-now", "/password/reset-your-password-now"),
        (b"/deadbeef/facade", "/deadbeef/facade"),
        (b"/a%20b/caf%C3%A9", "/a b/café"),
        (b"http://h:1/a/7?x", "/a/{}"),
        (b"*", "*"),
    ],
)
def test_route_leaves_out_what_changes(target: bytes, route: str):
    assert route_template(b"GET", target) == route


def get(target: bytes, *headers: bytes, method: bytes = b"GET", body: bytes = b"") -> Request:
    return parse_request(
        method + b" " + target + b" HTTP/1.1\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n", body
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (get(b"/o/1?q=tea&page=2"), get(b"/o/2?page=9&q=coffee")),
        (get(b"/?id[]=1"), get(b"/?id[]=1&id[]=2")),
        (get(b"/", b"User-Agent: a", b"If-None-Match: b"), get(b"/", b"Accept: c")),
        (get(b"/?q=password"), get(b"/?q=MDEyMzQ1Njc4")),
        (get(b"/", b"X-Key: 1"), get(b"/", b"x-key: 2")),
        (get(b"/", body=b'{"a":[1,2]}'), get(b"/", body=b'{"a": [3]}')),
    ],
)
def test_shape_equal_when_only_values_differ(one: Request, other: Request):
    assert shape_of(one) == shape_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (get(b"/a"), get(b"/b")),
        (get(b"/a"), get(b"/a", method=b"POST")),
        (get(b"/?a=1"), get(b"/?a=1&b=2")),
        (get(b"/?a=1"), get(b"/?a[b]=1")),
        (get(b"/", b"Authorization: x"), get(b"/")),
        (get(b"/", b"Cookie: sid=1"), get(b"/", b"Cookie: theme=1")),
        (get(b"/", body=b'{"a":1}'), get(b"/", body=b'{"a":"1"}')),
        (get(b"/", body=b'{"query":"{me{id}}"}'), get(b"/", body=b'{"query":"mutation Out {out}"}')),
    ],
)
def test_shape_differs_when_points_or_kinds_do(one: Request, other: Request):
    assert shape_of(one) != shape_of(other)


def test_route_has_the_names_that_a_policy_may_call_it_by():
    assert route_names(get(b"/a%20b/17?x=1", method=b"PUT")) == (
        "/a b/{}", "/a b/17", "PUT /a b/{}", "PUT /a b/17",
    )  # fmt: skip
    assert route_names(get(b"/cart")) == ("/cart", "GET /cart")

"""What of an application a record touches: hosts, routes, parameters, and what needs no credentials."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from fastci.node.message import Request, Response
from fastci.node.points import list_points
from fastci.node.route import route_template
from fastci.node.store import Baseline

_INDEX = re.compile(r"(?<=ARRAY_)\d+")
_INPUTS = frozenset({"GET", "POST", "GRAPHQL"})
_CREDENTIALS = (b"authorization", b"cookie", b"proxy-authorization")
_KEY = re.compile(rb"api[-_]?key|token|secret|session|auth", re.IGNORECASE)
_SIGN_IN = re.compile(rb"log[-_]?in|sign[-_]?in|sso|oauth|auth", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Each as it is shown. `routes`: `GET /orders/{}`; `parameters`: `GET /search: GET_q`.

    `open_routes` answered a request that carried no credentials with a success.
    """

    hosts: frozenset[str]
    routes: frozenset[str]
    parameters: frozenset[str]
    open_routes: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What of one kind appeared and what vanished, sorted."""

    kind: str
    appeared: list[str]
    vanished: list[str]


def surface_of(baselines: Iterable[Baseline]) -> Surface:
    """The surface that these exchanges show; hosts apart from routes, as a stage has others than a laptop."""
    hosts, routes, parameters, open_routes = set[str](), set[str](), set[str](), set[str]()
    known = set[tuple[bytes, bytes, bytes]]()
    for baseline in baselines:
        request = baseline.request
        method = request.method.decode("latin-1")
        route = f"{method} {route_template(request.method, request.target)}"
        hosts.add(baseline.origin.host)
        routes.add(route)
        if is_open(request, baseline.response):
            open_routes.add(route)
        key = (request.method, request.target, request.body)
        if key not in known:
            known.add(key)
            parameters.update(f"{route}: {name}" for name in _inputs(request))
    return Surface(
        hosts=frozenset(hosts),
        routes=frozenset(routes),
        parameters=frozenset(parameters),
        open_routes=frozenset(open_routes),
    )


def is_open(request: Request, response: Response) -> bool:
    """Whether this answer was given to anybody: a success, or a redirect that leads to no sign-in."""
    if any(request.get_all(name) for name in _CREDENTIALS):
        return False
    names = [field.name for field in request.fields] + [request.target.partition(b"?")[2]]
    if any(_KEY.search(name) for name in names):
        return False
    if 300 <= response.status < 400:
        return not any(_SIGN_IN.search(place) for place in response.get_all(b"location"))
    return 200 <= response.status < 300


def differences(earlier: Surface, later: Surface) -> list[Change]:
    """Of every kind what is in one of them only."""
    changes = []
    for field in fields(Surface):
        before, now = getattr(earlier, field.name), getattr(later, field.name)
        changes.append(Change(kind=field.name, appeared=sorted(now - before), vanished=sorted(before - now)))
    return changes


def _inputs(request: Request) -> Iterable[str]:
    for point in list_points(request):
        if point.layers[0] in _INPUTS and point.kind != "document" and point.name.endswith("_value"):
            yield _INDEX.sub("*", point.name.removesuffix("_value"))

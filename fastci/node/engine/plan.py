"""Which baselines are tested, in which order, and why the others are not.

Reading requests come first, then those that change something, then those that destroy the session or the
data: what is tested early must not spoil what is tested later. Inside a phase the recorded order holds.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from fastci import results
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.control import Recorded
from fastci.node.engine.scope import Scope, Target
from fastci.node.message import Request, Response
from fastci.node.route import route_template, shape_of
from fastci.node.store import Baseline

READING = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"REPORT", b"SEARCH"})
"""Methods that change nothing where a target keeps to their meaning."""

_DESTROYING_PATH = re.compile(
    r"(?:^|[/_.-])(?:log[-_]?o(?:ut|ff)|sign[-_]?o(?:ut|ff)|(?:change|reset|update|forgot)[-_]?(?:password|passwd|pwd)"
    r"|(?:password|passwd|pwd)[-_]?(?:change|reset|update)|delete|destroy|remove|purge|truncate|wipe|drop"
    r"|uninstall|deactivate|reset|revoke|setup|install|(?:create|init|seed|populate)[-_]?(?:db|database))"
    r"(?:$|[/_.-])",
    re.I,
)
_NEW_PASSWORD = re.compile(
    rb"(?:new|conf(?:irm)?|repeat|old|current)[-_]?(?:password|passwd|passwort|pass|pwd)"
    rb"|(?:password|passwd|pass|pwd)[-_]?(?:new|conf|repeat|old|current|2\b)",
    re.I,
)
_HEAD = 64 << 10
_EXPIRED = re.compile(
    rb";[ \t]*(?:max-age[ \t]*=[ \t]*[\"']?(?:0|-\d+)\b"
    rb"|expires[ \t]*=[ \t]*\w{3,9},[ \t]*\d\d[ -]\w{3}[ -](?:19)?70)",
    re.I,
)


_PARAMETER = re.compile(rb"(?:\A|[&;?{,<\s\"'])([A-Za-z_][\w.\[\]-]{0,60})[\"']?\s*[=:>]")
_TELLING_NAME = re.compile(
    rb"id\b|file|path|dir|page|url|uri|link|redir|next|return|dest|host|domain|ip\b|port|cmd|exec|command|query"
    rb"|search|\bq\b|filter|sort|order|where|user|login|email|name|template|view|xml|doc|comment|message",
    re.I,
)
_STATIC = re.compile(rb"\.(?:css|js|mjs|map|png|jpe?g|gif|svg|ico|webp|woff2?|ttf|eot|mp[34]|pdf)\Z", re.I)


class Phase(IntEnum):
    """The three passes of a run."""

    READ = 0
    CHANGE = 1
    DESTROY = 2


@dataclass(kw_only=True, slots=True)
class Item:
    """A baseline to test. `baseline.response` has no body any more: 10,000 of them must fit into memory.

    `note` says why it comes last. `duplicates` are the places of baselines of the same shape that are left
    out; the list grows while the record is read. `observers` are, by point name, recorded pages that show
    what was sent at that point.
    """

    baseline: Baseline
    target: Target
    recorded: Recorded
    phase: Phase
    note: str = ""
    duplicates: list[results.Place] = field(default_factory=list)
    observers: dict[str, list[Request]] = field(default_factory=dict)

    @property
    def route(self) -> str:
        return route_of(self.baseline.request)

    @property
    def place(self) -> results.Place:
        return place_of(self.baseline, self.target)


_SWITCHED = "the connection was switched to another protocol, as WebSocket does"


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A baseline that is not tested. `failed`: it should be, and `reason` is an error."""

    baseline: str
    method: str
    url: str
    route: str
    test: str
    reason: str
    failed: bool = False

    def check(self) -> results.BaselineCheck:
        """In the results it counts as passed, without a request and with the reason in its coverage."""
        state: results.PointState = "impossible" if self.reason == _SWITCHED else "skipped"
        row = results.PointCoverage(point="*", type="*", state=state, reason=self.reason)
        return results.BaselineCheck(
            baseline=self.baseline, method=self.method, url=self.url, route=self.route, test=self.test,
            state="tech_failed" if self.failed else "passed", error=self.reason if self.failed else "",
            coverage=[row],
        )  # fmt: skip


class Plan:
    """Reads a record once, lazily. `read` gives what can be tested at once; `later` the rest, afterwards."""

    def __init__(
        self,
        baselines: Iterable[Baseline],
        *,
        scope: Scope,
        skip_duplicates: bool,
        excluded_extensions: tuple[str, ...],
    ) -> None:
        self._baselines = baselines
        self._scope = scope
        self._skip_duplicates = skip_duplicates
        self._excluded = tuple(f".{word.lower()}" for word in excluded_extensions)
        self._by_shape: dict[tuple[object, ...], Item] = {}
        self._later: dict[Phase, list[Item]] = {Phase.CHANGE: [], Phase.DESTROY: []}

    def read(self) -> Iterator[tuple[Baseline, Item | Skipped]]:
        """Every baseline as it was recorded, with what becomes of it. Items of later phases are kept too."""
        for baseline in self._baselines:
            try:
                verdict = self._judge(baseline)
            except Exception as error:
                what = f"Internal exception: {type(error).__name__}: {error}"
                verdict = self._skipped(baseline, what, failed=True)
            if isinstance(verdict, Item) and verdict.phase is not Phase.READ:
                self._later[verdict.phase].append(verdict)
            yield baseline, verdict

    def later(self, phase: Phase) -> list[Item]:
        """The items of a phase after the reading one; whole once `read` has ended."""
        return self._later[phase]

    def _judge(self, baseline: Baseline) -> Item | Skipped:
        target = self._scope.target(baseline.origin)
        reason = self._reason_against(baseline)
        key = _key_of(baseline, target) if self._skip_duplicates and not reason else None
        if key and (first := self._by_shape.get(key)):
            first.duplicates.append(place_of(baseline, target))
            reason = f"duplicate of {first.baseline.id}: same route, points and kind of answer"
        if reason:
            return self._skipped(baseline, reason)
        phase, note = phase_of(baseline.request, baseline.response)
        recorded = Recorded.of(baseline.response, decoded_body(baseline.response))
        bare = replace(baseline, response=replace(baseline.response, body=b""))
        item = Item(baseline=bare, target=target, recorded=recorded, phase=phase, note=note)
        if key:
            self._by_shape[key] = item
        return item

    def _skipped(self, baseline: Baseline, reason: str, *, failed: bool = False) -> Skipped:
        place, route = place_of(baseline, self._scope.target(baseline.origin)), route_of(baseline.request)
        return _skip(place, route, reason, failed)

    def _reason_against(self, baseline: Baseline) -> str:
        if baseline.truncated:
            return "its body was longer than what is recorded (FAST_MAX_BODY)"
        if baseline.response.status == 101:
            return _SWITCHED
        path = baseline.request.target.partition(b"?")[0].decode("latin-1").lower()
        ending = next((e for e in self._excluded if path.endswith(e)), "")
        return f"FILE_EXTENSIONS_TO_EXCLUDE names {ending[1:]}" if ending else ""


def _key_of(baseline: Baseline, target: Target) -> tuple[object, ...]:
    """What duplicates have in common."""
    request = baseline.request
    return str(target.origin), request.method, shape_of(request), baseline.response.status // 100


class Deal:
    """Deals test sets to the shards of a run, each to the one that has least to do so far.

    Every shard deals alike, so that together they test everything once.
    """

    def __init__(self, shards: int) -> None:
        self.costs = [0] * shards

    def next(self, cost: int) -> int:
        """The shard, counted from 0, that gets the next test set of about `cost` requests."""
        shard = self.costs.index(min(self.costs))
        self.costs[shard] += cost
        return shard


def phase_of(request: Request, response: Response) -> tuple[Phase, str]:
    """When a baseline is tested, and for the last phase the reason."""
    path = request.target.partition(b"?")[0].decode("latin-1") if request.target.startswith(b"/") else ""
    if request.method == b"DELETE":
        return Phase.DESTROY, "tested last: it deletes"
    if word := _DESTROYING_PATH.search(path):
        return Phase.DESTROY, f"tested last: its address says {word.group().strip('/_.-')}"
    if _NEW_PASSWORD.search(request.target.partition(b"?")[2]) or _NEW_PASSWORD.search(request.body[:_HEAD]):
        return Phase.DESTROY, "tested last: it sets a password"
    sent = b";".join(request.get_all(b"cookie"))
    for cookie in response.get_all(b"set-cookie"):
        name, _, rest = cookie.partition(b"=")
        cleared = _EXPIRED.search(rest) or not rest.partition(b";")[0].strip(b' "')
        if cleared and name.strip() and name.strip() + b"=" in sent:
            return Phase.DESTROY, f"tested last: its answer ends the cookie {name.strip().decode('latin-1')}"
    return (Phase.READ if request.method in READING else Phase.CHANGE), ""


def risk_of(request: Request) -> int:
    """How likely a flaw is behind a request, by what it carries: for a run that cannot test everything."""
    query, body = request.target.partition(b"?")[2], request.body[:_HEAD]
    names = {*_PARAMETER.findall(query), *_PARAMETER.findall(body)}
    telling = sum(_TELLING_NAME.search(name) is not None for name in names)
    static = _STATIC.search(request.target.partition(b"?")[0]) is not None
    return 3 * min(len(names), 12) + 4 * telling + 5 * (request.method not in READING) - 20 * static


def route_of(request: Request) -> str:
    """The path with its changing parts as `{}`."""
    return route_template(request.method, request.target)


def skipped(item: Item, reason: str, *, failed: bool = False) -> Skipped:
    """A baseline that could be tested, but is not."""
    return _skip(item.place, item.route, reason, failed)


def _skip(place: results.Place, route: str, reason: str, failed: bool) -> Skipped:
    return Skipped(
        baseline=place.baseline, method=place.method, url=place.url, route=route, test=place.test,
        reason=reason, failed=failed,
    )  # fmt: skip


def place_of(baseline: Baseline, target: Target) -> results.Place:
    """Where a baseline goes now."""
    return results.Place(
        baseline=baseline.id,
        method=baseline.request.method.decode("latin-1"),
        url=target.url(baseline.request.target),
        test=baseline.test,
    )

"""What a test run found and did: the model behind every report, and the results file that carries it.

The results file is the JSON report of the node (`<name>.<unix time>.json`): FAST's documented state and
counters on top, then `vulns`, `checks` and `coverage` in full. Only this module reads and writes it.
"""

import base64
import hashlib
import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from fastci.errors import ExitStatus, UsageError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = "fast-results/1"
_BINARY = "base64:"

RunState = Literal["cloning", "running", "paused", "interrupted", "passed", "failed"]
CheckState = Literal["waiting", "running", "passed", "failed", "tech_failed", "interrupted"]
PointState = Literal["tested", "skipped", "impossible", "failed"]
Severity = Literal["low", "medium", "high"]
Confidence = Literal["confirmed", "firm", "tentative"]
StepState = Literal["done", "failed", "skipped", "interrupted"]
Status = Literal["", "new", "unchanged"]
PastState = Literal["fixed", "untested"]
Outcome = Literal["passed", "vulnerable", "technical", "interrupted"]

_INDEX = re.compile(r"(?<=ARRAY_)\d+")


def _blob_to_text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return _BINARY + base64.b64encode(value).decode()
    return text if not text.startswith(_BINARY) else _BINARY + base64.b64encode(value).decode()


def _text_to_blob(value: object) -> object:
    if not isinstance(value, str):
        return value
    return base64.b64decode(value[len(_BINARY) :]) if value.startswith(_BINARY) else value.encode()


class _AsText:
    """Tells pydantic how `Blob` is read and written."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        text = core_schema.plain_serializer_function_ser_schema(
            _blob_to_text, return_schema=core_schema.str_schema(), when_used="json"
        )
        return core_schema.no_info_before_validator_function(
            _text_to_blob, core_schema.bytes_schema(), serialization=text
        )


Blob = Annotated[bytes, _AsText()]
"""Bytes; in JSON the text itself where it is UTF-8, else `base64:` and the base64 of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A request and its answer as they went over the wire. `elapsed` is seconds; `response` may be cut."""

    request: Blob
    response: Blob
    status: int
    elapsed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The proof of a finding: the attack, its repetition with fresh markers, the control without effect."""

    payload: str
    matched: str
    attack: Exchange
    confirmation: Exchange | None = None
    control: Exchange | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one baseline reaches the flaw. `test` is the functional test that sent it, empty if unknown.

    The form that the recorder's pytest plugin gives is `path/to/test.py:12::test_name`.
    """

    baseline: str
    method: str
    url: str
    test: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Acceptance:
    """An entry of the known findings: who answers for leaving a finding, why, and until when.

    `expires` is the last day it holds, as `2026-12-31`; empty: for good. `where` is for the reader.
    """

    fingerprint: str
    reason: str
    owner: str
    expires: str = ""
    where: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One vulnerability: a type at a point of a route. `threat` is 1..100 as in FAST.

    `route` is the path with its changing parts as `{}`; `places` lists every baseline that reaches the flaw,
    the one of the evidence first. `code` names the detect that proved it. `status` compares with an earlier
    run, empty without one. `acceptance` is its entry among the known findings, expired where the finding
    counts all the same.
    """

    id: str
    type: str
    threat: int
    code: str
    title: str
    description: str
    point: str
    route: str
    confidence: Confidence
    evidence: Evidence
    places: list[Place]
    cwe: list[int] = field(default_factory=list)
    remediation: str = ""
    status: Status = ""
    acceptance: Acceptance | None = None

    @property
    def severity(self) -> Severity:
        return severity_of(self.threat)

    @property
    def place(self) -> Place:
        return self.places[0]

    @property
    def fingerprint(self) -> str:
        """Names the same flaw in another run: made of type, method, route and point alone.

        Which element of an array it was makes no difference.
        """
        key = "\n".join((self.type, self.place.method, self.route, _INDEX.sub("*", self.point)))
        return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def curl(self) -> str:
        return curl_line(self.place.url, self.evidence.attack.request)


@dataclass(frozen=True, kw_only=True, slots=True)
class PointCoverage:
    """What happened at one point for one vulnerability type; `reason` says why where it was not tested."""

    point: str
    type: str
    state: PointState
    requests: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineCheck:
    """The test set of one baseline and how it went.

    `error` is one of FAST's baseline error kinds (spec: node.md), a colon and the cause; empty without one.
    """

    baseline: str
    method: str
    url: str
    route: str
    state: CheckState
    requests: int = 0
    elapsed: float = 0.0
    error: str = ""
    test: str = ""
    findings: list[str] = field(default_factory=list)
    coverage: list[PointCoverage] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step of the job around this run, for the timeline. `note` is one line for a person."""

    name: str
    state: StepState
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PastFinding:
    """A finding of the earlier run that this one does not have: fixed, or not tested this time."""

    fingerprint: str
    state: PastState
    type: str
    threat: int
    title: str
    method: str
    route: str
    point: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule of the gate: the variable that sets it with its value, what was found, what is allowed."""

    name: str
    limit: str
    found: str
    holds: bool
    value: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """How the run counts. `rule` names the rule that decided, empty when all hold; `reason` is a sentence."""

    outcome: Outcome
    rule: str
    reason: str
    rules: list[Rule] = field(default_factory=list)

    @property
    def status(self) -> ExitStatus:
        return _STATUS[self.outcome]


_STATUS: dict[Outcome, ExitStatus] = {
    "passed": ExitStatus.PASSED,
    "vulnerable": ExitStatus.VULNERABLE,
    "technical": ExitStatus.TECHNICAL,
    "interrupted": ExitStatus.INTERRUPTED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One pass of testing. Times are unix seconds; `planned_requests` is an estimate until the run ended.

    `complete` is False for a run that was cut short: its findings hold, its silence does not. `shard` is
    i/n for a run that tested the i-th of n parts of the test sets, empty for a whole one. The CI side fills
    `steps`; `pace` is how many requests were sent in each of equal slices from start to end.

    What was judged stands beside it: `findings` are those that count, `accepted` those that a valid entry of
    the known findings covers, `absent` the entries that nothing was found for, `past` what the run named by
    `compared_with` had besides. `merged` are the ids of the runs that this one was joined from.
    """

    id: str
    name: str
    state: RunState
    record_id: str
    record_name: str
    policy: str
    target: str
    start_time: float
    end_time: float
    description: str = ""
    build_id: str = ""
    seed: int = 0
    node_version: str = ""
    domains: list[str] = field(default_factory=list)
    planned_requests: int = 0
    current_rps: float = 0.0
    complete: bool = True
    shard: str = ""
    checks: list[BaselineCheck] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    pace: list[int] = field(default_factory=list)
    accepted: list[Finding] = field(default_factory=list)
    absent: list[Acceptance] = field(default_factory=list)
    past: list[PastFinding] = field(default_factory=list)
    compared_with: str = ""
    merged: list[str] = field(default_factory=list)
    verdict: Verdict | None = None

    @property
    def sent_requests(self) -> int:
        return sum(check.requests for check in self.checks)

    @property
    def requests_per_point(self) -> tuple[int, int]:
        """What a tested point cost on average, and at most, over all types; nothing is counted for whole
        requests."""
        points: Counter[tuple[str, str]] = Counter()
        for check in self.checks:
            for row in check.coverage:
                if row.requests and row.point != "*":
                    points[check.baseline, row.point] += row.requests
        return (round(points.total() / len(points)), max(points.values())) if points else (0, 0)

    @property
    def average_rps(self) -> float:
        seconds = self.end_time - self.start_time
        return round(self.sent_requests / seconds, 2) if seconds > 0 else 0.0

    def count(self, state: CheckState) -> int:
        return sum(check.state == state for check in self.checks)


def severity_of(threat: int) -> Severity:
    """FAST's three levels of a threat 1..100: LOW to 33, MEDIUM to 66, HIGH above."""
    return "low" if threat <= 33 else "medium" if threat <= 66 else "high"


def curl_line(url: str, request: bytes) -> str:
    """A curl command that sends these bytes' method, headers and body to `url`'s origin again."""
    head, _, body = request.partition(b"\r\n\r\n")
    start, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = start.partition(" ")
    target = rest.rpartition(" ")[0]
    scheme, _, remainder = url.partition("://")
    address = f"{scheme}://{remainder.split('/', 1)[0].split('?', 1)[0]}{target}"
    words = ["curl", "-sS", "-i", "--path-as-is", "-g", "-X", method, address]
    dropped = ("content-length", "transfer-encoding", "accept-encoding", "connection")
    for line in lines:
        if line.partition(":")[0].strip().lower() not in dropped:
            words += ["-H", line]
    command = " ".join(shlex.quote(_terminal_safe(word)) for word in words)
    if not body:
        return command
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if text and text.isprintable():
        return f"{command} --data-raw {shlex.quote(text)}"
    return f"printf %s {base64.b64encode(body).decode()} | base64 -d | {command} --data-binary @-"


def _terminal_safe(word: str) -> str:
    """Bytes that a terminal would act on, percent-encoded: header and target bytes, read as Latin-1."""
    if word.isascii() and word.isprintable():
        return word
    return "".join(c if c.isprintable() and c.isascii() else f"%{ord(c):02X}" for c in word)


def get_ready() -> None:
    """Make now what reads and writes results files, which takes longer than a small file."""
    _adapter()


@cache
def _adapter() -> "TypeAdapter[Run]":
    """Imported and made when a results file is there: most steps of a job read and write none."""
    from pydantic import TypeAdapter

    return TypeAdapter(Run)


def _vulnerability(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "type": finding.type,
        "threat": finding.threat,
        "severity": finding.severity,
        "code": finding.code,
        "title": finding.title,
        "description": finding.description,
        "point": finding.point,
        "method": finding.place.method,
        "url": finding.place.url,
        "confidence": finding.confidence,
        "cwe": finding.cwe,
        "payload": finding.evidence.payload,
        "curl": finding.curl,
        "fingerprint": finding.fingerprint,
        "status": finding.status,
        "tests": sorted({place.test for place in finding.places if place.test}),
    }


def to_document(run: Run) -> dict[str, Any]:
    """The results file as plain data: FAST's documented fields, then the whole model below `run`.

    Spelling of `sended_requests_count` and `planing_requests_count` is FAST's.
    """
    return _facts(run) | {"run": _adapter().dump_python(run, mode="json")}


def _facts(run: Run) -> dict[str, Any]:
    """FAST's documented fields."""
    states = Counter(check.state for check in run.checks)
    ended = sum(states[s] for s in ("passed", "failed", "tech_failed", "interrupted"))
    return {
        "format": FORMAT,
        "id": run.id,
        "name": run.name,
        "state": run.state,
        "desc": run.description,
        "test_record_id": run.record_id,
        "recording": False,
        "policy": run.policy,
        "domains": run.domains,
        "start_time": int(run.start_time),
        "end_time": int(run.end_time),
        "baseline_count": len(run.checks),
        "baseline_check_all_terminated_count": ended,
        "baseline_check_fail_count": states["failed"],
        "baseline_check_tech_fail_count": states["tech_failed"],
        "baseline_check_passed_count": states["passed"],
        "baseline_check_running_count": states["running"],
        "baseline_check_interrupted_count": states["interrupted"],
        "baseline_check_waiting_count": states["waiting"],
        "sended_requests_count": run.sent_requests,
        "planing_requests_count": run.planned_requests,
        "current_rps": run.current_rps,
        "avg_rps": run.average_rps,
        "estimated_time_to_completion": 0,
        "verdict": run.verdict.outcome if run.verdict else "",
        "verdict_rule": run.verdict.rule if run.verdict else "",
        "verdict_reason": run.verdict.reason if run.verdict else "",
        "vulns": [_vulnerability(f) for f in run.findings],
    }


def render_document(run: Run) -> bytes:
    """The results file as bytes: what `to_document` gives, without the room that its parts would take."""
    head = json.dumps(_facts(run)).encode()
    try:
        whole = _adapter().dump_json(run)
    except ValueError:  # half a surrogate pair in some text: JSON can say it, UTF-8 cannot
        whole = json.dumps(_adapter().dump_python(run, mode="json")).encode()
    return head[:-1] + b', "run": ' + whole + b"}\n"


def parse_document(document: object, *, source: str) -> Run:
    """The run of a results file. Raises UsageError naming `source` when it is not one."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UsageError(f"{source} is not a results file of this node", hint=f"its format must be {FORMAT}")
    from pydantic import ValidationError

    try:
        return _adapter().validate_python(document.get("run"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{source} is damaged", why=f"{where}: {first['msg']}") from error


_TEXTS = (
    "id", "name", "desc", "test_record_id", "policy", "verdict", "verdict_rule", "verdict_reason",
)  # fmt: skip
_COUNTS = (
    "start_time", "end_time", "baseline_count", "baseline_check_all_terminated_count",
    "baseline_check_fail_count", "baseline_check_tech_fail_count", "baseline_check_passed_count",
    "baseline_check_running_count", "baseline_check_interrupted_count", "baseline_check_waiting_count",
    "sended_requests_count", "planing_requests_count", "estimated_time_to_completion",
)  # fmt: skip
_VULNERABILITY_TEXTS = (
    "id", "type", "code", "title", "description", "point", "method", "url", "payload", "curl", "fingerprint",
)  # fmt: skip


def schema() -> dict[str, Any]:
    """JSON schema of a results file: FAST's fields on top, the model below `run`."""
    run = _adapter().json_schema(mode="serialization")
    texts = {"type": "array", "items": {"type": "string"}}
    vulnerability = {
        **{name: {"type": "string"} for name in _VULNERABILITY_TEXTS},
        "threat": {"type": "integer", "minimum": 1, "maximum": 100},
        "severity": {"enum": list(get_args(Severity))},
        "confidence": {"enum": list(get_args(Confidence))},
        "status": {"enum": list(get_args(Status))},
        "cwe": {"type": "array", "items": {"type": "integer"}},
        "tests": texts,
    }
    properties = {
        "format": {"const": FORMAT},
        **{name: {"type": "string"} for name in _TEXTS},
        "state": {"enum": list(get_args(RunState))},
        "recording": {"const": False},
        "domains": texts,
        **{name: {"type": "integer"} for name in _COUNTS},
        "current_rps": {"type": "number"},
        "avg_rps": {"type": "number"},
        "vulns": {
            "type": "array",
            "items": {"type": "object", "required": list(vulnerability), "properties": vulnerability},
        },
        "run": {name: value for name, value in run.items() if name != "$defs"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Results file of a test run, the JSON report",
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "$defs": run["$defs"],
    }

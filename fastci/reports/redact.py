"""Secrets out of a run, before any report is made of it.

Each secret becomes `REDACTED-<n>`, the same number wherever it stands, so that a reader still sees which
requests shared a session. Two passes: values are found where secrets stand (`credentials`), then the same
values are replaced wherever else they appear. The payload of a finding stays readable; method, route and
point stay as they are, since fingerprints are made of them.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from urllib.parse import quote, quote_plus, unquote_to_bytes

from fastci.reports.credentials import mark_message, mark_text
from fastci.reports.exchange import read_message
from fastci.results import (
    Acceptance,
    BaselineCheck,
    Exchange,
    Finding,
    PastFinding,
    Place,
    PointCoverage,
    Run,
    Verdict,
)

MARK = re.compile(rb"REDACTED-(\d{1,9})")

_FRAMING = re.compile(rb"(?im)^(?:content-encoding|transfer-encoding|content-length):[^\r\n]*\r?\n")
_NOT_SECRET = frozenset((b"", b"true", b"false", b"null", b"none", b"undefined", b"0", b"1", b"yes", b"no"))
_WORD_BYTES = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_TO_WORDS = bytes(byte if byte in _WORD_BYTES else 0x20 for byte in range(256))


def redacted(run: Run, known: Iterable[str] = ()) -> Run:
    """The run without its secrets; the rest, and every fingerprint, stays. Doing it twice changes nothing.

    `known` are secrets wherever they stand, as the credentials that went into every test request.
    """
    secrets = _Secrets(first=_highest_mark(run) + 1)
    for value in known:
        secrets.know(value)
    plain = partial(secrets.mark, keep=())
    marked = _changed(
        run,
        lambda finding: _by_place(finding, secrets),
        lambda data: mark_text(data, plain),
    )
    everywhere = _Everywhere(secrets.distinct())
    return _changed(marked, lambda finding: _finding(finding, everywhere.replaced), everywhere.replaced)


Change = Callable[[bytes], bytes]


def _changed(run: Run, finding: Callable[[Finding], Finding], change: Change) -> Run:
    """The run with its findings changed, and every other text of it that is no name of a place."""
    # Few texts stand in fifty thousand rows.
    text = cache(partial(_as_text, change))
    return replace(
        run,
        findings=[finding(one) for one in run.findings],
        accepted=[finding(one) for one in run.accepted],
        checks=[_check(check, text) for check in run.checks],
        name=text(run.name),
        record_name=text(run.record_name),
        description=text(run.description),
        policy=text(run.policy),
        build_id=text(run.build_id),
        target=text(run.target),
        domains=[text(domain) for domain in run.domains],
        compared_with=text(run.compared_with),
        seen={text(kind): number for kind, number in run.seen.items()},
        messages=[text(message) for message in run.messages],
        steps=[replace(step, note=text(step.note)) for step in run.steps],
        past=[_past(past, text) for past in run.past],
        absent=[_acceptance(entry, text) for entry in run.absent],
        verdict=run.verdict and _verdict(run.verdict, text),
    )


class _Secrets:
    """The secrets seen so far, numbered in the order they were met."""

    def __init__(self, first: int) -> None:
        self._first = first
        self._numbers: dict[bytes, int] = {}

    def know(self, value: str) -> None:
        """Take a value, and each of its words (`Bearer abc`), as secrets of the whole run."""
        for word in dict.fromkeys((value.strip(), *value.split())):
            plain = word.encode("utf-8", "surrogatepass")
            if _is_distinct(plain):
                self._mark_of(plain)

    def mark(self, value: bytes, keep: tuple[bytes, ...]) -> bytes:
        """What stands in place of a secret value; the parts of it that are the attack's own payload stay."""
        if value.strip().lower() in _NOT_SECRET or MARK.search(value):
            return value
        for payload in keep:
            if payload in value:
                before, _, after = value.partition(payload)
                return self.mark(before, keep) + payload + self.mark(after, keep)
        return self._mark_of(unquote_to_bytes(value))

    def _mark_of(self, plain: bytes) -> bytes:
        return b"REDACTED-%d" % self._numbers.setdefault(plain, self._first + len(self._numbers))

    def distinct(self) -> dict[bytes, bytes]:
        """What to put in place of each secret wherever it stands: those that are secrets by themselves."""
        return {value: self._mark_of(value) for value in self._numbers if _is_distinct(value)}


class _Everywhere:
    """Replaces many values wherever they stand as words, plain or escaped, however many they are.

    A value can only be where its longest run of letters and digits is a word of the text, so that one look
    at the words of a text tells which of the values to search for.
    """

    def __init__(self, marks: Mapping[bytes, bytes]) -> None:
        self._by_word: dict[bytes, list[tuple[int, bytes, bytes]]] = {}
        # Longest first, so that a secret inside a longer one does not spoil it.
        ranked = sorted(marks.items(), key=lambda item: (-len(item[0]), item[0]))
        forms = ((form, mark) for value, mark in ranked for form in _forms(value))
        for rank, (form, mark) in enumerate(forms):
            word = max(form.translate(_TO_WORDS).split(), key=len, default=b"")
            self._by_word.setdefault(word, []).append((rank, form, mark))
        self._wordless = self._by_word.pop(b"", [])

    def replaced(self, data: bytes) -> bytes:
        words = data.translate(_TO_WORDS).split()
        if not self._wordless and self._by_word.keys().isdisjoint(words):
            return data
        found = [self._by_word[word] for word in self._by_word.keys() & set(words)]
        for _, form, mark in sorted(chain(self._wordless, *found)):
            if form in data:
                data = re.sub(rb"(?<![A-Za-z0-9])" + re.escape(form) + rb"(?![A-Za-z0-9])", mark, data)
        return data


def _highest_mark(run: Run) -> int:
    """The last number that was given to a secret of this run before."""
    highest = 0

    def look(data: bytes) -> bytes:
        nonlocal highest
        highest = max((highest, *map(int, MARK.findall(data))))
        return data

    _changed(run, lambda finding: _finding(finding, look), look)
    return highest


def _is_distinct(value: bytes) -> bool:
    """Whether a value is a secret by itself: replacing `admin` or `password` everywhere would spoil texts."""
    return len(value) >= 16 or (len(value) >= 6 and not value.isalpha())


def _forms(value: bytes) -> tuple[bytes, ...]:
    """A value as it may be written: plain, percent-encoded, in a JSON string, in HTML; the longest first."""
    text = value.decode("utf-8", "surrogateescape")
    forms = (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], html.escape(text))
    plain = [form.encode("utf-8", "surrogateescape") for form in forms]
    percent = [quote(value, safe="").encode(), quote_plus(value).encode(), quote(value).encode()]
    return tuple(sorted({*plain, *percent}, key=len, reverse=True))


def _by_place(finding: Finding, secrets: _Secrets) -> Finding:
    payload = finding.evidence.payload.encode("utf-8", "surrogatepass")
    mark = partial(secrets.mark, keep=_forms(payload) if payload else ())
    return _finding(finding, partial(mark_message, mark=mark), partial(mark_text, mark=mark))


def _as_read(change: Change, data: bytes) -> bytes:
    """A message changed as readers see it: in a body that is in chunks or compressed, a secret is one too.

    Where something was changed the body stays decoded, and the head tells its length.
    """
    if b"-encoding" not in data[: data.find(b"\r\n\r\n")].lower():
        return change(data)
    message = read_message(data)
    if not any(message.codings):
        return change(data)
    head, body = _FRAMING.sub(b"", data[: message.body_at]), message.readable()
    line_end = b"\r\n" if head.endswith(b"\r\n") else b"\n"
    plain = head.removesuffix(line_end) + b"Content-Length: %d" % len(body) + 2 * line_end + body
    changed = change(plain)
    return changed if changed != plain else data


def _finding(finding: Finding, message: Change, text: Change | None = None) -> Finding:
    """The finding with its messages and texts changed; the payload is the attack's own and stays."""
    evidence = finding.evidence
    plain = partial(_as_text, text or message)

    def exchange(one: Exchange) -> Exchange:
        request, response = _as_read(message, one.request), _as_read(message, one.response)
        return replace(one, request=request, response=response)

    def place(one: Place) -> Place:
        return replace(one, url=plain(one.url), test=plain(one.test))

    return replace(
        finding,
        title=plain(finding.title),
        description=plain(finding.description),
        remediation=plain(finding.remediation),
        evidence=replace(
            evidence,
            matched=plain(evidence.matched),
            attack=exchange(evidence.attack),
            confirmation=evidence.confirmation and exchange(evidence.confirmation),
            control=evidence.control and exchange(evidence.control),
            notes=[plain(note) for note in evidence.notes],
        ),
        places=[place(one) for one in finding.places],
        acceptance=finding.acceptance and _acceptance(finding.acceptance, plain),
    )


Text = Callable[[str], str]


def _check(check: BaselineCheck, text: Text) -> BaselineCheck:
    rows = check.coverage
    if any(row.reason and text(row.reason) != row.reason for row in rows):
        rows = [_row(row, text) for row in rows]
    return replace(check, url=text(check.url), error=text(check.error), test=text(check.test), coverage=rows)


def _row(row: PointCoverage, text: Text) -> PointCoverage:
    return replace(row, reason=text(row.reason))


def _past(past: PastFinding, text: Text) -> PastFinding:
    return replace(past, title=text(past.title))


def _acceptance(entry: Acceptance, text: Text) -> Acceptance:
    return replace(entry, reason=text(entry.reason), owner=text(entry.owner), where=text(entry.where))


def _verdict(verdict: Verdict, text: Text) -> Verdict:
    rules = [replace(rule, found=text(rule.found)) for rule in verdict.rules]
    return replace(verdict, reason=text(verdict.reason), rules=rules)


def _as_text(change: Change, text: str) -> str:
    return change(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass") if text else text

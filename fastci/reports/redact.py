"""Secrets out of a run, before any report is made of it.

Each secret becomes `REDACTED-<n>`, the same number wherever it stands, so that a reader still sees which
requests shared a session. Two passes: values are found where secrets stand (`credentials`), then the same
values are replaced wherever else they appear. The payload of a finding stays readable.
"""

import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache, partial
from urllib.parse import quote, quote_plus, unquote_to_bytes

from fastci.reports.credentials import mark_message, mark_text
from fastci.results import BaselineCheck, Exchange, Finding, Run

MARK = re.compile(rb"REDACTED-\d+")

_FEW = 40
_NOT_SECRET = frozenset((b"", b"true", b"false", b"null", b"none", b"undefined", b"0", b"1", b"yes", b"no"))


def redacted(run: Run, known: Iterable[str] = ()) -> Run:
    """The run without its secrets; the rest, and every fingerprint, stays. Doing it twice changes nothing.

    `known` are secrets wherever they stand, as the credentials that went into every test request.
    """
    secrets = _Secrets()
    for value in known:
        secrets.know(value)
    marked = [_by_place(finding, secrets) for finding in (*run.findings, *run.accepted)]
    shared = secrets.shared()
    findings = [
        _mapped(finding, partial(secrets.replaced, values=_longest_first(own | shared)))
        for finding, own in marked
    ]
    everywhere = _longest_first(shared)

    plain = partial(secrets.mark, keep=())

    def text(value: str) -> str:
        return _as_text(lambda data: secrets.replaced(mark_text(data, plain), everywhere), value)

    return replace(
        run,
        findings=findings[: len(run.findings)],
        accepted=findings[len(run.findings) :],
        checks=[_check(check, text) for check in run.checks],
        name=text(run.name),
        description=text(run.description),
        target=text(run.target),
        messages=[text(message) for message in run.messages],
        steps=[replace(step, note=text(step.note)) for step in run.steps],
    )


class _Secrets:
    """The secrets seen so far, numbered in the order they were met, with how many findings hold each."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._uses: Counter[bytes] = Counter()
        self._met: set[bytes] = set()

    def know(self, value: str) -> None:
        """Take a value, and each of its words (`Bearer abc`), as secrets of the whole run."""
        for word in dict.fromkeys((value.strip(), *value.split())):
            plain = word.encode("utf-8", "surrogatepass")
            if _is_distinct(plain):
                self._numbers.setdefault(plain, len(self._numbers) + 1)
                self._uses[plain] += 2

    def mark(self, value: bytes, keep: tuple[bytes, ...]) -> bytes:
        """What stands in place of a secret value; the parts of it that are the attack's own payload stay."""
        if value.strip().lower() in _NOT_SECRET or MARK.search(value):
            return value
        for payload in keep:
            if payload in value:
                before, _, after = value.partition(payload)
                return self.mark(before, keep) + payload + self.mark(after, keep)
        plain = unquote_to_bytes(value)
        self._met.add(plain)
        return b"REDACTED-%d" % self._numbers.setdefault(plain, len(self._numbers) + 1)

    def met(self) -> frozenset[bytes]:
        """The secrets marked since the last call: those of one finding."""
        met, self._met = self._met, set()
        self._uses.update(met)
        return frozenset(filter(_is_distinct, met))

    def shared(self) -> frozenset[bytes]:
        """The secrets to look for everywhere: all while they are few, else those of several findings."""
        least = 1 if len(self._uses) <= _FEW else 2
        return frozenset(value for value, uses in self._uses.items() if uses >= least and _is_distinct(value))

    def replaced(self, data: bytes, values: Iterable[bytes]) -> bytes:
        """The data with these values marked wherever they stand as a word, plain or escaped."""
        for value in values:
            for form in _forms(value):
                if form in data:
                    mark = b"REDACTED-%d" % self._numbers[value]
                    data = re.sub(rb"(?<![A-Za-z0-9])" + re.escape(form) + rb"(?![A-Za-z0-9])", mark, data)
        return data


def _is_distinct(value: bytes) -> bool:
    """Whether a value is a secret by itself: replacing `admin` or `password` everywhere would spoil texts."""
    return len(value) >= 16 or (len(value) >= 6 and not value.isalpha())


def _longest_first(values: frozenset[bytes]) -> list[bytes]:
    """So that a secret inside a longer one does not spoil it, and the order is always the same."""
    return sorted(values, key=lambda value: (-len(value), value))


@lru_cache(maxsize=4096)
def _forms(value: bytes) -> tuple[bytes, ...]:
    """A value as it may be written: plain, percent-encoded, in a JSON string, in HTML."""
    text = value.decode("utf-8", "surrogateescape")
    forms = (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], html.escape(text))
    plain = [form.encode("utf-8", "surrogateescape") for form in forms]
    percent = [quote(value, safe="").encode(), quote_plus(value).encode(), quote(value).encode()]
    return tuple(sorted({*plain, *percent}, key=len, reverse=True))


def _by_place(finding: Finding, secrets: _Secrets) -> tuple[Finding, frozenset[bytes]]:
    payload = finding.evidence.payload.encode("utf-8", "surrogatepass")
    keep = _forms(payload) if payload else ()
    mark = partial(secrets.mark, keep=keep)
    marked = _mapped(finding, partial(mark_message, mark=mark), text=partial(mark_text, mark=mark))
    return marked, secrets.met()


def _mapped(
    finding: Finding, mark: Callable[[bytes], bytes], *, text: Callable[[bytes], bytes] | None = None
) -> Finding:
    """The finding with its messages and texts changed; the payload is the attack's own and stays."""
    evidence = finding.evidence
    plain = partial(_as_text, text or mark)

    def exchange(one: Exchange) -> Exchange:
        return replace(one, request=mark(one.request), response=mark(one.response))

    return replace(
        finding,
        evidence=replace(
            evidence,
            matched=plain(evidence.matched),
            attack=exchange(evidence.attack),
            confirmation=evidence.confirmation and exchange(evidence.confirmation),
            control=evidence.control and exchange(evidence.control),
            notes=[plain(note) for note in evidence.notes],
        ),
        places=[replace(place, url=plain(place.url)) for place in finding.places],
    )


def _check(check: BaselineCheck, text: Callable[[str], str]) -> BaselineCheck:
    return replace(check, url=text(check.url), error=text(check.error))


def _as_text(change: Callable[[bytes], bytes], text: str) -> str:
    return change(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass") if text else text

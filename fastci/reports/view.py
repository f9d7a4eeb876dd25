"""A run as its reports see it: what several formats need of it, worked out once, when the first one asks."""

from collections import Counter
from functools import cached_property

from fastci.reports.exchange import Message, origin_of, read_message
from fastci.reports.proof import proof_of
from fastci.reports.summary import Summary, failures, ordered, reached_by, summarize
from fastci.results import BaselineCheck, Exchange, Finding, Run
from fastci.verdict.coverage import RouteCoverage, coverage_of


class View:
    """The findings in the order of the reports, worst first, and what is told of the run in all of them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        seen: Counter[str] = Counter()
        self.findings = [Shown(finding, seen) for finding in ordered(run.findings)]
        self.accepted = [Shown(finding, seen) for finding in ordered(run.accepted)]

    @cached_property
    def routes(self) -> list[RouteCoverage]:
        """The coverage matrix."""
        return coverage_of(self.run)

    @cached_property
    def summary(self) -> Summary:
        return summarize(self.run, self.routes)

    @cached_property
    def failures(self) -> dict[str, list[BaselineCheck]]:
        """Checks that ended for a technical reason, by that reason, the commonest first."""
        return failures(self.run.checks)


class Sent:
    """An exchange with its messages taken apart."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    @cached_property
    def request(self) -> Message:
        return read_message(self.exchange.request)

    @cached_property
    def response(self) -> Message:
        return read_message(self.exchange.response)


class Shown:
    """A finding with what reports say of it besides.

    `ordinal` says which of its fingerprint it is, counted from 1: the same flaw on two hosts, or at two
    elements of an array, has one fingerprint, and forges want a name for each.
    """

    def __init__(self, finding: Finding, seen: Counter[str]) -> None:
        evidence = finding.evidence
        self.finding = finding
        self.fingerprint = finding.fingerprint
        seen[self.fingerprint] += 1
        self.ordinal = seen[self.fingerprint]
        self.attack = Sent(evidence.attack)
        self.confirmation = Sent(evidence.confirmation) if evidence.confirmation else None
        self.control = Sent(evidence.control) if evidence.control else None

    @cached_property
    def curl(self) -> str:
        return self.finding.curl

    @cached_property
    def tests(self) -> list[str]:
        """The functional tests that reach the flaw, each once, the one of the evidence first."""
        return reached_by(self.finding)

    @cached_property
    def proof(self) -> str:
        """What the attack's answer holds and its control's does not, empty when nothing does."""
        control = self.control.response if self.control else None
        return proof_of(self.finding.evidence, self.attack.response, control)

    @cached_property
    def url(self) -> str:
        """Where the attack was sent."""
        return self.address(self.attack)

    def address(self, sent: Sent) -> str:
        """Where one of the requests was sent: the origin of the baseline and the target of the request.

        A request of another form than a path was sent where the attack was, or the baseline.
        """
        target = sent.request.target
        if target.startswith("/"):
            return origin_of(self.finding.place.url) + target
        return self.finding.place.url if sent is self.attack else self.url

"""What a person sees of a job: the steps with their times, what was found, where the reports lie."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastci.results import Finding, Run, Step

_MARKS = {"done": "ok", "failed": "FAILED", "skipped": "skipped", "interrupted": "INTERRUPTED"}
_COLOURS = {"done": "green", "failed": "red", "skipped": "dim", "interrupted": "yellow"}
_MOST_FINDINGS = 100
_SEVERITIES = {"high": "bold red", "medium": "yellow", "low": "cyan"}
_BEGINNING = re.compile(r"^(\s*)::", re.M)
_PROGRESS = re.compile(r"\[info\] Progress: (\d+) of (\d+) baselines(.*)")
_BAR = 24
_LAST = 7
_HEARTBEAT = 30.0
_ANNOUNCED = (4, 6)
"""Steps that may take long and say much: they are named when they begin, what they say is a group."""

Group = Callable[[str], AbstractContextManager[None]]
"""Opens a part of the log under a title; a CI may fold it away."""


class Screen:
    """Tells the steps as they go, and now and then how testing goes; `secrets` are never printed."""

    def __init__(
        self,
        console: Console,
        *,
        secrets: Sequence[str] = (),
        verbose: bool = False,
        group: Group | None = None,
    ) -> None:
        self._console = console
        self._group = group or self._titled
        self._opened = ExitStack()
        self._secrets = [secret for secret in secrets if secret]
        self._verbose = verbose
        self._beat = console.get_time()
        self._drawn = False

    def begin(self, number: int, title: str) -> None:
        self._beat = self._console.get_time()
        if number in _ANNOUNCED:
            self._opened.enter_context(self._group(f"[{number}/{_LAST}] {title} ..."))

    @contextmanager
    def _titled(self, title: str) -> Iterator[None]:
        self.line(title, style="dim")
        yield

    def finish(self, number: int, step: Step) -> None:
        self._wipe()
        self._opened.close()
        text = f"[{number}/{_LAST}] {step.name:<42} {step.seconds:7.2f} s  {_MARKS[step.state]}"
        self.line(text + (f": {step.note}" if step.note else ""), style=_COLOURS[step.state])

    def note(self, line: str) -> None:
        self.line(f"      {line}", style="yellow")

    def progress(self, line: str) -> None:
        """One console line of a testing node. How far it is becomes a bar on a terminal, a line elsewhere."""
        now = self._console.get_time()
        seen = _PROGRESS.search(line)
        if seen and self.draws and not self._verbose:
            self._draw(int(seen[1]), int(seen[2]), seen[3])
        elif self._verbose or seen or now - self._beat > _HEARTBEAT:
            self._beat = now
            self.line(f"      {line}", style="dim")

    @property
    def draws(self) -> bool:
        """Whether a bar can be drawn."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def _draw(self, done: int, total: int, facts: str) -> None:
        part = done / total if total else 1.0
        bar = "━" * round(part * _BAR) + "╌" * (_BAR - round(part * _BAR))
        text = f"      {bar} {part:4.0%} {done}/{total}{facts}"[: max(self._console.width - 1, 20)]
        self._console.file.write(f"\r\x1b[2K{text}")
        self._console.file.flush()
        self._drawn = True

    def _wipe(self) -> None:
        if self._drawn:
            self._console.file.write("\r\x1b[2K")
            self._drawn = False

    def line(self, text: str, *, style: str = "") -> None:
        self._wipe()
        text = _as_text(text)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        self._console.print(Text(text, style=style), soft_wrap=True)

    def findings(self, run: Run) -> None:
        """The table of what was found, the worst first, as many as a log is read for."""
        self._wipe()
        if not run.findings:
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("severity", "type", "where", "point", "what"):
            table.add_column(column, overflow="fold")
        worst = sorted(run.findings, key=lambda f: (-f.threat, f.type, f.route, f.point))
        for finding in worst[:_MOST_FINDINGS]:
            table.add_row(*_row(finding))
        self._console.print(table)
        if len(worst) > _MOST_FINDINGS:
            self.line(f"{len(worst) - _MOST_FINDINGS:,} more are in the reports")

    def reports(self, paths: Sequence[Path]) -> None:
        """Where the reports lie: the one to read in full, the others by what they add to its name."""
        if not paths:
            return
        first = next((path for path in paths if path.suffix == ".html"), paths[0])
        self.line(f"report: {first}")
        beside = [path.name.removeprefix(f"{first.stem}.") for path in paths if path != first]
        if beside:
            self.line(f"        beside it {', '.join(beside)}")


def _as_text(text: str, *, folded: bool = False) -> str:
    """Nothing that a target said is a command to GitHub's runner: a joiner without width parts its signs.

    The runner heeds `::name::` at the beginning of a line, which in a `folded` cell may be anywhere, and
    `##[name]` everywhere.
    """
    text = text.replace("##[", "#\u2060#[")
    return text.replace("::", ":\u2060:") if folded else _BEGINNING.sub("\\1:\u2060:", text)


def _row(finding: Finding) -> list[Text]:
    severity = Text(finding.severity.upper(), style=_SEVERITIES[finding.severity])
    where = f"{finding.place.method} {finding.route}"
    return [
        severity,
        *(Text(_as_text(cell, folded=True)) for cell in (finding.type, where, finding.point, finding.title)),
    ]


def counted(run: Run) -> str:
    """`3 vulnerabilities (2 high, 1 medium) in 12 baselines, 1234 requests`."""
    severities = [finding.severity for finding in run.findings]
    parts = [
        f"{severities.count(level)} {level}" for level in ("high", "medium", "low") if level in severities
    ]
    found = "1 vulnerability" if len(severities) == 1 else f"{len(severities) or 'no'} vulnerabilities"
    detail = f" ({', '.join(parts)})" if parts else ""
    baselines = "1 baseline" if len(run.checks) == 1 else f"{len(run.checks)} baselines"
    most = run.requests_per_point[1]
    cost = f", at most {most} at a point" if most else ""
    return f"{found}{detail} in {baselines}, {run.sent_requests} requests{cost}"

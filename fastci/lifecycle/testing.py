"""Steps 6 and 7: a node tests the target with the record, its results are brought, the outcome is decided."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from fastci.config import Mode
from fastci.errors import ExitStatus, FatalError, TechnicalError
from fastci.lifecycle import nodes
from fastci.lifecycle.runtime import Ended, Node, NodeFile, Place
from fastci.lifecycle.stage import Stage
from fastci.results import Run, parse_document


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of testing. `run` is None for an image that is not ours; `reports` are the files brought."""

    status: ExitStatus
    verdict: str
    run: Run | None = None
    reports: list[Path] = field(default_factory=list)


class SecurityTesting:
    """One testing or reporting node. `close` ends it if it still runs."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._node: Node | None = None
        self._run_id = ""
        self._log = ""
        self.reports: list[Path] = []

    def given_files(self) -> list[NodeFile]:
        """What the user gives to the node. Raises UsageError for a policy or a folder that is not there."""
        given_names = {name for name, value in self._stage.environ.items() if value.strip()}
        return self._stage.workspace.given_files(self._stage.settings, given_names)

    def test(self, record_id: str = "") -> Ended:
        """Run a testing node to its end with this record, or with the one that it chooses itself."""
        with self._stage.step(6) as note:
            stage, workspace = self._stage, self._stage.workspace
            going_on = self._take_interrupted() if stage.settings.fast_resume else ""
            stage.sweep()
            chosen = record_id or stage.settings.test_record_id
            files = self.given_files()
            given = {"TEST_RECORD_ID": chosen}
            if stage.runtime.ours:
                if not stage.settings.shares_store:
                    files += workspace.record_files(chosen)
                files += workspace.journal_files(going_on)
                self._run_id = going_on or workspace.reserve_run(stage.settings.fast_shard)
                given["FAST_RUN_ID"] = self._run_id
            self._node = stage.launch(Mode.TESTING, given, files)
            ended = nodes.wait_end(stage.runtime, self._node, stage.waiter, stage.listener.progress)
            note.text = self._node.name
        return ended

    def _take_interrupted(self) -> str:
        """The id of the run to go on with, its journal brought from a node that a crashed job left."""
        stage = self._stage
        for node in stage.runtime.find():
            if node.ours and node.mode is Mode.TESTING and node.labels.job == stage.key:
                stage.runtime.kill(node)
                stage.runtime.fetch(node, Place.RUNS, stage.workspace.runs)
                stage.runtime.remove(node)
                stage.listener.note(f"removed {node.name}, left by a job that crashed")
        return stage.workspace.interrupted_run()

    def report(self) -> tuple[Ended, str]:
        """Run a node in report mode over the runs of the workspace; returns its end and its console lines."""
        stage = self._stage
        files = stage.workspace.run_files() if stage.runtime.ours else []
        self._node = stage.launch(Mode.REPORT, {}, files)
        lines: list[str] = []
        ended = nodes.wait_end(stage.runtime, self._node, stage.waiter, lines.append)
        self._take_results(self._node)
        return ended, "\n".join(lines)

    def collect(self, ended: Ended) -> Outcome:
        """Bring the results, remove the node, decide. Raises FatalError when the node could not test."""
        with self._stage.step(7) as note:
            if self._node is None:
                raise TechnicalError("there is no testing node to collect from")
            tester = self._node
            note.text = self._take_results(tester)
            return self._judge(ended) if tester.ours else _judge_foreign(ended, self._log, self.reports)

    def _judge(self, ended: Ended) -> Outcome:
        path = self._stage.workspace.runs / f"{self._run_id}.json"
        if ended.status not in list(ExitStatus) or not path.is_file():
            raise nodes.explain_end(self._log, ended, "the node ended without results")
        run = parse_document(json.loads(path.read_text(encoding="utf-8")), source=str(path))
        return Outcome(
            status=ExitStatus(ended.status),
            verdict=f"TestRun#{run.id} {run.state}",
            run=run,
            reports=self.reports,
        )

    def _take_results(self, tester: Node) -> str:
        """Bring what the node wrote and remove it; says what was brought.

        Of a run that we named that is its results file: the reports are made of it here.
        """
        runtime, workspace = self._stage.runtime, self._stage.workspace
        self._log = self._stage.keep_log(tester)
        if not self._run_id:
            self.reports = runtime.fetch(tester, Place.REPORTS, workspace.reports)
        brought = runtime.fetch(tester, Place.RUNS, workspace.runs)
        if brought:
            workspace.drop_journals(self._run_id, but=brought)
        runtime.remove(tester)
        self._node = None
        workspace.give_up(run_id=self._run_id)
        return ", ".join(map(str, brought)) or f"{len(self.reports)} files in {workspace.reports}"

    def kept_run(self) -> Run | None:
        """What the testing node had found when it was ended on the way; None when it wrote no results."""
        path = self._stage.workspace.runs / f"{self._run_id}.json"
        try:
            return parse_document(json.loads(path.read_text(encoding="utf-8")), source=str(path))
        except (OSError, ValueError, FatalError):
            return None

    def can_go_on(self) -> bool:
        """Whether the node left a journal, from which another one can go on."""
        return bool(self._stage.workspace.journal_files(self._run_id))

    def close(self) -> None:
        """End the node; what it had found by then is kept. May be called again."""
        if self._node is not None:
            self._stage.end_and_take(self._node, self._take_results)
        self._stage.workspace.give_up(run_id=self._run_id)


def _judge_foreign(ended: Ended, log: str, reports: list[Path]) -> Outcome:
    """An image of the plain contract ends with 1 for vulnerabilities and for its own faults alike."""
    if ended.status == 0:
        return Outcome(status=ExitStatus.PASSED, verdict="passed", reports=reports)
    if re.search(r"TestRun#\S+ failed", log):
        return Outcome(status=ExitStatus.VULNERABLE, verdict="failed", reports=reports)
    raise nodes.explain_end(log, ended, "the node could not test")

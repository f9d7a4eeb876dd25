"""Steps 1 to 5: the target is there, a node records, the tests run through it, the record is kept."""

import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence

from fastci.config import VARIABLES, Mode
from fastci.errors import FatalError, TechnicalError, UsageError
from fastci.lifecycle import nodes, probe, sessions
from fastci.lifecycle.interrupts import heed
from fastci.lifecycle.labels import Labels
from fastci.lifecycle.runtime import READY_LINE, Node, Place
from fastci.lifecycle.stage import Stage
from fastci.lifecycle.workspace import port_taken

_CHECK_PERIOD = 0.5
"""Seconds between two looks at the recorder while the tests run."""
_ASKS = [(signal.SIGINT, 5.0), (signal.SIGTERM, 5.0)]
"""How a test command is ended: as a person would, then firmly; seconds of grace for each."""
_TICK = 0.02
_LOOPBACK = "localhost,127.0.0.1,[::1]"


class Recording:
    """One recorder and the tests that run through it. `close` ends what is still running, whatever it is."""

    def __init__(self, stage: Stage) -> None:
        self.record_id = ""
        self.proxy_url = ""
        self.environment: dict[str, str] = {}
        self._stage = stage
        self._reserved = ""
        self._used = False
        self._node: Node | None = None
        self._command: subprocess.Popen[bytes] | None = None
        self._lost: FatalError | None = None
        self._unseen = False

    def check_target(self) -> None:
        """Raises TechnicalError when the target is not there, seen from where the node will be."""
        with self._stage.step(1) as note:
            url = self._stage.settings.target_uri
            if not url:
                note.state, note.text = "skipped", "TARGET_URI is not set"
            elif not self._stage.runtime.shares_network:
                note.state, note.text = "skipped", f"{url} is asked from the node's network, in step 2"
            else:
                answer = heed(self._stage.waiter, lambda: probe.ask_target(url))
                if answer.fault:
                    raise self._unreachable(answer.fault)
                if answer.status >= 500:
                    raise TechnicalError(
                        f"the target {url} is up, but answers with status {answer.status}",
                        why="what fails before it is attacked proves nothing when it fails under attack",
                        hint="mend it, or name a page of it that works in TARGET_URI, like http://app:3000/login",
                    )
                note.text = f"{url} answers with status {answer.status}"

    def _unreachable(self, reason: str) -> TechnicalError:
        url = self._stage.settings.target_uri
        host, port = probe.address_of(url)
        hint = "start the target before this step and let it run until testing ends"
        if not self._stage.runtime.shares_network and probe.is_loopback(host):
            reason += f"; in the node's own network {host} is the node itself"
            hint = "name the target as its Docker network knows it, or take FAST_NETWORK=host"
        elif reason.endswith("cannot be resolved"):
            hint = "for a container's or service's name, name its Docker network in FAST_NETWORK"
        return TechnicalError(f"the target {url} cannot be reached (port {port})", why=reason, hint=hint)

    def start_recording(self, *, tended: bool = True) -> None:
        """Start the recorder and wait until it is ready. One that is not `tended` stays when we go."""
        with self._stage.step(2) as note:
            stage, settings = self._stage, self._stage.settings
            stage.sweep()
            self._replace_forgotten(tended)
            if settings.fast_port and stage.runtime.shares_network and not probe.is_free(settings.fast_port):
                raise port_taken(settings.fast_port)
            files = stage.workspace.authority_files(settings)
            # A shared store numbers the records of all workflows itself.
            if stage.runtime.ours and not settings.shares_store:
                self.record_id = self._reserved = stage.workspace.reserve_record()
            given = {"FAST_RECORD_ID": self.record_id}
            if settings.target_uri and not settings.allowed_hosts:
                host = probe.address_of(settings.target_uri)[0]
                given["ALLOWED_HOSTS"] = _LOOPBACK if probe.is_loopback(host) else host
            self._node = stage.launch(Mode.RECORDING, given, files, record_id=self.record_id, tended=tended)
            self.proxy_url = nodes.wait_ready(
                stage.runtime, self._node, stage.waiter, settings.fast_start_timeout
            )
            if not self.record_id:
                self.record_id = _record_in(stage.runtime.log(self._node))
            self._check_from_node()
            note.text = f"{self._node.name} at {self.proxy_url}"

    def _check_from_node(self) -> None:
        if self._stage.settings.target_uri and not self._stage.runtime.shares_network and self._node:
            reason = self._stage.runtime.reach(self._node, *probe.address_of(self._stage.settings.target_uri))
            if reason:
                raise self._unreachable(reason)

    def prepare_settings(self) -> None:
        """Fetch the authority, write the files to trust it, make `environment` for the test command."""
        # Imported where it is needed: it brings the certificates' library along.
        from fastci.lifecycle.surroundings import proxy_environment, with_credentials

        with self._stage.step(3) as note:
            targets = _plain_hosts(self._stage.settings.allowed_hosts)
            if self._stage.settings.target_uri:
                targets.append(probe.address_of(self._stage.settings.target_uri)[0])
            ca = heed(self._stage.waiter, lambda: probe.fetch_ca(self.proxy_url))
            try:
                self.environment = proxy_environment(
                    with_credentials(self.proxy_url, self._stage.settings.fast_proxy_auth),
                    environ=self._stage.environ,
                    targets=targets,
                    workspace=self._stage.workspace,
                    ca=ca,
                )
                self._stage.workspace.write_environment(self.environment)
            except OSError as error:
                raise TechnicalError("the proxy settings cannot be written", why=str(error)) from error
            note.text = str(self._stage.workspace.ca_file) if ca else "the node hands no CA certificate out"

    def leave_recording(self) -> None:
        """Let the recorder go on without us; its record's id stays taken."""
        self._node, self._reserved = None, ""

    def run_command(self, command: Sequence[str]) -> int:
        """Run the test command with the proxy settings; returns its exit status, 128 + n after signal n."""
        with self._stage.step(4) as note:
            self._used = True
            try:
                # A session of its own: its children can be ended with it.
                self._command = subprocess.Popen(
                    list(command), env=self._environ_of_tests(), start_new_session=True
                )
            except OSError as error:
                raise UsageError(
                    f"the test command {command[0]!r} cannot be started", why=error.strerror or str(error)
                ) from error
            status = self._wait_command(self._command)
            self._command = None
            note.text = f"{command[0]} ended with status {status}"
            if status:
                note.state = "failed"
        return status

    def _environ_of_tests(self) -> dict[str, str]:
        """The job's environment with the proxy settings, without our secrets: tests need none of them."""
        secrets = {variable.name for variable in VARIABLES.values() if variable.secret}
        kept = {name: value for name, value in self._stage.environ.items() if name not in secrets}
        return kept | self.environment

    def _wait_command(self, command: "subprocess.Popen[bytes]") -> int:
        looked = self._stage.waiter.now()
        while (status := command.poll()) is None:
            self._stage.waiter.pause(_TICK)
            if self._stage.waiter.now() - looked > _CHECK_PERIOD:
                looked = self._stage.waiter.now()
                self._look_at_recorder()
        self._look_at_recorder()
        return status if status >= 0 else 128 - status

    def _look_at_recorder(self) -> None:
        """Tell at once when the recorder is gone; the tests go on, and what it kept is kept.

        An engine that does not answer may come back, and the recorder may have gone on without it.
        """
        if self._node is None or self._lost is not None:
            return
        runtime = self._stage.runtime
        try:
            ended = runtime.ended(self._node)
            log = runtime.log(self._node) if ended is not None else ""
        except FatalError as error:
            if not self._unseen:
                self._stage.listener.note(f"the recorder cannot be seen: {error.what}: {error.why}")
            self._unseen = True
            return
        if self._unseen:
            self._stage.listener.note("the recorder can be seen again")
            self._unseen = False
        if ended is not None:
            self._lost = nodes.explain_end(log, ended, "the recorder ended while the tests ran")
            self._stage.listener.note(f"the recorder is gone: {self._lost.what}")

    def _wait_for_sight(self) -> None:
        """Give an engine that is started anew time to come back; after that its error is the answer."""
        since = self._stage.waiter.now()
        self._look_at_recorder()
        while self._unseen and self._stage.waiter.now() - since < self._stage.settings.fast_stop_timeout:
            self._stage.waiter.pause(_CHECK_PERIOD)
            self._look_at_recorder()

    def stop_recording(self) -> str:
        """Stop and remove the recorder, bring its record; returns the record's id.

        Raises FatalError when the recorder had ended before it was told to: the record is kept, not complete.
        """
        with self._stage.step(5) as note:
            if self._node is None:
                raise UsageError(
                    "no node of this job is recording",
                    why=f"looked for one that was started for {self._stage.workspace.root}",
                    hint="start one with fastci record, from the same folder",
                )
            recorder = self._node
            self._wait_for_sight()
            ended = nodes.end(
                self._stage.runtime, recorder, self._stage.waiter, self._stage.settings.fast_stop_timeout
            )
            if recorder.ours and ended.status not in (0, None) and self._lost is None:
                # Ours ends with 0 when it is asked to: this one was failing just then.
                log = self._stage.runtime.log(recorder)
                self._lost = nodes.explain_end(log, ended, "the recorder failed while it was ended")
            found = self._take_record(recorder)
            if self._lost is not None:
                kept = (
                    f"{self.record_id} holds what was recorded until then"
                    if found
                    else "nothing was recorded"
                )
                self._lost.hint = "; ".join(filter(None, [self._lost.hint, kept]))
                raise self._lost
            if ended.status != 0 and ended.reason:
                self._stage.listener.note(f"{recorder.name}: {ended.reason}")
            note.text = found
        return self.record_id

    def find_recorder(self) -> bool:
        """Whether a recorder that `fastci record` left running for this job is carried by this runtime.

        Of this build, where one is named; a step that names none means the job's own, whatever it is for.
        """
        build = self._stage.settings.build_id
        return self._find(lambda labels: build in ("", labels.build_id))

    def _find(self, admits: Callable[[Labels], bool]) -> bool:
        for node in self._stage.runtime.find():
            if self._is_forgotten(node) and admits(node.labels):
                self._node, self.record_id, self._used = node, node.labels.record_id, True
                if not node.ours:
                    self.record_id = _record_in(self._stage.runtime.log(node))
                return True
        return False

    def _is_forgotten(self, node: Node) -> bool:
        labels = node.labels
        return labels.job == self._stage.key and labels.mode is Mode.RECORDING and not labels.owner

    def _replace_forgotten(self, tended: bool) -> None:
        """A second `fastci record` takes the place of the first; what that one recorded is kept."""
        build = self._stage.settings.build_id
        if tended or not self._find(lambda labels: labels.build_id == build) or self._node is None:
            return
        self._stage.listener.note(f"{self._node.name} was still recording for this job; it is stopped first")
        nodes.end(self._stage.runtime, self._node, self._stage.waiter, self._stage.settings.fast_stop_timeout)
        self._stage.listener.note(self._take_record(self._node) or "it had recorded nothing")
        self.record_id = ""

    def _take_record(self, recorder: Node) -> str:
        """Bring the record and remove the node; says what was brought."""
        log = self._stage.keep_log(recorder)
        for line in (*_seen_in(log), *_advice_in(log)):
            self._stage.listener.note(line)
        self._stage.runtime.fetch(recorder, Place.RECORDS, self._stage.workspace.records)
        self._stage.runtime.remove(recorder)
        self._node = None
        if not recorder.ours:
            return f"{self.record_id or 'the record'} is kept by the node's own cloud"
        if not self._stage.workspace.has_record(self.record_id):
            self._stage.workspace.give_up(record_id=self.record_id)
            return ""
        count = re.search(r"(\d+) baseline requests? recorded", log)
        counted = f", {count[0]}" if count else ""
        return f"{self._stage.workspace.records / self.record_id}.sqlite{counted}"

    def _drop(self, recorder: Node) -> str:
        """Remove a node that no test came to: an empty record would only be in the way of the last one."""
        self._stage.keep_log(recorder)
        self._stage.runtime.remove(recorder)
        self._node = None
        return ""

    def close(self) -> None:
        """End the tests and the recorder; what was recorded is kept. May be called again."""
        if self._command is not None:
            sessions.end_session(self._command.pid, self._stage.waiter, list(_ASKS))
            # Reaped where it is dead; what the kernel does not let die is not waited for.
            self._command.poll()
            self._command = None
        if self._node is not None:
            self._stage.end_and_take(self._node, self._take_record if self._used else self._drop)
        self._stage.workspace.give_up(record_id=self._reserved)


def _record_in(log: str) -> str:
    line = READY_LINE.search(log)
    found = re.search(r"rec_\d+", line[0]) if line else None
    return found[0] if found else ""


def _seen_in(log: str) -> list[str]:
    """A line that counts by kind what passed the recorder without being recorded, where anything did."""
    kinds: Counter[str] = Counter()
    for number, kind in re.findall(r"^\[info\] seen, not recorded: (\d+) x (\S+)", log, re.M):
        kinds[kind] += int(number)
    told = ", ".join(f"{number} x {kind}" for kind, number in sorted(kinds.items()))
    return [f"seen, not recorded: {told}"] if told else []


def _advice_in(log: str) -> list[str]:
    """What the recorder said at its end about requests that it did not record."""
    _, _, end = log.partition(" recorded\n")
    return re.findall(r"^\[warn\] (.+)$", end, re.M)


def _plain_hosts(allowed: str) -> list[str]:
    """Of ALLOWED_HOSTS those that name one host."""
    words = re.split(r"[\s,;]+", allowed)
    return [word for word in words if word and not re.search(r"[*~()|^$\\]", word) and word[0] != "."]

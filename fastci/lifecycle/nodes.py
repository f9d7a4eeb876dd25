"""What is done with a node, the same for every runtime: wait, end, collect, remove, sweep."""

import re
import signal
import time
from collections.abc import Callable

from fastci.errors import ExitStatus, FatalError, TechnicalError
from fastci.lifecycle.interrupts import Waiter
from fastci.lifecycle.runtime import Ended, Node, Runtime

Say = Callable[[str], None]

_FIRST_TICK = 0.01
_LAST_TICK = 0.25
_GROWTH = 0.05
"""Of what was waited for so far, the next pause: what is late is late by this part of the whole at most."""
_LOG_TICK = 1.0
_SHOWN_LINES = 15


def wait_ready(runtime: Runtime, node: Node, waiter: Waiter, timeout: float) -> str:
    """Wait until the node records; returns its proxy URL. Raises FatalError with the node's own words."""
    since = waiter.now()
    while True:
        url = runtime.proxy_url(node)
        if url:
            return url
        ended = runtime.ended(node)
        if ended is not None:
            raise explain_end(runtime.log(node), ended, "the node ended before it was ready")
        if waiter.now() - since > timeout:
            raise TechnicalError(
                f"the node is not ready after {timeout:g} s",
                why=_tail(runtime.log(node)) or "it printed nothing",
                hint="raise FAST_START_TIMEOUT if it only needs longer",
            )
        _pause(waiter, since)


def wait_end(runtime: Runtime, node: Node, waiter: Waiter, progress: Say) -> Ended:
    """Wait until the node ends by itself; `progress` is given each console line once."""
    since, shown, read = waiter.now(), 0, 0.0
    while True:
        ended = runtime.ended(node)
        if ended is not None or waiter.now() - read > _LOG_TICK:
            read = waiter.now()
            for line in runtime.log(node).splitlines(keepends=True)[shown:]:
                if line.endswith("\n") or ended is not None:
                    progress(line.rstrip())
                    shown += 1
        if ended is not None:
            return ended
        _pause(waiter, since)


def end(runtime: Runtime, node: Node, waiter: Waiter, grace: float) -> Ended:
    """Ask the node to end and see to it that it does: killed after `grace` seconds."""
    since, asked = waiter.now(), False
    while (ended := runtime.ended(node)) is None:
        elapsed = waiter.now() - since
        if elapsed > waiter.grace(grace):
            runtime.kill(node)
            return Ended(status=None, reason=f"it did not end within {elapsed:.0f} s and was killed")
        if not asked:
            runtime.ask_to_end(node)
            asked = True
        _pause(waiter, since)
    return ended


def _pause(waiter: Waiter, since: float) -> None:
    waiter.pause(min(max(_FIRST_TICK, _GROWTH * (waiter.now() - since)), _LAST_TICK))


def sweep(runtime: Runtime, say: Callable[[str], None]) -> None:
    """Remove what crashed jobs left behind, and say what.

    What cannot be removed, as another job is at it or its engine is ill, is no reason to end this one.
    """
    for node in runtime.find():
        if node.labels.is_leftover(time.time()):
            try:
                runtime.remove(node)
                say(f"removed {node.name}, left by a job that crashed")
            except TechnicalError as error:
                say(f"left by a job that crashed: {error.what}")
    for name in runtime.remove_rest(lambda labels: labels.is_leftover(time.time())):
        say(f"removed {name}, left by a job that crashed")


def explain_end(log: str, ended: Ended, what: str) -> FatalError:
    """The error that made a node end, in its own words where it gave them in the form of FatalError.lines."""
    status = ExitStatus.TECHNICAL
    if ended.status in list(ExitStatus) and ended.status not in (ExitStatus.PASSED, ExitStatus.VULNERABLE):
        status = ExitStatus(ended.status)
    block = re.findall(r"^error: .+(?:\n {2}.+)*", log, re.M)
    if block:
        head, *facts = block[-1].splitlines()
        told = {"why": "", "to do": ""}
        rest = []
        for fact in facts:
            name, _, text = fact.strip().partition(": ")
            if name in told:
                told[name] = text
            else:
                rest.append(fact.strip())
        why = "; ".join(filter(None, [told["why"], *rest, ended.reason]))
        return _with_status(TechnicalError(head.removeprefix("error: "), why=why, hint=told["to do"]), status)
    shown = "" if ended.status is None else f" (status {ended.status})"
    reason = ended.reason
    if not reason and ended.status == 128 + signal.SIGKILL:
        # Not every engine knows when the kernel did it.
        reason = "it was killed; perhaps it was out of memory (FAST_MEMORY)"
    why = "; ".join(filter(None, [reason, _tail(log)])) or "it printed nothing"
    return _with_status(TechnicalError(what + shown, why=why), status)


def _with_status(error: FatalError, status: ExitStatus) -> FatalError:
    error.status = status
    return error


def _tail(log: str) -> str:
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    return "\n       ".join(["the last lines of its log:", *lines[-_SHOWN_LINES:]]) if lines else ""

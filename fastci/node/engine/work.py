"""Who does the work of a run: this process, or several that share the baselines.

Several processes each read the record and decide alike on every baseline, test every n-th, and wait for each
other between the steps of a run; what must be alone in the run is granted to one after the other.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Protocol

import uvloop

from fastci import results
from fastci.node.engine.check import Check
from fastci.node.engine.scheduler import STEPS, Scheduler, Share, Task
from fastci.node.oob import Callback, Log
from fastci.node.store import Baseline, Record, Store

_GRACE = 8.0
"""Seconds that processes get to hand over what they know after they were told to stop."""

_TELL_EVERY = 1.0
_ONE_AT_A_TIME = ("alone", "destroy")


@dataclass(kw_only=True)
class Outcome:
    """What is known of a run, at its end or on the way. `faults` are for `Run.messages`.

    `whole` is False when something was lost on the way.
    """

    checks: list[Check | results.BaselineCheck] = field(default_factory=list)
    done: int = 0
    requests: int = 0
    rate: float = 0.0
    faults: list[str] = field(default_factory=list)
    whole: bool = True


class Work(Protocol):
    """`run` may be cancelled; `finish` comes after it in any case and gives what is known then."""

    async def run(self) -> None: ...

    def progress(self) -> Outcome: ...

    async def finish(self) -> Outcome: ...


def processes_of(wanted: int) -> int:
    """The number of processes for the setting PROCESSES, where 0 stands for `auto`: half of the CPUs."""
    return wanted or max(1, (os.cpu_count() or 2) // 2)


class OwnWork:
    """All of it in this process."""

    def __init__(
        self,
        task: Task,
        baselines: Iterable[Baseline],
        *,
        say: Callable[[str], None],
        on_found: Callable[[], None],
        log: Log,
    ) -> None:
        self._baselines = baselines
        self._ended = False
        self._scheduler = Scheduler(task, say=say, on_found=on_found, gate=no_gate, share=Share(), log=log)

    async def run(self) -> None:
        await self._scheduler.work(self._baselines)
        self._ended = True

    def progress(self) -> Outcome:
        return _outcome(self._scheduler)

    async def finish(self) -> Outcome:
        if not self._ended:
            self._scheduler.list_the_rest()
        return _outcome(self._scheduler)


class SharedWork:
    """Spread over processes. Each tells (word, what) over its pipe, and is told steps, callbacks, "stop"."""

    def __init__(
        self,
        task: Task,
        record: Record,
        count: int,
        *,
        say: Callable[[str], None],
        on_found: Callable[[], None],
        log: Log,
    ) -> None:
        log.tell(self._pass_on)
        self._say = say
        self._on_found = on_found
        self._outcomes = [Outcome() for _ in range(count)]
        self._waiting: list[str] = [""] * count
        self._over = [asyncio.Event() for _ in range(count)]
        self._failure = asyncio.get_running_loop().create_future()
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for index in range(count):
            ours, theirs = context.Pipe()
            arguments = (task, record, Share(index=index, count=count), theirs)
            process = context.Process(target=_be_a_share, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for index, pipe in enumerate(self._pipes):
            loop.add_reader(pipe.fileno(), self._hear, index)
        ended = asyncio.ensure_future(asyncio.wait([asyncio.ensure_future(e.wait()) for e in self._over]))
        await asyncio.wait([ended, self._failure], return_when=asyncio.FIRST_COMPLETED)

    def progress(self) -> Outcome:
        return _summed(self._outcomes)

    async def finish(self) -> Outcome:
        """Stop what still runs, wait for what it knows, end it for good after a while."""
        for index, pipe in enumerate(self._pipes):
            if not self._over[index].is_set():
                with contextlib.suppress(OSError):
                    _send(pipe, "stop")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                for over in self._over:
                    await over.wait()
        loop = asyncio.get_running_loop()
        for index, (pipe, process) in enumerate(zip(self._pipes, self._processes, strict=True)):
            if not self._over[index].is_set():
                self._lost(index, "a process of the run did not stop in time")
            loop.remove_reader(pipe.fileno())
            pipe.close()
            process.terminate()
            await loop.run_in_executor(None, process.join, _GRACE)
        return _summed(self._outcomes)

    def _pass_on(self, callback: Callback) -> None:
        """One process listens; whose token it is the others know themselves."""
        for index, pipe in enumerate(self._pipes):
            if not self._over[index].is_set():
                with contextlib.suppress(OSError):
                    _send(pipe, callback)

    def _hear(self, index: int) -> None:
        try:
            word, what = _receive(self._pipes[index])
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._pipes[index].fileno())
            if not self._over[index].is_set():
                self._lost(index, "a process of the run ended before its work was done")
            return
        match word:
            case "say":
                self._say(what)
            case "found":
                self._on_found()
            case "progress":
                self._outcomes[index] = what
            case "step":
                self._waiting[index] = what
                self._open_gates()
            case "over":
                self._outcomes[index] = what
                self._over[index].set()
                self._open_gates()

    def _lost(self, index: int, what: str) -> None:
        self._outcomes[index].whole = False
        self._outcomes[index].faults.append(f"Internal exception: {what}; its results are missing")
        self._over[index].set()
        if not self._failure.done():
            self._failure.set_result(None)

    def _open_gates(self) -> None:
        """Let those go on whom nobody has to be waited for."""
        busy = [i for i, over in enumerate(self._over) if not over.is_set() and not self._waiting[i]]
        if busy:
            return
        waiting = [i for i, step in enumerate(self._waiting) if step and not self._over[i].is_set()]
        if not waiting:
            return
        earliest = min((self._waiting[i] for i in waiting), key=STEPS.index)
        ready = [i for i in waiting if self._waiting[i] == earliest]
        for index in ready[:1] if earliest in _ONE_AT_A_TIME else ready:
            self._waiting[index] = ""
            _send(self._pipes[index], earliest)


async def no_gate(step: str) -> None:
    """A process of its own waits for nobody."""


def _outcome(scheduler: Scheduler) -> Outcome:
    sender = scheduler.sender
    return Outcome(
        checks=scheduler.checks,
        done=scheduler.done,
        requests=sender.meter.total,
        rate=sender.meter.rate(),
        faults=[f"Connection failed: {reason}" for reason in sender.down()],
    )


def _summed(outcomes: list[Outcome]) -> Outcome:
    faults = [fault for outcome in outcomes for fault in outcome.faults]
    return Outcome(
        checks=[check for outcome in outcomes for check in outcome.checks],
        done=sum(outcome.done for outcome in outcomes),
        requests=sum(outcome.requests for outcome in outcomes),
        rate=sum(outcome.rate for outcome in outcomes),
        faults=list(dict.fromkeys(faults)),
        whole=all(outcome.whole for outcome in outcomes),
    )


def _send(pipe: Connection, what: Any) -> None:
    """Send all of it: what the event loop watches is non-blocking, and a large message would break off."""
    os.set_blocking(pipe.fileno(), True)
    pipe.send(what)


def _receive(pipe: Connection) -> Any:
    """One whole message; what begins to arrive is on its way. Raises EOFError or OSError."""
    os.set_blocking(pipe.fileno(), True)
    return pipe.recv()


def _be_a_share(task: Task, record: Record, share: Share, pipe: Connection) -> None:
    """The main function of a process that tests a share."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError, EOFError):
        uvloop.run(_work_on_share(task, record, share, pipe))


async def _work_on_share(task: Task, record: Record, share: Share, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[str] = asyncio.Queue()
    log = Log(task.offer.word)

    def tell(word: str, what: Any = None) -> None:
        _send(pipe, (word, what))

    def hear() -> None:
        try:
            order = _receive(pipe)
        except (EOFError, OSError):
            order = "stop"
            loop.remove_reader(pipe.fileno())
        if isinstance(order, Callback):
            log.add(order)
        elif order == "stop":
            work.cancel()
        else:
            orders.put_nowait(order)

    async def gate(step: str) -> None:
        tell("step", step)
        await orders.get()

    scheduler = Scheduler(
        task,
        say=lambda line: tell("say", line),
        on_found=lambda: tell("found"),
        gate=gate,
        share=share,
        log=log,
    )

    async def report() -> None:
        while True:
            await asyncio.sleep(_TELL_EVERY)
            known = _outcome(scheduler)
            known.checks = []
            tell("progress", known)

    store = Store(record.path.parent.parent, key=task.settings.fast_record_key)
    work = asyncio.ensure_future(scheduler.work(store.baselines(record)))
    loop.add_reader(pipe.fileno(), hear)
    reporter = asyncio.ensure_future(report())
    try:
        await work
    except asyncio.CancelledError:
        scheduler.list_the_rest()
    finally:
        reporter.cancel()
        loop.remove_reader(pipe.fileno())
    outcome = _outcome(scheduler)
    for check in outcome.checks:
        if isinstance(check, Check):
            check.item.observers.clear()
    tell("over", outcome)

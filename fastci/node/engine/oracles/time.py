"""Oracle `time`: the answer is as late as the payload says, for several delays.

The attack's payload holds the word of the delay; it is sent with whole seconds in its place. Most points cost
one request: an answer that comes before the first delay has passed ends the matter. What is late is asked
again without delay and with others, chosen beyond all lateness the target has of its own.
"""

import math
from collections.abc import Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.client import ANSWER_TIMEOUT
from fastci.node.engine.confirm import Probe
from fastci.node.engine.sender import Reply

FIRST_DELAY = 2
LONGEST_DELAY = 15
_ZEROS = 3
_EARLY = 0.05
"""Seconds an answer may come before its delay has passed: clocks of two machines differ a little."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One answer: `delay` seconds asked for, `elapsed` seconds taken."""

    delay: int
    elapsed: float


def judge_delays(control: float) -> Generator[int, float, list[Sample] | None]:
    """Decide from answer times alone: yields the delay to ask for next, is sent the seconds the answer took.

    Returns the samples when the lateness follows the delays, None when it does not. `control` is what the
    unmodified request took. An answer of a delayed request must never come before its delay; one without
    delay must be far from the longest; and what is beyond the target's own time must grow in proportion.
    """
    samples: list[Sample] = []
    first = min(max(FIRST_DELAY, math.ceil(2 * control)), LONGEST_DELAY)

    def ask(delay: int) -> Generator[int, float, bool]:
        elapsed = yield delay
        samples.append(Sample(delay=delay, elapsed=elapsed))
        return elapsed >= delay - _EARLY

    if not (yield from ask(first)):
        return None
    for _ in range(_ZEROS):
        yield from ask(0)
        if samples[-1].elapsed < first / 4:
            break
    own = max([control, *(s.elapsed for s in samples if not s.delay)])
    if min(s.elapsed for s in samples if not s.delay) >= first:
        return None
    longest = max(first + 3, math.ceil(1.5 * own) + 2)
    if longest > LONGEST_DELAY:
        return None
    for delay in (longest, 0, first + 1, longest - 1):
        late = yield from ask(delay)
        if not late or (not delay and samples[-1].elapsed > 0.6 * longest):
            return None
    return samples if _in_proportion(samples) else None


def _in_proportion(samples: list[Sample]) -> bool:
    """Whether lateness is k x delay within the target's own noise; a query may sleep once a row."""
    zeros = [s.elapsed for s in samples if not s.delay]
    base, noise = sum(zeros) / len(zeros), max(zeros) - min(zeros)
    delayed = [s for s in samples if s.delay]
    k = sum(s.elapsed - base for s in delayed) / sum(s.delay for s in delayed)
    slack = 0.4 + 2 * max(noise, base)
    return k > 0.7 and all(abs(s.elapsed - base - k * s.delay) <= slack + 0.15 * k * s.delay for s in delayed)


async def decide_time(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Send `attack` with several delays; the evidence when the lateness follows them.

    What follows the first late answer is asked while nobody else measures.
    """
    if probe.point is None:
        return None
    judge, channel = judge_delays(probe.control.elapsed), probe.channel
    longest = LONGEST_DELAY + (channel.patience if channel.hurried else ANSWER_TIMEOUT)
    replies: list[tuple[Attack, Reply]] = []
    delay = next(judge)
    async with AsyncExitStack() as stack:
        while True:
            crafted = probe.extension.craft(
                probe.point, attack.template, attack.method, probe.markers.fresh(), probe.markers,
                delay=str(delay),
            )  # fmt: skip
            with channel.delays.under_way():
                reply = await channel.send(crafted.request, timeout=longest)
            if not reply.response.status:
                return None
            replies.append((crafted, reply))
            try:
                delay = judge.send(reply.elapsed)
            except StopIteration as end:
                return _evidence(end.value, replies) if end.value else None
            if len(replies) == 1:
                await stack.enter_async_context(channel.delays.one)


def _evidence(samples: list[Sample], replies: list[tuple[Attack, Reply]]) -> results.Evidence:
    """The longest delay is the attack, the next one its confirmation, no delay at all the control."""
    order = sorted(range(len(samples)), key=lambda i: samples[i].delay)
    control, second, longest = (replies[order[i]] for i in (0, -2, -1))
    times = ", ".join(f"{s.delay} s asked: {s.elapsed:.2f} s taken" for s in samples)
    return results.Evidence(
        payload=longest[0].payload,
        matched=f"the answer is as late as the payload says: {times}",
        attack=longest[1].exchange(),
        confirmation=second[1].exchange(),
        control=control[1].exchange(),
    )

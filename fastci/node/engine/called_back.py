"""From a callback to a proof: it comes again for a fresh marker, and not for a text that names the address.

What looks up or fetches every address it meets (a link preview, a log viewer) does so for a plain text too,
and has not run the command or read the document that an attack meant to be run or read.
"""

from dataclasses import dataclass, replace
from itertools import islice

from fastci import results
from fastci.node.dsl import Attack, Match
from fastci.node.engine.confirm import Answer, Probe, evidence_of
from fastci.node.engine.hearing import Waiting
from fastci.node.message import Response


@dataclass(frozen=True, kw_only=True)
class CalledBack:
    """A flaw that callbacks show. `settled` is False where the repetition still waits for its own.

    `again` and `control` are then the DNS_MARKERs to look at when the run ends.
    """

    evidence: results.Evidence
    settled: bool
    again: str
    control: str


async def confirm_at_once(probe: Probe, attack: Attack, answer: Answer) -> CalledBack | None:
    """Decide on an attack that was called back while its answer was looked at."""
    again = probe.extension.again(attack, probe.markers)
    repetition = await probe.ask(again, is_control=True)
    return await _decide(probe, attack, answer, again=again, repetition=repetition)


async def confirm_later(probe: Probe, waiting: Waiting) -> CalledBack | None:
    """Decide on a request that was called back after its answer had been looked at: it is made again."""
    assert probe.ear is not None
    attacks = probe.extension.attacks(probe.request, probe.point, probe.markers)
    again = next(islice(attacks, waiting.number, None), None)
    if again is None:
        return None
    answer = await probe.ask(again, is_control=True)
    kinds = " and ".join(kind.upper() for kind in sorted(probe.ear.kinds(waiting.domain)))
    first = Match(what=f"{waiting.domain} was called back by {kinds}", excerpt=probe.ear.told(waiting.domain))
    late = probe.ear.hearing.delay(waiting.domain)
    note = f"called back {late:.1f} s after the first such request; the exchange shown is its repetition"
    shown = Answer(direct=answer.direct, match=first, note=note)
    return await _decide(probe, again, shown, again=again, repetition=None, first=waiting.domain)


async def _decide(
    probe: Probe, attack: Attack, answer: Answer, *, again: Attack, repetition: Answer | None, first: str = ""
) -> CalledBack | None:
    ear = probe.ear
    assert ear is not None
    patience = ear.hearing.patience(first or attack.markers.domain)
    came = await ear.hearing.wait(lambda: _shows(probe, again), patience)
    if not came and not probe.extension.detection.delayed_oob:
        return None
    control = probe.extension.inert(probe.request, probe.point, probe.markers, like=attack)
    if control is None:
        control = replace(attack, request=probe.request, markers=probe.markers.fresh())
    silent = await probe.ask(control, is_control=True)
    if await ear.hearing.wait(lambda: bool(ear.kinds(control.markers.domain)), patience):
        return None
    evidence = evidence_of(attack, answer, repetition=repetition, control=silent)
    return CalledBack(
        evidence=evidence, settled=came, again=again.markers.domain, control=control.markers.domain
    )


def _shows(probe: Probe, attack: Attack) -> bool:
    match = probe.extension.detect(attack, Response(status=0), probe.ear) if probe.ear else None
    return match is not None

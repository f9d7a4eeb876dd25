"""The fuzzer on the wire: sends what `node.fuzzer` asks for and tells it what the answers look like."""

import html
import math
import random
import re
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from fastci import results
from fastci.node.dsl import Attack, Extension
from fastci.node.dsl.detect import Detection
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.confirm import Probe
from fastci.node.engine.likeness import spellings
from fastci.node.engine.sender import Reply
from fastci.node.fuzzer import Anomaly, Recipe, Seen, Trial, fuzz
from fastci.node.vulnerabilities import VULNERABILITIES

_LARGEST = 512 << 10
_WORD = re.compile(r"\b(?:[a-z]{4,}|[A-Z][a-z]{3,}|[A-Z]{4,})\b")
_CONTROLS = 7
_THREAT = 40


def fuzzing(recipe: Recipe) -> Extension:
    """The fuzzer as a check among the others: it goes through the same plan, channel, budget and coverage."""
    facts = VULNERABILITIES["anomaly"]
    return Extension(
        name="fuzzer", type="anomaly", title=facts.title, threat=_THREAT, builtin=False, cwe=facts.cwe,
        description="Some bytes in the value change the answer in a way that harmless ones never do.",
        remediation=facts.remediation, detection=Detection(), oracle="fuzzing",
        oracle_options={"recipe": recipe, "requests": _CONTROLS + math.ceil(255 / recipe.size)},
    )  # fmt: skip


async def decide_anomaly(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Fuzz one point; the evidence lists every guilty byte."""
    point = probe.point
    if point is None:
        return None
    game = fuzz(point.value, probe.extension.oracle_options["recipe"], random.Random(attack.markers.text))
    trial = next(game)
    while True:
        reply = await probe.channel.send(point.write(trial.value))
        trial.reply = reply
        try:
            trial = game.send(see(reply, trial))
        except StopIteration as end:
            return _evidence(end.value) if end.value else None


def see(reply: Reply, trial: Trial) -> Seen:
    """What the fuzzer looks at, without the echo of what was sent."""
    response = reply.response
    if not response.status:
        return Seen(status=0, time=reply.elapsed, timed_out="time" in reply.failure.lower())
    data = decoded_body(response)[:_LARGEST]
    without = data
    for spelling in _echoes(trial):
        without = without.replace(spelling, b"")
    text = html.unescape(without.decode("utf-8", "replace"))
    root = LexborHTMLParser(data).root if b"<" in data else None
    return Seen(
        status=response.status,
        length=len(data),
        time=reply.elapsed,
        elements=sum(1 for _ in root.traverse(include_text=False)) if root else 0,
        body=data.decode("utf-8", "replace"),
        words=frozenset(_WORD.findall(text)) - frozenset(_WORD.findall(trial.value.decode("latin-1"))),
        weight=len(without),
    )


def _echoes(trial: Trial) -> list[bytes]:
    raw = {trial.value, trial.payload} - {b""}
    texts = {text for each in raw for text in (each.decode("latin-1"), each.decode("utf-8", "replace"))}
    found = raw.union(*(spellings(text) for text in texts))
    # A short echo is everywhere, and weighs nothing.
    return sorted((each for each in found if len(each) > 2), key=len, reverse=True)


def _evidence(anomalies: list[Anomaly]) -> results.Evidence:
    first = anomalies[0]
    guilty = bytes(sorted(byte for anomaly in anomalies for byte in anomaly.guilty))
    reasons: dict[str, bytearray] = {}
    for anomaly in anomalies:
        reasons.setdefault(anomaly.reason, bytearray()).extend(anomaly.guilty)
    notes = [
        f"{_shown(bytes(sorted(group)))}: {reason}"
        if group
        else f"only all of {_payload(a)} together: {reason}"
        for (reason, group), a in zip(reasons.items(), _firsts(anomalies), strict=True)
    ]
    count = "1 byte changes" if len(guilty) == 1 else f"{len(guilty)} bytes change"
    what = f"{count} the answer: {_shown(guilty)}" if guilty else "a run of bytes changes the answer"
    return results.Evidence(
        payload=_payload(first),
        matched=f"{what}; {first.reason}",
        attack=first.trial.reply.exchange(),
        confirmation=first.again.reply.exchange(),
        control=first.control.reply.exchange(),
        notes=notes,
    )


def _firsts(anomalies: list[Anomaly]) -> list[Anomaly]:
    """The first anomaly of each reason."""
    found: dict[str, Any] = {}
    for anomaly in anomalies:
        found.setdefault(anomaly.reason, anomaly)
    return list(found.values())


def _payload(anomaly: Anomaly) -> str:
    return "".join(chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in anomaly.trial.payload)


def _shown(guilty: bytes) -> str:
    """Bytes as ranges: `0x22 ("), 0x80..0xFF`."""
    ranges: list[list[int]] = []
    for byte in guilty:
        if ranges and ranges[-1][1] == byte - 1:
            ranges[-1][1] = byte
        else:
            ranges.append([byte, byte])
    return ", ".join(
        f"0x{a:02X}..0x{b:02X}" if b > a else f"0x{a:02X}" + (f" ({chr(a)})" if 0x20 < a < 0x7F else "")
        for a, b in ranges
    )

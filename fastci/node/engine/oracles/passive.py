"""Oracle `passive`: what the answer to the unmodified request, or the recorded head, already shows.

It sends nothing where nothing is shown; what is shown is asked for once more.
"""

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.confirm import Probe


async def decide_passive(probe: Probe, attack: Attack) -> results.Evidence | None:
    """The evidence where the extension's `response` holds for an answer that no attack brought about."""
    control = probe.control
    if probe.extension.oracle_options["tls"] and probe.channel.target.origin.scheme != "https":
        return None
    if control.response.status and (match := probe.extension.detect(attack, control.response)):
        again = await probe.channel.send(attack.request)
        if not again.response.status or probe.extension.detect(attack, again.response) is None:
            return None
        exchange, confirmation = control.exchange(), again.exchange()
    elif probe.recorded is not None and (match := probe.extension.detect(attack, probe.recorded)):
        recorded = probe.recorded
        exchange = results.Exchange(
            request=attack.request.render(), response=recorded.head(), status=recorded.status, elapsed=0.0
        )
        confirmation = None
    else:
        return None
    matched = match.what + (f": {match.excerpt}" if match.excerpt else "")
    notes = [] if confirmation else ["seen in the recorded answer"]
    return results.Evidence(
        payload="", matched=matched, attack=exchange, confirmation=confirmation, notes=notes
    )

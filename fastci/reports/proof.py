"""The exact piece of an answer that shows a flaw, found again from what a detect said about it.

A detect says what it matched in a line for people: `the body holds 'ORA-00933': ... ORA-00933 ...`, where an
excerpt follows the colon. To point at it, and to look for it again, its bytes in the answer are needed.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress

from fastci.reports.exchange import Message
from fastci.reports.plain import text_of
from fastci.results import Evidence

_LEAST, _MOST = 4, 300
_QUOTED = re.compile(r"'(?:[^'\\]|\\.){1,400}'|\"(?:[^\"\\]|\\.){1,400}\"")
_EXCERPT = ": "
_TOKEN = re.compile(r"[A-Za-z0-9]*\d[A-Za-z0-9]*")


def answer_of(response: Message | None) -> str:
    """Header lines and readable body of a response as text; empty without one."""
    if not response:
        return ""
    return "".join(f"{name}: {value}\r\n" for name, value in response.fields) + text_of(response.readable())


def proof_of(evidence: Evidence, attacked: Message, control: Message | None) -> str:
    """What the answer to the attack holds and that to its control does not, empty when nothing does.

    The first of: what was said to be matched, what is quoted in it, the payload, a marker named in it, the
    excerpt.
    """
    answer, usual = answer_of(attacked), answer_of(control)
    for candidate in _candidates(evidence):
        if _LEAST <= len(candidate) <= _MOST:
            found = _as_it_stands(candidate, answer)
            if found and found not in usual:
                return found
    return ""


def _candidates(evidence: Evidence) -> Iterator[str]:
    matched = evidence.matched
    yield matched
    end = 0
    for quoted in _QUOTED.finditer(matched):
        if _EXCERPT in matched[end : quoted.start()]:
            break
        end = quoted.end()
        with suppress(SyntaxError, ValueError):
            yield ast.literal_eval(quoted[0]).rstrip("…")
    yield evidence.payload
    what, _, excerpt = matched[end:].partition(_EXCERPT)
    yield from _TOKEN.findall(matched[:end] + what)
    yield excerpt.strip("…")


def _as_it_stands(words: str, text: str) -> str:
    """The words as the text has them: blanks there may be line breaks, and more than one."""
    if words in text:
        return words
    pattern = r"\s+".join(map(re.escape, words.split()))
    found = re.search(pattern, text) if pattern else None
    return found[0] if found else ""

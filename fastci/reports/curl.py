"""Every finding as a curl command in a shell script that can be read, picked from and run."""

import re
import shlex
from collections.abc import Iterator

from fastci.reports.plain import count, one_line
from fastci.reports.summary import type_name
from fastci.reports.view import Shown, View

_HEAD = """\
#!/usr/bin/env bash
# {name}: {number}, each as the request that proved it.
#   bash FILE          list them
#   bash FILE 3        send number 3
#   bash FILE all      send all
# Send them only to an application that you may test. A secret that was taken out of this file is read from
# the environment, REDACTED-1 from FAST_SECRET_1.
set -uo pipefail
"""
_TAIL = """\
case "${{1:-list}}" in
  list) list ;;
  all) for number in $(seq 1 {number}); do echo "== $number"; "finding_$number"; echo; done ;;
  *[!0-9]* | "") echo "usage: bash $0 [list | all | NUMBER]" >&2; exit 2 ;;
  *) "finding_$1" ;;
esac
"""
_MARK = re.compile(r"REDACTED-(\d+)")


def render(view: View) -> str:
    findings = view.findings
    head = _HEAD.format(name=one_line(view.run.name), number=count(len(findings), "finding"))
    return "\n".join([head, *_functions(findings), _TAIL.format(number=len(findings))])


def _functions(findings: list[Shown]) -> Iterator[str]:
    yield "list() {"
    yield "  :"
    for number, shown in enumerate(findings, 1):
        finding = shown.finding
        what = f"{type_name(finding.type)}: {one_line(finding.place.method, 20)} {one_line(finding.route)}"
        line = f"{number:>4}  {finding.severity:<6}  {what}, {one_line(finding.point)}"
        yield f"  echo {shlex.quote(line)}"
    yield "}"
    for number, shown in enumerate(findings, 1):
        yield f"finding_{number}() {{"
        yield f"  {with_secrets(shown.curl)}"
        yield "}"
    yield ""


def with_secrets(command: str) -> str:
    """The command with each `REDACTED-n`, quoted or not, as the shell variable FAST_SECRET_n."""
    pieces: list[str] = []
    done = 0
    quote = ""
    for found in re.finditer(rf"['\"]|{_MARK.pattern}", command):
        if found[0] in "'\"":
            quote = "" if quote == found[0] else quote or found[0]
            continue
        value = f"${{FAST_SECRET_{found[1]}:?the secret {found[0]}}}"
        word = value if quote == '"' else f'"{value}"'
        pieces += command[done : found.start()], f"'{word}'" if quote == "'" else word
        done = found.end()
    return "".join([*pieces, command[done:]])

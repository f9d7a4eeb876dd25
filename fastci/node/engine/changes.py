"""What was sent that may change something at the target: a file beside the results, `tr_0001.changes.jsonl`.

One JSON object a line, in the order of sending: time (seconds of the epoch), baseline, what sent it (the name
of an extension, or "control" for the unmodified request and what brings a session back), method, address
without what stands behind the question mark, names of the query's parameters, bytes of the body, status that
came (0: none). No header, no body and no value of a parameter is written, so no secret is; an attack in a
path is shown.
"""

import json
import os
import re
import time
from pathlib import Path

from fastci.node.engine.scope import Target
from fastci.node.message import Request

_NAME = re.compile(rb"([^&=;]{1,100})=")


class Changes:
    """Appends to the file; processes of one run may share it, as each line is one write. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def note(self, baseline: str, by: str, target: Target, request: Request, status: int) -> None:
        """Write down a request that was sent."""
        path, _, query = request.target.partition(b"?")
        line = {
            "time": round(time.time(), 3), "baseline": baseline, "by": by,
            "method": request.method.decode("latin-1"), "url": target.url(path),
            "parameters": [name.decode("latin-1") for name in _NAME.findall(query)],
            "body": len(request.body), "status": status,
        }  # fmt: skip
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)

"""The full report, which is the results file itself: every other format can be rendered from it again."""

import json

from fastci.results import Run, to_document


def render(run: Run) -> str:
    return json.dumps(to_document(run)) + "\n"

"""The full report, which is the results file itself: every other format can be rendered from it again."""

from fastci.results import Run, render_document


def render(run: Run) -> str:
    return render_document(run).decode()

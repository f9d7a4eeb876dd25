"""The full report, which is the results file itself: every other format can be rendered from it again."""

from fastci.reports.view import View
from fastci.results import render_document


def render(view: View) -> str:
    return render_document(view.run).decode()

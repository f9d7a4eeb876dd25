"""Papers to read: manuals of products and certificates of their makers."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, current_app, render_template, request

from shop.fields import Refused
from shop.files import read_file

pages = Blueprint("downloads", __name__)


def _folder(kind: str) -> Path:
    folder: Path = current_app.config["DATA"] / kind
    return folder


def _names(kind: str) -> list[str]:
    return sorted(entry.name for entry in _folder(kind).iterdir())


def _paper(content: bytes) -> Response:
    response = Response(content, mimetype="text/plain")
    response.headers["Content-Disposition"] = "attachment; filename=paper.txt"
    return response


@pages.get("/papers")
def papers() -> str:
    return render_template("papers.html", manuals=_names("manuals"), certificates=_names("certificates"))


@pages.get("/manuals")
def manual() -> Response:
    # flaw: ptrav-manual
    path = _folder("manuals") / request.args.get("file", "")
    try:
        return _paper(read_file(path))
    except (OSError, ValueError):
        raise Refused("We have no such manual.", 404) from None


@pages.get("/certificates")
def certificate() -> Response:
    # twin: ptrav-manual
    wanted = request.args.get("file", "")
    if wanted not in _names("certificates"):
        raise Refused("We have no such certificate.", 404)
    return _paper((_folder("certificates") / wanted).read_bytes())

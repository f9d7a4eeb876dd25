"""Applications that take files and give them out again: as they are, or tamed."""

import re

from fastci.node.message import Request, Response
from fastci.node.points import list_points
from targets.kit import Handler, Pair, page, path_of, post

_BOUND = "xXtea"
_REQUEST = post(
    "/photos/add",
    f'--{_BOUND}\r\nContent-Disposition: form-data; name="photo"; filename="tea.png"\r\n'
    f"Content-Type: image/png\r\n\r\nnot really\r\n--{_BOUND}--\r\n",
    f"multipart/form-data; boundary={_BOUND}",
)
_TYPES = {"html": "text/html", "svg": "image/svg+xml", "txt": "text/plain", "png": "image/png"}


def _store(*, runs: bool, tame: bool) -> Handler:
    kept: dict[str, str] = {}

    def handler(request: Request) -> Response:
        if request.method == b"POST":
            points = {p.name: p.value.decode("utf-8", "replace") for p in list_points(request)}
            name = points.get("POST_MULTIPART_photo_FILENAME_value", "")
            if tame and not name.endswith((".png", ".txt")):
                return page("<p>Pictures only.</p>", 400)
            kept[name] = points.get("POST_MULTIPART_photo_FILE_value", "")
            return page(f"<p>Thank you! See ../kept/{name}</p>")
        name = path_of(request).removeprefix("/kept/")
        if name not in kept:
            return page("none", 404)
        ending, text = name.rpartition(".")[2], kept[name]
        if ending == "php" and runs:
            text = re.sub(r"<\?php echo (\d+)\*(\d+);\?>", lambda m: str(int(m[1]) * int(m[2])), text)
            return page(text)
        return page(text, media_type="text/plain" if tame else _TYPES.get(ending, "application/octet-stream"))

    return handler


def _pair(flaw: str, broken: Handler) -> Pair:
    return Pair(
        detect="upload-acting", flaw=flaw, broken=broken, repaired=_store(runs=False, tame=True),
        request=_REQUEST, point="*",
    )  # fmt: skip


UPLOADS = (
    _pair("scripts run", _store(runs=True, tame=False)),
    _pair("pages given out", _store(runs=False, tame=False)),
)

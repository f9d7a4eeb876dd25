"""Oracle `upload`: a file that should not be taken is taken, and given out so that it acts.

The recorded upload is sent with a file of another kind: a script that prints the result of a calculation, a
page with a mark. The answer must say where it lies, or the recorded file's own address with the new name must
lead there. A script proves more than a page; a picture's type and first bytes are tried before giving up.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urljoin

from fastci import results
from fastci.node.dsl import Attack, Markers
from fastci.node.dsl.reading import read
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.confirm import Probe
from fastci.node.engine.sender import Reply
from fastci.node.message import Request
from fastci.node.points import list_points

_FILE = re.compile(r"(POST_MULTIPART_.+)_FILENAME_value")
_PICTURE = "GIF89a;\n"
_KEPT = (b"host", b"cookie", b"authorization", b"user-agent")
_MOST_PLACES = 4
_FOLDERS = (b"/uploads/", b"/upload/", b"/files/", b"/images/", b"/media/")


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    ending: str
    content: str
    what: str
    type: str = ""


_SCRIPTS = (
    ("php", "<?php echo CALC_MARKER;?>"),
    ("jsp", "<% out.print(CALC_MARKER); %>"),
    ("asp", "<% Response.Write(CALC_MARKER) %>"),
)
_FILES = (
    *(_File(ending=e, content=c, what=f"a script .{e} is run") for e, c in _SCRIPTS),
    _File(
        ending="php", type="image/gif", what="a script sent as a picture is run",
        content=_PICTURE + _SCRIPTS[0][1],
    ),
    _File(ending="html", content="<STR_MARKER>CALC_MARKER", what="a page is given out as HTML"),
    _File(
        ending="svg", type="image/svg+xml", what="a picture with a script is given out as SVG",
        content='<svg xmlns="http://www.w3.org/2000/svg"><script>STR_MARKER()</script></svg>',
    ),
)  # fmt: skip


async def decide_upload(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Try each kind of file at each file part of the request."""
    parts = [m[1] for p in list_points(attack.request) if (m := _FILE.fullmatch(p.name))]
    for part in parts:
        recorded = next(p.value for p in list_points(attack.request) if p.name == f"{part}_FILENAME_value")
        for file in _FILES:
            first = await _try(probe, attack.request, part, recorded, file)
            if first is None:
                continue
            second = await _try(probe, attack.request, part, recorded, file)
            harmless = _File(ending="txt", content="STR_MARKER CALC_MARKER", what="")
            control = await _sent(probe, attack.request, part, harmless, probe.markers.fresh())
            if second is not None:
                return results.Evidence(
                    payload=f"a file .{file.ending}: {file.content}",
                    matched=f"{file.what} at {first[1]}",
                    attack=first[0].exchange(),
                    confirmation=second[0].exchange(),
                    control=control.exchange(),
                    notes=[f"the uploaded file is read at {first[1]}", "the control uploads a plain text"],
                )
    return None


async def _try(
    probe: Probe, request: Request, part: str, recorded: bytes, file: _File
) -> tuple[Reply, str] | None:
    """Upload with fresh markers and look for the file; the upload's reply and the address where it acts."""
    fresh = probe.markers.fresh()
    name = f"{fresh.text}.{file.ending}".encode()
    reply = await _sent(probe, request, part, file, fresh)
    if not 200 <= reply.response.status < 400:
        return None
    for target in list(_places(probe, request, reply, name, recorded))[:_MOST_PLACES]:
        read_back = await probe.channel.send(_get(request, target))
        if _acts(read_back, file, fresh):
            return reply, target.decode("latin-1")
    return None


async def _sent(probe: Probe, request: Request, part: str, file: _File, fresh: Markers) -> Reply:
    values = {
        "_FILENAME_value": f"{fresh.text}.{file.ending}".encode(),
        "_TYPE_value": file.type.encode(),
        "_FILE_value": fresh.fill(file.content).encode(),
    }
    for ending, value in values.items():
        point = next((p for p in list_points(request) if p.name == part + ending), None)
        if point is not None and value:
            request = point.write(value)
    return await probe.channel.send(request)


def _acts(reply: Reply, file: _File, fresh: Markers) -> bool:
    if reply.response.status != 200:
        return False
    reading = read(reply.response)
    if "CALC_MARKER" in file.content and "STR_MARKER" not in file.content:
        return fresh.result in reading.body and fresh.expression not in reading.body
    if file.ending == "svg":
        return reading.media_type == "image/svg+xml" and f"{fresh.text}()" in reading.body
    return reading.is_html and any(p.kind == "tag" and p.text == fresh.text for p in reading.places)


def _places(probe: Probe, request: Request, reply: Reply, name: bytes, recorded: bytes) -> Iterator[bytes]:
    """Addresses inside the target at which the file may lie: those told first, then the customary ones."""
    body = unquote_to_bytes(decoded_body(reply.response))
    told = re.findall(rb"[\w./:%~+-]*" + re.escape(name), body)
    found = [match for match in dict.fromkeys(told) if match != name]
    if recorded:
        found += [p.target.replace(recorded, name) for p in probe.observers if recorded in p.target]
    found += [folder + name for folder in _FOLDERS] if name in told or not found else []
    for address in found:
        target = probe.channel.target.inside(request, address)
        if target is not None:
            yield target
        if not address.startswith((b"/", b"http", b".")):
            yield urljoin("/", address.decode("latin-1")).encode("latin-1")


def _get(request: Request, target: bytes) -> Request:
    fields = tuple(field for field in request.fields if field.name.lower() in _KEPT)
    return Request(method=b"GET", target=target, fields=fields)

"""HTTP Archive 1.2 (http://www.softwareishard.com/blog/har-12-spec/).

What HAR cannot say is added in fields that begin with `_`, as it provides: the heads and bodies byte by byte,
the connection, the functional test. An archive written here is read back to the same bytes; one of another
tool is read as well as it allows, with bodies in the clear and without the framing they had on the wire.
"""

import base64
import binascii
import datetime
import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO
from urllib.parse import parse_qsl, quote_plus, urlsplit

from fastci.node.engine.coding import decoded_body
from fastci.node.interchange.url import NO_RESPONSE, make_request, parse_url
from fastci.node.message import Field, Origin, Request, Response, parse_request, parse_response
from fastci.node.store import Baseline

_FRAMING = frozenset(("content-length", "transfer-encoding", "content-encoding"))


def write_har(file: TextIO, baselines: Iterable[Baseline], *, version: str, comment: str = "") -> int:
    """Write an archive, an entry at a time; returns how many entries it has."""
    creator = {"name": "fast-action", "version": version}
    file.write('{"log": {"version": "1.2", "creator": ' + json.dumps(creator))
    file.write(', "comment": ' + json.dumps(comment) + ', "pages": [], "entries": [')
    count = 0
    for baseline in baselines:
        file.write((",\n" if count else "\n") + json.dumps(_render_entry(baseline)))
        count += 1
    file.write("\n]}}\n")
    return count


def _render_entry(baseline: Baseline) -> dict[str, Any]:
    request, response = baseline.request, baseline.response
    milliseconds = round(baseline.duration * 1000, 3)
    url = f"{baseline.origin}{request.target.decode('latin-1')}"
    shown: dict[str, Any] = {
        "method": request.method.decode("latin-1"),
        "url": url,
        "httpVersion": request.version.decode("latin-1"),
        "cookies": _cookies(request.get_all(b"cookie")),
        "headers": _headers(request.fields),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)
        ],
        "headersSize": len(request.head()),
        "bodySize": len(request.body),
    }
    if request.body:
        kind = (request.get(b"content-type") or b"").decode("latin-1")
        shown["postData"] = {"mimeType": kind, "params": [], "text": request.body.decode("utf-8", "replace")}
    body = decoded_body(response)
    content = {"size": len(body), "mimeType": (response.get(b"content-type") or b"").decode("latin-1")}
    return {
        "startedDateTime": _moment(baseline.started),
        "time": milliseconds,
        "request": shown,
        "response": {
            "status": response.status,
            "statusText": response.reason.decode("latin-1"),
            "httpVersion": response.version.decode("latin-1"),
            "cookies": [],
            "headers": _headers(response.fields),
            "content": {**content, **_text(body)},
            "redirectURL": (response.get(b"location") or b"").decode("latin-1"),
            "headersSize": len(response.head()),
            "bodySize": len(response.body),
        },
        "cache": {},
        "timings": {"send": 0, "wait": milliseconds, "receive": 0},
        "connection": str(baseline.connection),
        "_baseline": baseline.id,
        "_test": baseline.test,
        "_truncated": baseline.truncated,
        "_started": baseline.started,
        "_duration": baseline.duration,
        "_requestHead": _in_base64(request.head()),
        "_requestBody": _in_base64(request.body),
        "_responseHead": _in_base64(response.head()),
        "_responseBody": _in_base64(response.body),
    }


def _headers(fields: tuple[Field, ...]) -> list[dict[str, str]]:
    return [{"name": f.name.decode("latin-1"), "value": f.value.decode("latin-1")} for f in fields]


def _cookies(values: list[bytes]) -> list[dict[str, str]]:
    pairs = [pair.partition(b"=") for value in values for pair in value.split(b";") if pair.strip()]
    return [
        {"name": name.strip().decode("latin-1"), "value": value.strip().decode("latin-1")}
        for name, _, value in pairs
    ]


def _text(body: bytes) -> dict[str, str]:
    try:
        return {"text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"text": _in_base64(body), "encoding": "base64"}


def _in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")


def parse_har(text: str) -> Iterator[Baseline]:
    """The exchanges of an archive, in its order. Raises ValueError naming the entry that makes no sense."""
    document = json.loads(text)
    log = document.get("log") if isinstance(document, dict) else None
    if not isinstance(log, dict) or not isinstance(log.get("entries"), list):
        raise ValueError("there is no log with entries in it")
    for number, entry in enumerate(log["entries"], 1):
        try:
            if "_requestHead" in entry:
                yield _parse_exact(entry)
            else:
                yield _parse_entry(entry)
        except (KeyError, TypeError, AttributeError, ValueError, binascii.Error) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"entry {number}: {what}") from error


def _parse_exact(entry: dict[str, Any]) -> Baseline:
    origin, _ = parse_url(entry["request"]["url"])
    messages = [base64.b64decode(entry[f"_{name}"], validate=True)
                for name in ("requestHead", "requestBody", "responseHead", "responseBody")]  # fmt: skip
    return Baseline(
        sequence=0,
        origin=origin,
        request=parse_request(*messages[:2]),
        response=parse_response(*messages[2:]),
        started=float(entry["_started"]),
        duration=float(entry["_duration"]),
        connection=int(entry.get("connection") or 0),
        test=str(entry.get("_test", "")),
        truncated=bool(entry.get("_truncated")),
    )


def _parse_entry(entry: dict[str, Any]) -> Baseline:
    origin, request = _parse_request(entry["request"])
    connection = str(entry.get("connection", ""))
    return Baseline(
        sequence=0,
        origin=origin,
        request=request,
        response=_parse_response(entry.get("response") or {}),
        started=datetime.datetime.fromisoformat(entry["startedDateTime"]).timestamp(),
        duration=max(float(entry.get("time") or 0), 0) / 1000,
        connection=int(connection) if connection.isdigit() else 0,
        test="",
        truncated=False,
    )


def _parse_request(said: dict[str, Any]) -> tuple[Origin, Request]:
    data = said.get("postData") or {}
    text = data.get("text")
    if text is None:
        text = "&".join(f"{quote_plus(p['name'])}={quote_plus(p.get('value', ''))}"
                        for p in data.get("params") or [])  # fmt: skip
    body = base64.b64decode(text) if data.get("encoding") == "base64" else text.encode()
    headers = [(h["name"], h["value"]) for h in said["headers"] if h["name"].lower() not in _FRAMING]
    if body and data.get("mimeType") and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", data["mimeType"]))
    return make_request(said["method"], said["url"], headers, body)


def _parse_response(said: dict[str, Any]) -> Response:
    status = int(said.get("status") or 0)
    if not status:
        return NO_RESPONSE
    content = said.get("content") or {}
    text = content.get("text") or ""
    body = base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()
    kept = [
        h for h in said.get("headers") or [] if h["name"].lower() not in _FRAMING and h["name"][:1] != ":"
    ]
    # A browser joins repeated headers by line feeds.
    fields = [Field.of(h["name"].encode(), value.encode("utf-8", "surrogateescape"))
              for h in kept for value in h["value"].split("\n")]  # fmt: skip
    fields.append(Field.of(b"Content-Length", b"%d" % len(body)))
    reason = str(said.get("statusText") or "").encode("latin-1", "replace")
    return Response(status=status, reason=reason, fields=tuple(fields), body=body)

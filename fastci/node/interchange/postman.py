"""Postman collections, formats 2.0 and 2.1 (https://schema.postman.com)."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastci.node.interchange.curl import render_form
from fastci.node.interchange.url import make_request, unanswered
from fastci.node.store import Baseline

_VARIABLE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_DEPTH = 10
_RAW_TYPES = {"json": "application/json", "xml": "application/xml", "html": "text/html", "text": "text/plain",
              "javascript": "application/javascript"}  # fmt: skip


def parse_postman(
    text: str, *, variables: Mapping[str, str], folder: Path, started: float
) -> Iterator[Baseline]:
    """The requests of a collection, folder by folder; files of forms are read below `folder`.

    `variables` take the place of the collection's own. Raises ValueError naming the request that makes no
    sense, or the variables that have no value.
    """
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("item"), list):
        raise ValueError("there is no list of items in it; export the collection in format 2.1")
    collection = _Collection(document, variables, folder)
    requests = list(collection.requests(document["item"], document.get("auth"), ""))
    if collection.unknown:
        names = ", ".join(sorted(collection.unknown))
        raise ValueError(f"these variables have no value: {names}; give them by --variable NAME=VALUE")
    for origin, request in requests:
        yield unanswered(origin, request, started)


class _Collection:
    def __init__(self, document: dict[str, Any], variables: Mapping[str, str], folder: Path) -> None:
        own = {v.get("key") or v.get("id"): v.get("value") for v in document.get("variable") or []
               if not v.get("disabled")}  # fmt: skip
        self._variables = {str(k): str(v) for k, v in own.items() if v is not None} | dict(variables)
        self._folder = folder
        self.unknown: set[str] = set()

    def requests(self, items: list[Any], auth: Any, path: str) -> Iterator[Any]:
        for item in items:
            name = f"{path}{item.get('name', 'unnamed')}"
            own = item.get("auth") or auth
            if isinstance(item.get("item"), list):
                yield from self.requests(item["item"], own, f"{name} / ")
            elif item.get("request"):
                before = len(self.unknown)
                try:
                    made = self._request(item["request"], own)
                except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
                    if len(self.unknown) == before:
                        raise ValueError(f"request {name!r}: {error}") from error
                else:
                    yield made

    def _request(self, said: Any, auth: Any) -> Any:
        if isinstance(said, str):
            return make_request("GET", self._filled(said), [], b"")
        headers = [
            (self._filled(header["key"]), self._filled(header.get("value") or ""))
            for header in said.get("header") or []
            if isinstance(header, dict) and not header.get("disabled")
        ]
        kind, body = self._body(said.get("body") or {})
        if kind and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", kind))
        url = self._url(said.get("url") or "")
        url = self._authorize(said.get("auth") or auth or {}, headers, url)
        return make_request(self._filled(said.get("method") or "GET"), url, headers, body)

    def _url(self, said: Any) -> str:
        if isinstance(said, str):
            return self._with_scheme(self._filled(said))
        raw = said.get("raw") or ""
        # `:id` in the path stands for a variable of the URL itself.
        own = {v.get("key"): v.get("value") or "" for v in said.get("variable") or []}
        raw = re.sub(r"(?<=/):([\w-]+)", lambda m: str(own.get(m[1], m[0])), raw)
        return self._with_scheme(self._filled(raw))

    def _with_scheme(self, url: str) -> str:
        return url if "://" in url else f"http://{url}"

    def _body(self, said: dict[str, Any]) -> tuple[str, bytes]:
        mode = said.get("mode")
        if mode == "raw" and said.get("raw"):
            language = ((said.get("options") or {}).get("raw") or {}).get("language", "text")
            return _RAW_TYPES.get(language, ""), self._filled(said["raw"]).encode()
        if mode == "urlencoded":
            pairs = [(self._filled(p["key"]), self._filled(p.get("value") or ""))
                     for p in said.get("urlencoded") or [] if not p.get("disabled")]  # fmt: skip
            text = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)
            return "application/x-www-form-urlencoded", text.encode()
        if mode == "formdata":
            parts = [self._part(p) for p in said.get("formdata") or [] if not p.get("disabled")]
            return render_form(parts)
        if mode == "graphql":
            asked = said.get("graphql") or {}
            values = self._filled(asked.get("variables") or "") or "{}"
            query = {"query": self._filled(asked.get("query") or ""), "variables": json.loads(values)}
            return "application/json", json.dumps(query).encode()
        if mode == "file":
            return "", (self._folder / str((said.get("file") or {}).get("src", ""))).read_bytes()
        return "", b""

    def _part(self, said: dict[str, Any]) -> tuple[str, str, bytes, str]:
        name, kind = self._filled(said["key"]), said.get("contentType") or ""
        if said.get("type") != "file":
            return name, "", self._filled(said.get("value") or "").encode(), kind
        source = said.get("src") or ""
        path = self._folder / (source[0] if isinstance(source, list) else source)
        return name, path.name, path.read_bytes(), kind or "application/octet-stream"

    def _authorize(self, auth: dict[str, Any], headers: list[tuple[str, str]], url: str) -> str:
        kind = auth.get("type", "noauth")
        given = auth.get(kind) or []
        # Format 2.0 has an object here, 2.1 a list of pairs.
        pairs = given.items() if isinstance(given, dict) else [(p.get("key"), p.get("value")) for p in given]
        facts = {str(key): self._filled(str(value or "")) for key, value in pairs}
        if any(name.lower() == "authorization" for name, _ in headers):
            return url
        if kind == "bearer":
            headers.append(("Authorization", f"Bearer {facts.get('token', '')}"))
        elif kind == "basic":
            word = f"{facts.get('username', '')}:{facts.get('password', '')}"
            headers.append(("Authorization", "Basic " + base64.b64encode(word.encode()).decode()))
        elif kind == "apikey":
            if facts.get("in") == "query":
                pair = f"{quote(facts.get('key', ''))}={quote(facts.get('value', ''))}"
                return url + ("&" if "?" in url else "?") + pair
            headers.append((facts.get("key", ""), facts.get("value", "")))
        return url

    def _filled(self, text: str) -> str:
        for _ in range(_DEPTH):
            if not _VARIABLE.search(text):
                break
            text = _VARIABLE.sub(self._value, text)
        return text.replace("\x00", "")

    def _value(self, found: "re.Match[str]") -> str:
        value = self._variables.get(found[1])
        if value is None:
            self.unknown.add(found[1])
            return ""
        return value

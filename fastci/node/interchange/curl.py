"""Files of `curl` commands, as people keep them and as browsers copy them ("Copy as cURL")."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

from fastci.node.interchange.url import make_request, unanswered
from fastci.node.message import Origin, Request
from fastci.node.store import Baseline

_SPACE = re.compile(r"(?:[ \t]|\\\r?\n)+")
_PIECE = re.compile(
    r"""\$'((?:[^'\\]|\\.)*)' | '([^']*)' | "((?:[^"\\]|\\.)*)" | ((?:[^\s'"\\$;&|]|\$(?!')|\\[^\n])+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}
_ESCAPED = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))", re.DOTALL
)
_LONG = {
    "X": "request", "H": "header", "d": "data", "F": "form", "u": "user", "b": "cookie", "A": "user-agent",
    "e": "referer", "G": "get", "I": "head",
}  # fmt: skip
_WITH_VALUE = frozenset((
    "request", "header", "data", "data-raw", "data-ascii", "data-binary", "data-urlencode", "json", "form",
    "form-string", "user", "cookie", "user-agent", "referer", "url", "url-query", "oauth2-bearer",
))  # fmt: skip
_IGNORED_WITH_VALUE = frozenset((
    "output", "max-time", "connect-timeout", "retry", "retry-delay", "proxy", "cacert", "cert", "key",
    "write-out", "dump-header", "cookie-jar", "resolve", "max-redirs", "ciphers", "interface",
    "limit-rate", "noproxy",
))  # fmt: skip
_IGNORED_SHORT_WITH_VALUE = frozenset("omxEwDcUyYzrQPCKT")


def parse_curl(text: str, *, folder: Path, started: float) -> Iterator[Baseline]:
    """The requests of a file's commands, a command a line or several by backslashes; `#` begins a comment.

    `@file` is read below `folder`. Raises ValueError naming the line that makes no sense.
    """
    for line, words in _commands(text):
        if not words or words[0] != "curl":
            raise ValueError(f"line {line}: not a curl command")
        try:
            for origin, request in _Command.read(words[1:], folder).requests():
                yield unanswered(origin, request, started)
        except (ValueError, OSError) as error:
            raise ValueError(f"line {line}: {error}") from error


def _commands(text: str) -> Iterator[tuple[int, list[str]]]:
    at, begin = 0, 0
    words: list[str] = []
    while at < len(text):
        if space := _SPACE.match(text, at):
            at = space.end()
        elif text[at] == "#" and not words:
            at = _line_end(text, at)
        elif text[at] in "\r\n;&|":
            if words:
                yield text.count("\n", 0, begin) + 1, words
            # What the output is piped into is none of our business.
            at, words = (_line_end(text, at) if text[at] in "|&" else at + 1), []
        else:
            begin = begin if words else at
            word, at = _word(text, at)
            words.append(word)
    if words:
        yield text.count("\n", 0, begin) + 1, words


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _word(text: str, at: int) -> tuple[str, int]:
    word = ""
    while piece := _PIECE.match(text, at):
        ansi, single, double, bare = piece.groups()
        if ansi is not None:
            word += _ESCAPED.sub(_unescape, ansi)
        elif single is not None:
            word += single
        elif double is not None:
            word += re.sub(r'\\(["\\$`\n])', lambda found: found[1].strip("\n"), double)
        else:
            word += re.sub(r"\\(.)", r"\1", bare)
        at = piece.end()
    if not word and (at >= len(text) or text[at] not in " \t\r\n;&|\\"):
        if at < len(text) and text[at] in "'\"$":
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1}: a quote is not closed")
    elif at < len(text) and text[at] in "'\"":
        raise ValueError(f"line {text.count(chr(10), 0, at) + 1}: a quote is not closed")
    return word, at


def _unescape(found: "re.Match[str]") -> str:
    in_hex = found[1] or found[2] or found[3]
    if in_hex:
        return chr(int(in_hex, 16))
    return chr(int(found[4], 8)) if found[4] else _ESCAPES.get(found[5], found[5])


class _Command:
    """What one command says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._urls: list[str] = []
        self._method = ""
        self._headers: list[tuple[str, str]] = []
        self._data: list[bytes] = []
        self._query: list[str] = []
        self._parts: list[tuple[str, str, bytes, str]] = []
        self._in_query = False
        self._kind = ""

    @classmethod
    def read(cls, words: list[str], folder: Path) -> "_Command":
        command, left = cls(folder), list(words)
        while left:
            word = left.pop(0)
            if word.startswith("--") and len(word) > 2:
                name, equals, value = word[2:].partition("=")
                if name in _WITH_VALUE or name in _IGNORED_WITH_VALUE:
                    command._take(name, value if equals else _next(left, word))
                else:
                    command._take(name, "")
            elif word.startswith("-") and len(word) > 1:
                command._take_short(word[1:], left)
            else:
                command._urls.append(word)
        return command

    def _take_short(self, letters: str, left: list[str]) -> None:
        for at, letter in enumerate(letters):
            name = _LONG.get(letter, "")
            if name in _WITH_VALUE or letter in _IGNORED_SHORT_WITH_VALUE:
                self._take(name, letters[at + 1 :] or _next(left, f"-{letter}"))
                return
            self._take(name, "")

    def _take(self, name: str, value: str) -> None:
        if name == "request":
            self._method = value
        elif name == "head":
            self._method = self._method or "HEAD"
        elif name == "get":
            self._in_query = True
        elif name == "url":
            self._urls.append(value)
        elif name == "url-query":
            self._query.append(_encoded(value))
        elif name == "header":
            key, colon, rest = value.partition(":")
            if colon and rest.strip():
                self._headers.append((key.strip(), rest.strip()))
            elif value.endswith(";"):
                self._headers.append((value[:-1].strip(), ""))
        elif name == "user":
            self._headers.append(("Authorization", "Basic " + base64.b64encode(value.encode()).decode()))
        elif name == "oauth2-bearer":
            self._headers.append(("Authorization", f"Bearer {value}"))
        elif name in ("cookie", "user-agent", "referer"):
            if name != "cookie" or "=" in value:
                self._headers.append((name.title(), value))
        elif name in ("form", "form-string"):
            self._take_part(value, literal=name == "form-string")
        elif name in ("data", "data-raw", "data-ascii", "data-binary", "data-urlencode", "json"):
            self._take_data(name, value)

    def _take_data(self, name: str, value: str) -> None:
        if name == "data-urlencode":
            self._data.append(_encoded(value).encode())
        elif name != "data-raw" and value.startswith("@"):
            content = (self._folder / value[1:]).read_bytes()
            self._data.append(
                content if name in ("data-binary", "json") else re.sub(rb"[\r\n]", b"", content)
            )
        else:
            self._data.append(value.encode("utf-8", "surrogateescape"))
        self._kind = "application/json" if name == "json" else "application/x-www-form-urlencoded"

    def _take_part(self, value: str, *, literal: bool) -> None:
        name, equals, content = value.partition("=")
        if not equals:
            raise ValueError(f"{value[:60]!r} is not a part of a form")
        if literal or content[:1] not in ("@", "<"):
            text = content if literal else content.partition(";type=")[0]
            self._parts.append((name, "", text.encode(), ""))
            return
        path, _, kind = content[1:].partition(";type=")
        file = self._folder / path.partition(";")[0]
        shown = file.name if content[0] == "@" else ""
        self._parts.append(
            (name, shown, file.read_bytes(), kind or ("application/octet-stream" if shown else ""))
        )

    def requests(self) -> Iterator[tuple[Origin, Request]]:
        if not self._urls:
            raise ValueError("the command names no URL")
        headers, body = list(self._headers), b"&".join(self._data)
        if self._kind == "application/json" and len(self._data) > 1:
            body = b"".join(self._data)
        query = list(self._query)
        if self._in_query and self._data:
            query, body = [*query, body.decode("utf-8", "surrogateescape")], b""
        elif self._parts:
            kind, body = render_form(self._parts)
            headers.append(("Content-Type", kind))
        elif self._data:
            headers = _with_default(headers, "Content-Type", self._kind)
            if self._kind == "application/json":
                headers = _with_default(headers, "Accept", "application/json")
        carries = bool((self._data and not self._in_query) or self._parts)
        method = self._method or ("POST" if carries else "GET")
        headers = _with_default(headers, "Accept", "*/*")
        for url in self._urls:
            full = url if "://" in url else f"http://{url}"
            if query:
                full += ("&" if "?" in full else "?") + "&".join(query)
            yield make_request(method, full, headers, body)


def _next(left: list[str], option: str) -> str:
    if not left:
        raise ValueError(f"{option} needs a value")
    return left.pop(0)


def _with_default(headers: list[tuple[str, str]], name: str, value: str) -> list[tuple[str, str]]:
    known = any(key.lower() == name.lower() for key, _ in headers)
    return headers if known else [*headers, (name, value)]


def _encoded(value: str) -> str:
    """`name=content` with its content encoded, as --data-urlencode does it."""
    name, equals, content = value.partition("=")
    if not equals:
        return quote_plus(value)
    return f"{name}={quote_plus(content)}" if name else quote_plus(content)


def render_form(parts: list[tuple[str, str, bytes, str]]) -> tuple[str, bytes]:
    """Content type and body of a multipart form (RFC 7578) of name, file name, content and content type."""
    boundary = "----fast-action-form"
    while any(boundary.encode() in content for _, _, content, _ in parts):
        boundary += "-"
    body = b""
    for name, file, content, kind in parts:
        quoted = [text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A") for text in (name, file)]
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted[0]}"'.encode()
        body += f'; filename="{quoted[1]}"'.encode() if file else b""
        body += f"\r\nContent-Type: {kind}".encode() if kind else b""
        body += b"\r\n\r\n" + content + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()

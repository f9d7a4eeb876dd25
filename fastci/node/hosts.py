"""Lists of hosts, `ALLOWED_HOSTS` above all, in the forms of nginx `server_name` (spec/node.md)."""

import re
from collections.abc import Iterator

import regex

_MATCH_SECONDS = 0.05
_REMEMBERED = 4096
_PORT = re.compile(r":[0-9]*\Z")


class HostFilter:
    """Decides by host name, without port and case."""

    def __init__(
        self, names: frozenset[str], patterns: tuple[regex.Pattern[str], ...], *, everything: bool
    ) -> None:
        self._names = names
        self._patterns = patterns
        self._everything = everything
        self._known: dict[bytes, bool] = {}

    @classmethod
    def parse(cls, text: str, *, empty: bool = True) -> "HostFilter":
        """A filter from the value of a variable; `empty` is what an empty value decides for every host.

        Raises ValueError saying which word is wrong and why.
        """
        names: set[str] = set()
        patterns: list[regex.Pattern[str]] = []
        words = [word for group in _split(text) for word in _alternatives(group)]
        for word in words:
            if word == "*":
                return cls(frozenset(), (), everything=True)
            if word.startswith("~"):
                patterns.append(_compile(word[1:], word))
            elif "*" in word or word.startswith("."):
                patterns.append(_compile(_wildcard(word), word))
            else:
                names.add(plain_host(word))
        return cls(frozenset(names), tuple(patterns), everything=empty and not words)

    def admits(self, host: str) -> bool:
        """Whether `host`, which may carry a port, is one of them.

        A regular expression that takes too long does not match.
        """
        if self._everything:
            return True
        name = plain_host(host)
        return name in self._names or any(_found(pattern, name) for pattern in self._patterns)

    def admits_header(self, value: bytes) -> bool:
        """The same for the value of a Host header; remembered, as few hosts get many requests."""
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[value] = self.admits(value.decode("latin-1"))
        return known


def plain_host(host: str) -> str:
    """`host` in lower case without port, brackets and the root's dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") < 2:
        host = _PORT.sub("", host)
    return host.rstrip(".")


def _split(text: str) -> Iterator[str]:
    """The values, parted by comma, semicolon or blank outside of brackets."""
    word, depth, escaped, listed = "", 0, False, False
    for letter in text:
        if depth <= 0 and not escaped and not listed and (letter in ",;" or letter.isspace()):
            if word:
                yield word
            word = ""
            continue
        if not escaped:
            if letter in "[]":
                listed = letter == "["
            elif not listed:
                depth += (letter in "({") - (letter in ")}")
        escaped = letter == "\\" and not escaped
        word += letter
    if word:
        yield word


def _alternatives(word: str) -> Iterator[str]:
    """`(a|b)` and `(a|b).example.org` as the names they stand for."""
    group = None if word.startswith("~") else re.match(r"([^()]*)\(([^()]*)\)([^()]*)\Z", word)
    if not group:
        yield word
        return
    for choice in group[2].split("|"):
        yield f"{group[1]}{choice.strip()}{group[3]}"


def _wildcard(word: str) -> str:
    name = word.lower()
    before = after = ""
    if name.startswith("."):
        before, name = r"(?:.*\.)?", name[1:]
    elif name.startswith("*."):
        before, name = r".+\.", name[2:]
    if name.endswith(".*"):
        after, name = r"\..+", name[:-2]
    if "*" in name or not name:
        raise ValueError(f"{word!r}: a * may only be the first or the last part of a name")
    return rf"\A{before}{re.escape(plain_host(name))}{after}\Z"


def _compile(pattern: str, word: str) -> regex.Pattern[str]:
    try:
        return regex.compile(pattern, regex.IGNORECASE)
    except regex.error as error:
        raise ValueError(f"{word!r} is not a regular expression: {error}") from error


def _found(pattern: regex.Pattern[str], name: str) -> bool:
    try:
        return pattern.search(name, timeout=_MATCH_SECONDS) is not None
    except TimeoutError:
        return False

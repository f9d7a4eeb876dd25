"""Byte-exact HTTP/1.x requests and responses, without any I/O.

A message keeps every header line as it came over the wire, so a request that was read and is written
again has the same bytes. Bodies are kept without their transfer coding (RFC 9112, section 7): `render_*`
puts a chunked body back into one chunk.
"""

import re
from dataclasses import MISSING, dataclass, fields
from typing import Any, Self, TypeVar

_LINES = re.compile(rb"[^\n]*\n|[^\n]+")
_T = TypeVar("_T")
_new = object.__new__


def quick(cls: type[_T]) -> type[_T]:
    """A frozen dataclass with slots, made in half the time: for values that every test request needs.

    Nothing guards it while the program runs, which is what costs; that it stays as it is, mypy sees to.
    """
    parameters, lines = _making(cls, "self")
    setattr(cls, "__init__", _function(f"def made(self, {parameters}):\n{lines}", cls))  # noqa: B010 - mypy
    del cls.__setattr__, cls.__delattr__
    return cls


def maker(cls: type[_T]) -> type[_T]:
    """A function that makes values of a `quick` class as calling the class does, in half the time again.

    A call of a class collects its keywords in a dictionary first. To mypy it is the class, so that its
    arguments are checked.
    """
    parameters, lines = _making(cls, "value")
    made: type[_T] = _function(
        f"def made({parameters}):\n    value = _new(_cls)\n{lines}    return value\n", cls
    )
    return made


def _making(cls: type[Any], name: str) -> tuple[str, str]:
    """The parameters of a function that fills in the fields, and the lines of its body that do so."""
    known = fields(cls)
    parameters = [f.name if f.default is MISSING else f"{f.name}=_defaults[{f.name!r}]" for f in known]
    star = "*, " if all(field.kw_only for field in known) else ""
    return star + ", ".join(parameters), "".join(f"    {name}.{f.name} = {f.name}\n" for f in known)


def _function(source: str, cls: type[Any]) -> Any:
    space = {"_defaults": {f.name: f.default for f in fields(cls)}, "_new": _new, "_cls": cls}
    exec(source, space)
    return space["made"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a request was sent: scheme `http` or `https`, host without brackets, port 1..65535."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """`host` or `host:port`, the port left out where the scheme implies it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


@quick
@dataclass(frozen=True, slots=True)
class Field:
    """One header line. `raw` is the whole line with its line end; `name` and `value` are trimmed."""

    name: bytes
    value: bytes
    raw: bytes

    @classmethod
    def of(cls, name: bytes, value: bytes) -> Self:
        return cls(name, value, name + b": " + value + b"\r\n")

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        name, _, value = raw.partition(b":")
        return cls(name.strip(), value.strip(), raw)

    def with_value(self, value: bytes) -> Self:
        """The same line with another value; name, case, spacing and line end stay."""
        if not self.value:
            return type(self)(self.name, value, self.name + b": " + value + b"\r\n")
        start = self.raw.index(self.value, self.raw.index(b":") + 1)
        end = start + len(self.value)
        return type(self)(self.name, value, self.raw[:start] + value + self.raw[end:])


class _Fields:
    """What requests and responses share: looking up and changing header lines. Names match in any case."""

    __slots__ = ()
    fields: tuple[Field, ...]

    def get(self, name: bytes) -> bytes | None:
        """Value of the first header of that name."""
        lower, length = name.lower(), len(name)
        for field in self.fields:
            if len(field.name) == length and field.name.lower() == lower:
                return field.value
        return None

    def get_all(self, name: bytes) -> list[bytes]:
        lower = name.lower()
        return [f.value for f in self.fields if f.name.lower() == lower]

    @property
    def chunked(self) -> bool:
        return any(
            b"chunked" in f.value.lower() for f in self.fields if f.name.lower() == b"transfer-encoding"
        )

    def _framed(self, body: bytes) -> bytes:
        if not self.chunked:
            return body
        return (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"


def _changed(fields: tuple[Field, ...], index: int, value: bytes) -> tuple[Field, ...]:
    return (*fields[:index], fields[index].with_value(value), *fields[index + 1 :])


def _without(fields: tuple[Field, ...], *names: bytes) -> tuple[Field, ...]:
    return tuple(f for f in fields if f.name.lower() not in names)


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Request(_Fields):
    """A request as the origin server receives it: `target` in origin form, body without transfer coding."""

    method: bytes
    target: bytes
    version: bytes = b"HTTP/1.1"
    fields: tuple[Field, ...] = ()
    body: bytes = b""

    def head(self) -> bytes:
        return self._start_line() + b"".join(f.raw for f in self.fields) + b"\r\n"

    def render(self) -> bytes:
        """The bytes that go on the wire."""
        return self._start_line() + self.tail()

    def tail(self) -> bytes:
        """What follows the start line."""
        return b"".join([f.raw for f in self.fields]) + b"\r\n" + self._framed(self.body)

    def _start_line(self) -> bytes:
        return b"%b %b %b\r\n" % (self.method, self.target, self.version)

    def with_target(self, target: bytes) -> "Request":
        changed: Any = _new(Request)  # by hand, as nearly every test request is made here
        changed.method, changed.target, changed.version = self.method, target, self.version
        changed.fields, changed.body = self.fields, self.body
        request: Request = changed
        return request

    def with_field(self, index: int, value: bytes) -> "Request":
        """The header line number `index` with another value."""
        return self._with(_changed(self.fields, index, value), self.body)

    def with_header(self, name: bytes, value: bytes | None) -> "Request":
        """Set the first header of that name, added last when absent; `None` removes all of that name."""
        lower = name.lower()
        if value is None:
            return self._with(_without(self.fields, lower), self.body)
        for index, field in enumerate(self.fields):
            if field.name.lower() == lower:
                return self.with_field(index, value)
        return self._with((*self.fields, Field.of(name, value)), self.body)

    def with_body(self, body: bytes) -> "Request":
        """Another body; Content-Length follows, a chunked request stays chunked."""
        fields = self.fields
        if self.chunked:
            return self._with(fields, body)
        for index, field in enumerate(fields):
            if field.name.lower() == b"content-length":
                return self._with(_changed(fields, index, b"%d" % len(body)), body)
        length = (Field.of(b"Content-Length", b"%d" % len(body)),) if body else ()
        return self._with((*fields, *length), body)

    def _with(self, fields: tuple[Field, ...], body: bytes) -> "Request":
        return _make_request(
            method=self.method, target=self.target, version=self.version, fields=fields, body=body
        )


# What every test request goes through: dataclasses.replace takes many times as long.
_make_request = maker(Request)


@quick
@dataclass(frozen=True, kw_only=True, slots=True)
class Response(_Fields):
    """A response: `status` 0 means that none came. `body` is without transfer coding, still content-coded."""

    status: int
    reason: bytes = b""
    version: bytes = b"HTTP/1.1"
    fields: tuple[Field, ...] = ()
    body: bytes = b""

    def head(self) -> bytes:
        start = self.version + b" %d " % self.status + self.reason + b"\r\n"
        return start + b"".join(f.raw for f in self.fields) + b"\r\n"

    def render(self) -> bytes:
        return self.head() + self._framed(self.body)

    def with_body(self, body: bytes) -> "Response":
        """The same head with another body."""
        changed: Any = _new(Response)  # by hand, as nearly every answer is made here
        changed.status, changed.reason, changed.version = self.status, self.reason, self.version
        changed.fields, changed.body = self.fields, body
        response: Response = changed
        return response


def parse_fields(block: bytes) -> tuple[Field, ...]:
    """Header lines of a head, without the start line and the empty line. Obsolete folding joins lines."""
    lines: list[bytes] = []
    for line in _LINES.findall(block):
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1] += line
        elif line.strip():
            lines.append(line)
    return tuple(Field.parse(line) for line in lines)


def parse_request(head: bytes, body: bytes = b"") -> Request:
    """A request from its head (start line, header lines, empty line) and its decoded body.

    Raises ValueError when the start line has fewer than two words.
    """
    start, _, block = head.partition(b"\n")
    words = start.strip().split(b" ", 1)
    if len(words) != 2 or not words[0]:
        raise ValueError(f"not a request line: {start[:80]!r}")
    target, _, version = words[1].rpartition(b" ")
    if not version.startswith(b"HTTP/"):
        target, version = words[1], b"HTTP/1.0"
    return Request(method=words[0], target=target, version=version, fields=parse_fields(block), body=body)


def parse_response(head: bytes, body: bytes = b"") -> Response:
    """A response from its head and decoded body. Raises ValueError when there is no status line."""
    start, _, block = head.partition(b"\n")
    version, _, rest = start.strip().partition(b" ")
    code, _, reason = rest.partition(b" ")
    if not version.startswith(b"HTTP/") or not code.isdigit():
        raise ValueError(f"not a status line: {start[:80]!r}")
    return Response(version=version, status=int(code), reason=reason, fields=parse_fields(block), body=body)

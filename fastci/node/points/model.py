"""What parsers hand out (`Element`) and what the rest of the node works with (`Point`)."""

from dataclasses import dataclass, field
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from fastci.node.message import Request

Kind = Literal["text", "number", "boolean", "null", "document", "raw"]
Container = TypeVar("Container", covariant=True)


class Put(Protocol[Container]):
    """Gives the container with another value in one of its places; `raw` leaves out the escaping."""

    def __call__(self, value: bytes, raw: bool, /) -> Container: ...


class Element(NamedTuple, Generic[Container]):
    """A place that a parser found in its container. A tuple, since one is made for every point there is.

    `words` name it below the container, the parser's own word first. `service` is the last word of the
    point name. `aliases` are other words under which patterns find it. `nests` says whether other parsers
    may look into the value, `hint` is the media type that the container states for it.
    """

    words: tuple[str, ...]
    value: bytes
    put: Put[Container]
    kind: Kind = "text"
    service: Literal["value", "name"] = "value"
    aliases: tuple[tuple[str, ...], ...] = ()
    nests: bool = True
    hint: bytes = b""


Elements = list[Element[bytes]]


class Parser(Protocol):
    """One format. `sniff` is a cheap look that spares most values the attempt, `parse` decides.

    `parse` gives None for bytes that are not of this format. `hint` is what the container says about them:
    the Content-Type of a body or of a part, `cookie` for a Cookie header, empty elsewhere.
    """

    word: str

    def sniff(self, data: bytes, hint: bytes) -> bool: ...

    def parse(self, data: bytes, hint: bytes) -> Elements | None: ...


class PointName(str):
    """A point's name that still knows its words, so `GET_id` is not taken for a part of `GET_id_token`."""

    __slots__ = ("aliases", "meant_by", "service", "words")
    words: tuple[str, ...]
    service: str
    aliases: tuple[tuple[str, ...], ...]
    meant_by: dict[object, bool] | None  # what patterns have said of it, see `pattern`

    @classmethod
    def of(
        cls, words: tuple[str, ...], service: str, aliases: tuple[tuple[str, ...], ...] = ()
    ) -> "PointName":
        name = cls(f"{'_'.join(words)}_{service}")
        name.words = words
        name.service = service
        name.aliases = aliases
        name.meant_by = None
        return name


@dataclass(frozen=True, slots=True)
class Point:
    """A part of one request that has a name, a value and a way to write another value there.

    `name` is the full canonical name: words joined by `_`, HASH and ARRAY spelling, ending in `_value` or
    `_name`. `value` is what the application sees, decoded through every layer. `kind` keeps JSON's types
    apart; "document" is a whole body or document. `layers` are the parsers around the value, outermost
    first, as in ("POST", "JSON_DOC").
    """

    name: str
    value: bytes
    kind: Kind
    layers: tuple[str, ...]
    _put: Put[Request] = field(repr=False, compare=False)

    def write(self, value: bytes, *, raw: bool = False) -> Request:
        """The request with `value` here, escaped for every layer around it; all other bytes stay.

        `raw=True` leaves the escaping of the innermost layer out. At a JSON number, boolean or null the
        value becomes a JSON string unless it is a JSON number itself.
        """
        put = self._put
        return put(value, raw)

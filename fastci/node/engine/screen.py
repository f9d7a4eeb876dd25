"""Cheap looks at a point before the families of checks: is it an input at all, and is it shown again?

Two or three requests here save dozens at a harmless point.
"""

import re
from dataclasses import dataclass, field

from fastci.node.dsl import Attack, Extension, parse_extension
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.confirm import Probe
from fastci.node.engine.likeness import Feature, features_of, spellings
from fastci.node.engine.observers import Reading
from fastci.node.engine.sender import Reply
from fastci.node.message import Request
from fastci.node.points import Point
from fastci.node.route import route_template

_PATH = frozenset({"PATH", "ACTION_NAME", "ACTION_EXT"})
_OF_THE_PATH = re.compile(r"URI|PATH|ACTION")
_UNLIKE = 0.1
_BARE = frozenset({"GET", "POST", "PATH", "ACTION_NAME"})
_JSON = re.compile("JSON|XML|GRAPHQL|MULTIPART")
_REFUSED = frozenset({400, 404, 422})
_NO_NUMBERS = (
    "{word}", "{v}-0", "{v}'\"\\{word}", "{v}' and '1'='1", '{v}" and "1"="1', "{v};true", "./{v}",
    "{v}{{{{1}}}}", "{v}*",
)  # fmt: skip
"""What is the number to a database, quoted or not, to a shell, a file system, a template, a directory."""
_BREAKING = "'\"\\"
_ECHO = """
meta-info: {type: info, title: The value is shown, description: Not reported.}
generate:
  method: [postfix]
  payload: ["STR_MARKER", "STR_MARKER'\\"<"]
detect:
  - response:
      - body: '(?i)STR_MARKER'
      - headers: '(?i)STR_MARKER'
"""


def _echo_extension() -> Extension:
    extension, faults = parse_extension(_ECHO, "echo.yaml", builtin=True)
    if extension is None:
        raise ValueError(faults)
    return extension


ECHO = _echo_extension()
"""Looks whether a word sent at a point is shown: in the answer, behind redirects, on observer pages."""


Features = frozenset[Feature]


@dataclass(frozen=True, kw_only=True)
class _Echo:
    """Where words that were sent at a point are shown: anywhere at all, and how on its observers."""

    shown: bool
    reading: Reading


@dataclass(frozen=True, kw_only=True)
class _Absent:
    """How an address that leads nowhere is answered. What only one of two answers has varies by itself:
    tokens, times, ids."""

    stays: Features
    ever: Features

    def fits(self, found: Features) -> bool:
        """Whether this answer is the same: as much of it varies as between the two."""
        least, varies = _UNLIKE * len(self.stays), (len(self.ever) - len(self.stays)) / 2
        return len(self.stays - found) <= least and len(found - self.ever) <= least + varies


@dataclass(kw_only=True)
class Screen:
    """What is known of the points of one baseline; asked for once each."""

    _echoes: dict[str, _Echo] = field(default_factory=dict)
    _inputs: dict[str, bool] = field(default_factory=dict)
    _numbers_only: dict[str, bool] = field(default_factory=dict)
    _absent: "_Absent | None" = None

    async def reason_against(self, probe: Probe) -> str:
        """Why the probe's extension need not be tried at its point; empty where it should be."""
        point, extension = probe.point, probe.extension
        if point is None:
            return ""
        if (
            point.layers[0] in _PATH
            and not _names_the_path(extension)
            and not await self._is_input(probe, point)
        ):
            return "another word there leads where nothing is"
        if (
            extension.type != "info"
            and not _names_the_path(extension)
            and _is_plain_number(point)
            and await self._takes_numbers_only(probe, point)
        ):
            return "anything but a number is refused alike"
        if extension.needs == "echo" and not await self._is_shown(probe, point):
            return "what is sent there is not shown"
        return ""

    async def _takes_numbers_only(self, probe: Probe, point: Point) -> bool:
        """Whether a check in front of everything else refuses what is no number.

        A word, and what would be a number, a text or a name to the languages that attacks speak, must be
        refused by one and the same answer that shows nothing of them; the first that is not ends the matter.
        """
        if point.name not in self._numbers_only:
            self._numbers_only[point.name] = await self._refuses_all(probe, point)
        return self._numbers_only[point.name]

    async def _refuses_all(self, probe: Probe, point: Point) -> bool:
        refusal: Features | None = None
        for template in _NO_NUMBERS:
            word = probe.markers.fresh().text
            text = template.format(v=point.value.decode(), word=word)
            response = (await probe.channel.send(point.write(text.encode()))).response
            if response.status not in _REFUSED or response.status == probe.control.response.status:
                return False
            body = decoded_body(response)
            if word.encode() in body or any(spelling in body for spelling in spellings(text)):
                return False
            found = features_of(response)
            if refusal is not None and len(refusal ^ found) > _UNLIKE * len(refusal):
                return False
            refusal = refusal or found
        return True

    async def reading(self, probe: Probe) -> Reading:
        """When observers need be read after attacks of the probe's extension at its point."""
        point, extension = probe.point, probe.extension
        if point is None or not extension.builtin or extension.oracle or not probe.observers:
            return Reading.EACH
        return (await self._echo(probe, point)).reading

    async def _is_shown(self, probe: Probe, point: Point) -> bool:
        return (await self._echo(probe, point)).shown

    async def _echo(self, probe: Probe, point: Point) -> _Echo:
        if point.name not in self._echoes:
            self._echoes[point.name] = await self._look_for_words(probe, point)
        return self._echoes[point.name]

    async def _look_for_words(self, probe: Probe, point: Point) -> _Echo:
        """Send the words, then read the observers once."""
        own, shown = probe.by(ECHO), False
        sent: list[tuple[Attack, Reply]] = []
        for attack in ECHO.attacks(probe.request, point, own.markers):
            if shown and not probe.observers:
                break
            direct = await own.send(attack)
            sent.append((attack, direct))
            shown = (await own.look(attack, direct, reads_observers=False)).match is not None or shown
        counts = set()
        for page in probe.observers:
            reply = await own.channel.send(page)
            counts.add(sum(own.seen_on(page, reply, attack, direct) is not None for attack, direct in sent))
        if counts <= {0}:
            return _Echo(shown=shown, reading=Reading.EFFECTS)
        together = counts <= {0, len(sent)}
        return _Echo(shown=True, reading=Reading.TOGETHER if together else Reading.EACH)

    async def _is_input(self, probe: Probe, point: Point) -> bool:
        """A word of the address is none where another word, and one that breaks out of quotes, are answered
        like an address that cannot exist. Numbers, ids and the like always count as inputs."""
        if point.name not in self._inputs:
            self._inputs[point.name] = _changes(point) or await self._leads_somewhere(probe, point)
        return self._inputs[point.name]

    async def _leads_somewhere(self, probe: Probe, point: Point) -> bool:
        if self._absent is None:
            two = [
                await self._features(probe, _misplaced(probe.request, probe.markers.fresh().text))
                for _ in range(2)
            ]
            self._absent = _Absent(stays=two[0] & two[1], ever=two[0] | two[1])
        for ending in ("", _BREAKING):
            word = probe.markers.fresh().text
            value = point.value + ending.encode() if ending else word.encode()
            found = await self._features(probe, point.write(value))
            if not self._absent.fits(found):
                return True
        return False

    async def _features(self, probe: Probe, request: Request) -> Features:
        """Of the answer, without the address that was asked for."""
        response = (await probe.channel.send(request)).response
        path = request.target.partition(b"?")[0].decode("latin-1")
        words = [path, *(part for part in path.split("/") if len(part) > 3)]
        return features_of(response, words)


def _names_the_path(extension: Extension) -> bool:
    return any(_OF_THE_PATH.match(pattern.text) for pattern in extension.into)


def _is_plain_number(point: Point) -> bool:
    """Whether the recorded value is one, where types are not told apart by themselves, as in JSON."""
    plain = len(point.layers) <= 2 and point.layers[0] in _BARE and not _JSON.search(point.name)
    return plain and point.name.endswith("_value") and point.value.isdigit()


def _changes(point: Point) -> bool:
    return "{}" in route_template(b"GET", b"/" + point.value)


def _misplaced(request: Request, word: str) -> Request:
    """The same request below a folder that cannot exist."""
    return (
        request.with_target(b"/" + word.encode() + request.target)
        if request.target.startswith(b"/")
        else request
    )

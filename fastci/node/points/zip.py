"""ZIP archives (PKWARE APPNOTE 6.3): the content of each member; other members keep their bytes."""

import struct
import zlib
from dataclasses import dataclass
from functools import partial

from fastci.node.points.gzip import deflate
from fastci.node.points.keys import to_text
from fastci.node.points.limits import MAX_DECODED, MAX_ELEMENTS
from fastci.node.points.model import Element, Elements

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_CENTRAL_HEADER = struct.Struct("<4s6H3I5H2I")
_END_RECORD = struct.Struct("<4s4H2IH")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _LATER_SIZES = 1, 8


@dataclass(frozen=True, slots=True)
class _Member:
    """Offsets: `central` of its directory record, `local` of its header; `data` is the span of its bytes."""

    central: int
    local: int
    data: tuple[int, int]
    name: bytes
    flags: int
    method: int
    size: int


class Zip:
    word = "ZIP"

    def sniff(self, data: bytes, hint: bytes) -> bool:
        return data.startswith(_LOCAL)

    def parse(self, data: bytes, hint: bytes) -> Elements | None:
        try:
            members = _members(data)
        except struct.error:
            return None
        elements: Elements = []
        room = MAX_DECODED
        for member in members:
            content = _content(data, member, room)
            if content is not None:
                room -= len(content)
                put = partial(_put, data, members, member, content)
                elements.append(Element((self.word, to_text(member.name)), content, put))
        return elements or None


def _members(data: bytes) -> list[_Member]:
    """The directory's entries. Empty when the archive is spanned, ZIP64 or inconsistent."""
    at = data.rfind(_END)
    if at < 0:
        return []
    _, disk, _, _, count, _, start, _ = _END_RECORD.unpack_from(data, at)
    if disk or start >= len(data):
        return []
    members: list[_Member] = []
    central = start
    all_packed = 0
    for _ in range(min(count, MAX_ELEMENTS)):
        record = _CENTRAL_HEADER.unpack_from(data, central)
        flags, method, packed, size, name_length, extra, comment = (
            record[i] for i in (3, 4, 8, 9, 10, 11, 12)
        )
        local = record[16]
        head = _LOCAL_HEADER.unpack_from(data, local)
        begin = local + _LOCAL_HEADER.size + head[9] + head[10]
        if record[0] != _CENTRAL or head[0] != _LOCAL or begin + packed > start or all_packed > start:
            return []
        begin_name = central + _CENTRAL_HEADER.size
        name = data[begin_name : begin_name + name_length]
        all_packed += packed
        members.append(_Member(central, local, (begin, begin + packed), name, flags, method, size))
        central += _CENTRAL_HEADER.size + name_length + extra + comment
    return members


def _content(data: bytes, member: _Member, room: int) -> bytes | None:
    """The member's bytes; None for folders, encrypted or oddly packed ones, and what has no room."""
    packed = data[slice(*member.data)]
    if member.name.endswith(b"/") or member.flags & _ENCRYPTED or member.size > room:
        return None
    if member.method == _STORED:
        return packed
    if member.method != _DEFLATED:
        return None
    inflate = zlib.decompressobj(wbits=-15)
    try:
        content = inflate.decompress(packed, room + 1)
    except zlib.error:
        return None
    return content if inflate.eof and len(content) <= room else None


def _put(
    data: bytes, members: list[_Member], member: _Member, old: bytes, value: bytes, raw: bool, /
) -> bytes:
    """Checksum and sizes follow, and so do the offsets of what comes behind. Raw: packed bytes as given."""
    if value == old and not raw:
        return data
    packed = value if raw or member.method == _STORED else deflate(value, bare=True)
    start, end = member.data
    grown = len(packed) - (end - start)
    facts = struct.pack("<3I", zlib.crc32(value), len(packed), len(value))
    changed = bytearray(data)
    changed[member.central + 16 : member.central + 28] = facts
    for other in members:
        if other.local > member.local:
            struct.pack_into("<I", changed, other.central + 42, other.local + grown)
    directory = data.rfind(_END)
    (offset,) = struct.unpack_from("<I", data, directory + 16)
    struct.pack_into("<I", changed, directory + 16, offset + grown)
    if member.flags & _LATER_SIZES:
        if data[end : end + 4] == b"PK\x07\x08":
            changed[end + 4 : end + 16] = facts
    else:
        changed[member.local + 14 : member.local + 26] = facts
    changed[start:end] = packed
    return bytes(changed)

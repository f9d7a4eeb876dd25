"""Text that hostile bytes cannot bend: visible, cut to a length, fit for a terminal, XML and Markdown."""

import re
import time

_UNSAFE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls of C0 and C1, but tab and line feed
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e"  # characters that take no room
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\uffff"  # and those that turn the line
    "\ud800-\udfff"  # halves of characters, and bytes that are not UTF-8
    "\U000e0000-\U000e0fff"
)
_SOME = re.compile(f"[{_UNSAFE}]")
_ALL = re.compile(f"[{_UNSAFE}\t\n]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def text_of(data: bytes) -> str:
    """Bytes as text; what is not UTF-8 stays in it as lone surrogates, one a byte (PEP 383)."""
    return data.decode("utf-8", "surrogateescape")


def visible(text: str, *, lines: bool = False) -> str:
    """The text with every character that acts instead of being seen written as `\\x1b` or `\\u{202e}`.

    `lines` keeps tabs and line feeds; a carriage return before a line feed then goes.
    """
    if lines:
        return _SOME.sub(_name_of, text.replace("\r\n", "\n"))
    return _ALL.sub(_name_of, text)


def _name_of(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, and how many are missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def one_line(text: str, limit: int = 300) -> str:
    return visible(shorten(text, limit))


def prose(text: str, limit: int = 1_000) -> str:
    """Sentences on one line, however they were broken."""
    return one_line(" ".join(text.split()), limit)


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 request`, `2,000 requests`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """`40 ms`, `1.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    whole = round(seconds)
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def clock(moment: float) -> str:
    """A unix time as `2026-11-23 13:59:14 UTC`; `-` for none."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment)) if moment > 0 else "-"

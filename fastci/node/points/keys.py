"""Parameter names with brackets: `id[user][]` is the hash member `user` of `id`, and an array in it."""

import re
from collections import Counter
from collections.abc import Sequence

from fastci.node.points.limits import MAX_BRACKETS

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_SHAPE = re.compile(rf"([^\[\]]++)((?:\[[^\[\]]*+\]){{1,{MAX_BRACKETS}}}+)")
Words = tuple[str, ...]


def to_text(name: bytes) -> str:
    """An element name as a word of a point; bytes that are not UTF-8 are shown as \\xNN."""
    return name.decode("utf-8", "backslashreplace")


def key_words(keys: Sequence[bytes]) -> list[tuple[Words, tuple[Words, ...]]]:
    """Words of each parameter and its other spellings, in order (spec/points.md, HASH and ARRAY).

    `id[]` and repeated plain names count as ARRAY_0, ARRAY_1 ...; digits in brackets are an index.
    The first of repeated plain names is found without its ARRAY_0 too.
    """
    times = Counter(keys)
    seen: Counter[Words] = Counter()
    found: list[tuple[Words, tuple[Words, ...]]] = []
    for key in keys:
        text = to_text(key)
        shape = _SHAPE.fullmatch(text) if "[" in text else None
        if shape is not None:
            found.append(_bracket_words(shape, seen))
        elif times[key] == 1:
            found.append(((text,), ()))
        else:
            index = seen[(text,)]
            seen[(text,)] += 1
            found.append(((text, "ARRAY", str(index)), ((text,),) if index == 0 else ()))
    return found


def _bracket_words(shape: re.Match[str], seen: Counter[Words]) -> tuple[Words, tuple[Words, ...]]:
    words: list[str] = [shape[1]]
    other: list[str] = [shape[1]]
    for inner in _BRACKETS.findall(shape[2]):
        if not inner:
            place = (*words, "ARRAY")
            inner = str(seen[place])
            seen[place] += 1
            words += ["ARRAY", inner]
            other += ["ARRAY", inner]
        else:
            words += ["ARRAY" if inner.isdecimal() else "HASH", inner]
            other += ["HASH", inner]
    return tuple(words), (tuple(other),) if other != words else ()

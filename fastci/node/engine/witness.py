"""Pages that tell what a baseline does to others: end the session, wipe the data.

Which baselines do that their names say for the most part (`plan`); the others show it by their effect. After
the unmodified request of a baseline a page is read that was given to a session before. Where it is refused
now, or most of it is gone, the baseline is tested last.
"""

from dataclasses import dataclass, field

from fastci.node.engine.likeness import Likeness
from fastci.node.engine.plan import Item
from fastci.node.message import Origin, Request, Response

_MOST = 2


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A page: how it is asked for, and what stays of its answer."""

    item: Item
    request: Request
    likeness: Likeness


@dataclass(kw_only=True)
class Witnesses:
    """Those of one run, a few for each origin."""

    _pages: dict[Origin, list[Witness]] = field(default_factory=dict)

    def wants(self, origin: Origin) -> bool:
        return len(self._pages.get(origin, ())) < _MOST

    def add(self, item: Item, request: Request, answers: tuple[Response, Response]) -> None:
        """Take a page of which two answers are known, unless it says too little to tell anything."""
        likeness, pages = Likeness(*answers), self._pages.setdefault(item.target.origin, [])
        if likeness.tells and len(pages) < _MOST and all(page.item.route != item.route for page in pages):
            pages.append(Witness(item=item, request=request, likeness=likeness))

    def about(self, item: Item) -> list[Witness]:
        """The pages that may tell something of this baseline."""
        return [page for page in self._pages.get(item.target.origin, ()) if page.item is not item]

    def forget(self, item: Item) -> None:
        """After this baseline pages do not answer as they did: they tell nothing of the ones that follow."""
        self._pages.pop(item.target.origin, None)

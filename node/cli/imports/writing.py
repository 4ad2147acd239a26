"""Where a command writes a list, with a bar that shows how far it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from node.cli.asking import ask
from node.cli.client import reach
from node.cli.options import progress_bars
from node.runtime.publishing.place import Place

if TYPE_CHECKING:
    import trio

    from node.lists.planning import Plan, Planner, Shown
    from node.runtime.publishing.sending import Who
    from node.runtime.terminal import Terminal


def place_at(url: str) -> Place:
    """url: as `node_option` gives it."""

    async def go(terminal: Terminal, nursery: trio.Nursery) -> None:
        await reach(terminal, url, nursery)

    return Place(partial(ask, url), go)


def send(
    place: Place, plan: Plan, planner: Planner, entity_type: str, shown: Shown, who: Who
) -> tuple[dict[str, int], str | None]:
    """As `Place.send`."""
    with progress_bars() as progress:
        task = progress.add_task("import", total=len(plan.created) + len(plan.changed))
        return place.send(plan, planner, entity_type, shown, who, partial(progress.advance, task))

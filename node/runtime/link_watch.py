"""Looks once a second which links stand, and says in the log what changed."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import trio

from node.core.links.outages import Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.core.core import Core
    from node.runtime.dialler import Dialler

logger = logging.getLogger("comanda.links")

LOOK_S = 1.0


async def watch_links(core: Core, diallers: Sequence[Dialler]) -> None:
    """Until cancelled."""
    while True:
        core.replica.faults.guard("watching the links", partial(look, core, diallers))
        await trio.sleep(LOOK_S)


def look(core: Core, diallers: Sequence[Dialler]) -> None:
    """One look."""
    seen = {dialler.url: Seen(dialler.dialling.state == "up", dialler.last_error or "") for dialler in diallers}
    dialled = {dialler.dialling.peer for dialler in diallers} | {
        link.peer_id for link in core.links.by_node.values() if link.dialled
    }
    for link in core.links.by_node.values():
        if link.peer_id not in dialled:
            seen[link.peer_id] = Seen(link.state == "up")
    for line in core.links.outages.look(core.clock(), seen, dialled):
        logger.warning("%s", line)

"""Looks which links stand, and says in the log what changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from node.core.links.outages import BACK, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.core.core import Core
    from node.runtime.dialler import Dialler

logger = logging.getLogger("comanda.links")

LOOK_S = 1.0


def look(core: Core, diallers: Sequence[Dialler]) -> None:
    """One look."""
    seen = {dialler.url: Seen(dialler.dialling.state == "up", dialler.last_error or "") for dialler in diallers}
    dialled = {dialler.dialling.peer for dialler in diallers} | {
        link.peer_id for link in core.links.by_node.values() if link.dialled
    }
    for link in core.links.by_node.values():
        if link.peer_id not in dialled:
            seen[link.peer_id] = Seen(link.state == "up")
    for event in core.links.outages.look(core.clock(), seen, dialled):
        said = event.values
        if event.text == BACK:
            logger.warning("the link to %(link)s is back after %(s)d s", {"link": said["link"], "s": said["s"]})
        else:
            logger.warning(
                "the link to %(link)s is down: %(reason)s; what is written here waits",
                {"link": said["link"], "reason": said["reason"]},
            )

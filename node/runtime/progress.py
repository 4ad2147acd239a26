"""Showing the first synchronisation of an empty node: a bar on a terminal, one log line otherwise."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from rich.progress import Progress

    from node.core.core import Core
    from node.core.links.first_sync import FirstSync

logger = logging.getLogger("comanda.sync")

POLL_S = 0.2
"""Between two looks of a bar."""

WAIT_S = 1.0
"""Between two looks where nothing is shown."""


async def show_first_sync(core: Core) -> None:
    """Until it is over, or for ever where this node never is empty beside one that is not."""
    while core.links.first_sync is None:  # noqa: ASYNC110 (the core, which knows, holds no events)
        await trio.sleep(WAIT_S)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
        ) as progress:
            await _bar(core.links.first_sync, progress)
    while core.links.first_sync.phase != "over":  # noqa: ASYNC110
        await trio.sleep(WAIT_S)
    log_first_sync(core.links.first_sync, core.node_id)


def log_first_sync(sync: FirstSync, here: str) -> None:
    """That it is over. here: whose it was, the node or the store of head office."""
    entities_s, all_s = sync.took_s()
    logger.info(
        "first synchronisation of %(here)s from %(peer)s: %(entities)d entities in %(entities_s).1f s, "
        "%(operations)d operations of history in %(all_s).1f s",
        {
            "here": here,
            "peer": sync.peer,
            "entities": sync.states,
            "entities_s": round(entities_s, 3),
            "operations": sync.operations,
            "all_s": round(all_s, 3),
        },
    )


async def _bar(sync: FirstSync, progress: Progress) -> None:
    entities = progress.add_task("cadastros e pedidos / entities", total=None)
    history = progress.add_task("histórico / history", total=None, visible=False)
    while sync.phase != "over":
        progress.update(entities, completed=sync.states, total=max(sync.states_total, sync.states) or None)
        if sync.phase == "history":
            progress.update(entities, completed=sync.states, total=sync.states)
            progress.update(history, completed=sync.operations, total=sync.operations_total, visible=True)
        await trio.sleep(POLL_S)
    progress.update(history, completed=sync.operations, total=sync.operations)

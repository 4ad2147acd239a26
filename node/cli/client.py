"""A command that speaks as a terminal goes to where its options say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from node.addresses import node_address
from node.cli.asking import CONTROL, TOKEN
from node.cli.secure import secured
from node.runtime.net.tls import Trust

if TYPE_CHECKING:
    import trio

    from node.runtime.terminal import Terminal


async def reach(one: Terminal, url: str, nursery: trio.Nursery) -> None:
    """Come online at what `node_option` gives. Raises trio.TooSlowError."""
    if url.startswith(CONTROL):
        await one.come_online("ws://localhost", nursery, control=Path(url.removeprefix(CONTROL)))
    else:
        there = node_address(url, behind=True)
        trust = Trust(secured().context()) if there.secure else None
        await one.come_online(there.ws, nursery, os.environ.get(TOKEN), trust=trust)

"""A JSON text that is kept takes the memory of its length: orjson leaves each in a buffer of 4 KB."""

from __future__ import annotations

import gc
import linecache
import tracemalloc
from typing import TYPE_CHECKING

from bench.rig.day import BusinessDays
from tests.harness import Client

if TYPE_CHECKING:
    from tests.harness import World

ORDERS = 8
LONGEST = 1_000
"""More than any text of such an evening has on average."""


def test_what_a_node_keeps_of_an_evening_has_no_room_behind_it(world: World) -> None:
    pos, _, monitor = (Client(world, *who).connect() for who in (("pos-1",), ("kds-1", "kds"), ("m-1", "monitor")))
    world.settle()
    assert pos.session is not None
    tracemalloc.start()
    try:
        for text in BusinessDays(ORDERS).day().messages:
            pos.session.receive(text.decode())
        monitor.connection.frames.clear()  # its figures are long
        world.settle()
        gc.collect()
        kept = tracemalloc.take_snapshot().statistics("lineno")
    finally:
        tracemalloc.stop()
    writes = {
        f"{line.traceback[0]}": line.size / line.count
        for line in kept
        if "orjson.dumps(" in linecache.getline(line.traceback[0].filename, line.traceback[0].lineno)
    }
    assert writes
    assert not {where: mean for where, mean in writes.items() if mean > LONGEST}

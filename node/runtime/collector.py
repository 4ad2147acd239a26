"""The interpreter's search for garbage in cycles. Nobody is served while it looks, so it looks at little at a time.

It begins when so many more objects were made than dropped, whatever the node is doing then: in the middle of a page
that is read for a new terminal, while somebody else waits for a confirmation. How long it takes follows the number of
objects that it looks at, one or two microseconds each on a slow core. Fewer at once are not looked at more often.

    what came since the last search                      YOUNG
    that, and what outlived the AGAIN + 1 before it      YOUNG * (AGAIN + 2) at most, and mostly a part of it
    everything since the start, after OLD of the latter  if a quarter more is there than at the last time: some
                                                         20 objects an operation in memory, after some 600,000
"""

from __future__ import annotations

import gc

YOUNG = 2_000
AGAIN = 1
OLD, OLD_SMALL = 6_000, 600


def serve(*, small: bool) -> None:
    """From here on the node serves. What it was made of stays, and is not looked at any more. small: memory is given
    back sooner."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, AGAIN, OLD_SMALL if small else OLD)

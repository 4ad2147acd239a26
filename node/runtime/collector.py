"""The interpreter's search for garbage in cycles. Nobody is served while it looks, so it looks at little at a time.

It begins when so many more objects were made than dropped, whatever the node is doing then: in the middle of a page
that is read for a new terminal, while somebody else waits for a confirmation. How long it takes follows the number of
objects that it looks at, one or two microseconds each on a slow core. Fewer at once are not looked at more often.

    what came since the last search                      YOUNG
    what outlived the last AGAIN searches                YOUNG * AGAIN at most, and mostly a small part of it
    everything since the start, after OLD of the latter  if a quarter more is there than at the last time
"""

from __future__ import annotations

import gc

YOUNG = 5_000
AGAIN = 5
OLD, OLD_SMALL = 2_000, 200


def serve(*, small: bool) -> None:
    """From here on the node serves. What it was made of stays, and is not looked at any more. small: memory is given
    back sooner."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, AGAIN, OLD_SMALL if small else OLD)

"""What a document lacks, by its state vector, from the engines themselves: updates as a foreign peer may make them.

The node asks for missing operations and never for a state-vector diff, so the product has no call for this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pycrdt

from crdt.update_format import encode_state_vector

if TYPE_CHECKING:
    from collections.abc import Mapping


def diff(engine: str, snapshot: bytes, vector: Mapping[int, int]) -> bytes:
    """What a document with this state vector lacks of a checked snapshot, and all deletions, as one update."""
    # Of a writer named with clock 0, y-py would put every item in the diff twice.
    held = encode_state_vector({writer: clock for writer, clock in vector.items() if clock})
    if engine == "y_py":
        import y_py

        doc = y_py.YDoc(1)
        y_py.apply_update(doc, snapshot)
        return bytes(y_py.encode_state_as_update(doc, held))
    other: pycrdt.Doc = pycrdt.Doc(client_id=1)
    other.apply_update(snapshot)
    return bytes(other.get_update(held))

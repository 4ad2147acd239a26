from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.packed import ArchivedOperation, link_keys, op_keys, pack_operations, unpack_operations

WORD = st.integers(-(2**63), 2**63 - 1)


@given(
    st.lists(
        st.builds(
            ArchivedOperation,
            WORD,
            WORD,
            st.integers(0, 2**63 - 1),
            st.integers(0, 2**23 - 1),
            st.integers(1, 2**16 - 1),
            st.integers(0, 2**24 - 1),
        )
    )
)
def test_packed_operations_are_read_back(operations: list[ArchivedOperation]) -> None:
    records = pack_operations(operations)
    assert unpack_operations(records) == operations
    assert list(op_keys(records)) == [one.op_key for one in operations]
    assert list(link_keys(records)) == [one.link_key for one in operations]

"""Rows go into SQLite with few statements, of few sizes: each size is kept, and takes memory, for good."""

from __future__ import annotations

import pytest

from storage.sqlite.statements import PARAMETERS, ROWS_PER_STATEMENT, parts


@pytest.mark.parametrize("width", [1, 2, 25, 1_000])
def test_parts_are_all_rows_in_order_and_of_few_sizes(width: int) -> None:
    sizes = set()
    for count in range(2 * ROWS_PER_STATEMENT + 3):
        rows = [(n,) * width for n in range(count)]
        made = list(parts(rows, width))
        assert [row for part in made for row in part] == rows
        sizes |= {len(part) for part in made}
    assert len(sizes) <= ROWS_PER_STATEMENT.bit_length()
    assert max(sizes) * width <= PARAMETERS

"""The two ways that every operation takes through the code stay short enough to be read in one sitting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.trips import trips

if TYPE_CHECKING:
    from pathlib import Path

FILES, MOVES = 32, 148


def test_deciding_an_operation_enters_few_files_and_seldom_changes_them(tmp_path: Path) -> None:
    for name, trip in trips(tmp_path).items():
        assert 0 < trip.files <= FILES, (name, str(trip))
        assert 0 < trip.moves <= MOVES, (name, str(trip))

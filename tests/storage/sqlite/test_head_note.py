from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.sqlite.head_note import NOTE_FILE, NOTHING, HeadNote, HeadNoteFile, read_head_note

if TYPE_CHECKING:
    from pathlib import Path


def test_a_note_covers_the_one_before_however_long_that_was(tmp_path: Path) -> None:
    file = HeadNoteFile(tmp_path)
    for note in (HeadNote("e" * 32, 10**12, 10**12), HeadNote("e", 1, 0)):
        file.write(note)
        assert read_head_note(tmp_path) == note
    file.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"epoch": "e"}', '{"epoch": "e", "head": "many"}'])
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / NOTE_FILE).write_text(text)
    assert read_head_note(tmp_path) == NOTHING


def test_a_note_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    HeadNoteFile(tmp_path / "missing").write(HeadNote("e", 1, 0))


def test_a_note_is_ahead_by_a_row_or_a_token_of_the_same_epoch() -> None:
    end = HeadNote("e", 5, 5)
    for note, ahead in (
        (HeadNote("e", 6, 0), True),
        (HeadNote("e", 0, 6), True),
        (end, False),
        (HeadNote("f", 9, 9), False),
    ):
        assert note.ahead_of(end) == ahead

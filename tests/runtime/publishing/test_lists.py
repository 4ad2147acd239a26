"""A list that was published can be read again as it was, and a name from outside leads to no other file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from node.lists.columns import Misfit
from node.lists.listed import ListOptions
from node.rights import LIST_BYTES
from node.runtime.publishing import record as module
from node.runtime.publishing.office import Office
from node.runtime.publishing.record import FOLDER, LISTS, begun, keep, kept, listed_again, records

if TYPE_CHECKING:
    from pathlib import Path

LIST = "Código;Preço;Obs\r\n1;1.000,50;x\r\n2;2,00;y\r\n"


def options(path: Path, **more: object) -> ListOptions:
    path.write_text(LIST, encoding="cp1252")
    given: dict[str, object] = {"key": "Código", "maps": ("Preço=price:number",), "only_mapped": True, **more}
    return ListOptions(file=path, **given)  # type: ignore[arg-type]


def test_a_list_is_read_again_as_it_was(tmp_path: Path) -> None:
    listed = options(tmp_path / "prices.csv", encoding="cp1252", decimal="comma", counts=True).read()
    begun(tmp_path, listed, ["loja-a"], "2026-01-15T10:00:00.000Z").put(tmp_path)
    (tmp_path / "prices.csv").unlink()
    (record,) = records(tmp_path)
    again = listed_again(tmp_path, record)
    assert (again.found, again.wanted, again.key) == (listed.found, listed.wanted, listed.key)
    assert (again.options.name, again.options.counts, again.options.zone) == ("prices.csv", True, listed.options.zone)
    assert begun(tmp_path, again, ["loja-a"], "2026-01-16T10:00:00.000Z").id == record.id


def test_what_is_no_list_of_this_folder_is_not_read(tmp_path: Path) -> None:
    rows = keep(tmp_path, LIST.encode(), "prices.csv")
    assert rows is not None
    assert kept(tmp_path, rows) is not None
    (tmp_path / "node.key").write_text("secret")
    (tmp_path / FOLDER / LISTS / "other").write_text("x")
    strange = ("", "..", "other", "../../node.key", f"{rows}/../other", f"{rows}\n", rows.upper(), "0" * 32)
    assert [kept(tmp_path, one) for one in strange] == [None] * len(strange)


@pytest.mark.parametrize("content", [b"x" * (LIST_BYTES + 1), b"SQLite format 3\x00" + b"x"])
def test_what_is_too_long_or_a_database_is_not_kept_and_the_record_says_so(tmp_path: Path, content: bytes) -> None:
    assert keep(tmp_path, content, "a.csv") is None
    with pytest.raises(Misfit):
        Office(tmp_path).take(content, "a.csv")
    listed = options(tmp_path / "a.csv").read()
    listed.options.file.write_bytes(content)
    record = begun(tmp_path, listed, ["loja-a"], "2026-01-15T10:00:00.000Z")
    assert record.how is None
    with pytest.raises(Misfit, match="comanda publish send"):
        listed_again(tmp_path, record)


def test_lists_that_nothing_was_published_of_go_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOSE", 2)
    listed = options(tmp_path / "a.csv").read()
    begun(tmp_path, listed, ["loja-a"], "2026-01-15T10:00:00.000Z").put(tmp_path)
    (published,) = (tmp_path / FOLDER / LISTS).iterdir()
    os.utime(published, (0, 0))
    for number in range(4):
        rows = keep(tmp_path, f"a;b\n{number};1".encode(), "b.csv")
        os.utime(tmp_path / FOLDER / LISTS / str(rows), (number + 1, number + 1))
    left = {path.name for path in (tmp_path / FOLDER / LISTS).iterdir()}
    assert len(left) == 4, "the published one, two loose ones, and the latest"
    assert {published.name, rows} <= left


@pytest.mark.parametrize("name", ["../../x.csv", "C:\\x\\prices.csv", "\x1b[31m.csv", "", "/" * 9, "x" * 5000])
def test_whatever_a_file_is_called_it_is_one_printable_name(tmp_path: Path, name: str) -> None:
    said = str(Office(tmp_path).take(b"a;b\n1;2", name)["file"])
    assert said
    assert said.isprintable()
    assert "/" not in said
    assert "\\" not in said or "\x1b" in name
    assert len(said) < 250

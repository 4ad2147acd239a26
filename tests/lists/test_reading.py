"""Files as old systems write them: each encoding, delimiter and line end gives the same rows, with their lines."""

from __future__ import annotations

import codecs
import itertools
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.lists import reading
from node.lists.cells import guarded, without_guard
from node.lists.reading import Unreadable, read

if TYPE_CHECKING:
    from pathlib import Path

PRODUCTS = (
    ("Código", "Descrição", "Preço"),
    ("1", "Pão de queijo", "4,50"),
    ("2", "Água sem gás", "3,00"),
    ("3", "Maçã à moda da casa", "12,90"),
    ("4", "Café coado", "5,00"),
)


def written(delimiter: str, end: str) -> str:
    quoted = [[f'"{cell}"' if delimiter in cell else cell for cell in row] for row in PRODUCTS]
    return "".join(delimiter.join(row) + end for row in quoted)


def rows(path: Path, **options: Any) -> list[tuple[int, list[Any]]]:
    return [(row.line, [*row.cells.values()]) for row in read(path, **options).rows]


WANTED = [(line, [*cells]) for line, cells in enumerate(PRODUCTS[1:], 2)]
ENCODINGS = ("utf-8", "cp1252", "cp850", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")


@pytest.mark.parametrize(
    ("encoding", "delimiter", "end"), [*itertools.product(ENCODINGS, reading.DELIMITERS, ("\n", "\r\n"))]
)
def test_what_brazilian_systems_write_is_recognised(tmp_path: Path, encoding: str, delimiter: str, end: str) -> None:
    file = tmp_path / "produtos.csv"
    file.write_bytes(written(delimiter, end).encode(encoding))
    table = read(file)
    assert rows(file) == WANTED
    assert table.columns == PRODUCTS[0]
    assert (table.recognised["encoding"], table.delimiter) == (encoding, delimiter)


def test_bytes_that_tell_nothing_are_taken_as_windows_wrote_them(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes("id;nome\n1;José\n".encode("cp1252"))
    assert rows(file) == [(2, ["1", "José"])]


def test_a_line_is_where_a_row_begins_also_after_a_cell_of_several_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('sep=;\nid;nota\n1;"duas\nlinhas"\n\n;;\n2;b\n3;c;demais\n4\n', encoding="utf-8")
    assert [(row.line, row.cells["id"], row.problem is None) for row in read(file).rows] == [
        (3, "1", True),
        (7, "2", True),
        (8, "3", False),
        (9, "4", True),
    ]


def test_an_open_quote_is_a_problem_of_its_row(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('id;nome;preco\n1;a;2\n2;"b;3\n3;c;4\n', encoding="utf-8")
    first, second = read(file).rows
    assert (first.problem, second.line) == (None, 3)
    assert second.problem is not None
    assert "quote" in second.problem


def test_a_number_that_is_written_as_a_formula_keeps_its_zeros(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('="id";nome\n="0012";="Pão ""bom"""\n="0013;b\n', encoding="utf-8")
    assert read(file).columns == ("id", "nome")
    assert rows(file) == [(2, ["0012", 'Pão "bom"']), (3, ['="0013', "b"])]


def test_a_header_that_comes_once_more_is_named_as_one(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id;nome\n1;a\nid;nome\n2;b\n", encoding="utf-8")
    assert [(row.line, row.problem and "header" in row.problem) for row in read(file).rows] == [
        (2, None),
        (3, True),
        (4, None),
    ]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a;a\n1;2\n", b"\xff\xfe\x00"])
def test_a_file_without_a_clear_header_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(Unreadable):
        read(file)


def test_lines_above_the_header_are_skipped_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("Relatório de produtos\nEmitido em 01/02/2026\nid;nome\n1;a\n", encoding="cp1252")
    assert rows(file, skip=2) == [(4, ["1", "a"])]


def test_a_line_that_is_no_json_object_does_not_stop_the_others(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": 1, "a": [1]}\n\n{"id": \n[1]\n{"id": 2, "b": null}\n', encoding="utf-8")
    table = read(file)
    assert [(row.line, row.cells, row.problem is None) for row in table.rows] == [
        (1, {"id": 1, "a": [1]}, True),
        (3, {}, False),
        (4, {}, False),
        (5, {"id": 2, "b": None}, True),
    ]
    assert table.columns == ("id", "a", "b")
    assert table.typed


def test_a_json_array_is_read_with_places_as_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(codecs.BOM_UTF8 + b'[{"id": 1}, 2]')
    assert [(row.line, row.problem is None) for row in read(file).rows] == [(1, True), (2, False)]


def test_a_table_of_sqlite_is_read_and_its_bytes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with sqlite3.connect(file) as database:
        database.execute("create table products (id integer, name text, photo blob)")
        database.executemany("insert into products values (?, ?, ?)", [(1, "Pão", None), (2, "Água", b"\x00")])
        database.execute("create table other (id integer)")
    database.close()
    with pytest.raises(Unreadable, match=r"other.*products|products.*other"):
        read(file)
    first, second = read(file, table="products").rows
    assert (first.cells["name"], first.problem) == ("Pão", None)
    assert "photo" in str(second.problem)


def test_more_rows_than_memory_is_meant_for_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_ROWS", 2)
    file = tmp_path / "a.csv"
    file.write_text("id\n1\n2\n3\n", encoding="utf-8")
    with pytest.raises(Unreadable, match="2"):
        read(file)


@given(st.text(alphabet=st.sampled_from("'=+-@\uff1d\uff0b\uff0d\uff20 \u00a0\t\r\nax1"), max_size=6))
@settings(max_examples=200)
def test_no_text_is_a_formula_and_each_comes_back(text: str) -> None:
    cell = guarded(text)
    assert not cell.startswith(("\t", "\r", "\n"))
    assert not cell.lstrip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))
    assert without_guard(cell) == text

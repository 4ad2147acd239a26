"""Which column becomes which field."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from crdt.classes import frozen
from node.lists import notation
from node.lists.notation import KINDS, Notation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from zoneinfo import ZoneInfo

    from node.lists.reading import Table


class Misfit(Exception):
    """What was said of a list does not fit it. Its text is in two languages."""


KEYS = ("entity_id", "id")
"""Columns that are the key where none is named."""

PROPOSED = {
    "name": ("nome", "descricao", "produto", "item", "cliente"),
    "price": ("preco", "preco de venda", "preco venda", "valor", "valor unitario", "pvenda"),
    "cost": ("custo", "preco de custo", "preco custo"),
    "stock": ("estoque", "saldo", "quantidade", "qtd", "qtde"),
    "category": ("categoria", "grupo", "secao", "departamento"),
    "unit": ("unidade", "un", "und"),
    "barcode": ("codigo de barras", "ean", "gtin", "cod barras"),
    "phone": ("telefone", "celular", "fone"),
    "active": ("ativo",),
}
"""Fields that are proposed on a terminal for columns of old systems, as `_plain` writes them."""

KEY_WORDS = ("codigo", "cod", "id", "entity_id", "sku", "referencia")


@frozen
class Column:
    """One column that is taken. kind: of `notation.KINDS`."""

    name: str
    field: str
    kind: str


@frozen
class Mapped:
    """How rows become entities.

    key: the column whose value is the entity's id; it need not be a field as well. typed: as of the table.
    guessed: whether nothing tells the decimal separator of numbers that have one.
    """

    key: str
    typed: bool
    columns: tuple[Column, ...]
    notation: Notation
    guessed: bool = False

    @property
    def fields(self) -> dict[str, str]:
        """Field -> column."""
        return {column.field: column.name for column in self.columns}


@frozen
class Wanted:
    """What becomes of a column, as somebody said it. field: empty to leave it out. kind: None as it is recognised."""

    field: str
    kind: str | None = None


def given(texts: Iterable[str], columns: Sequence[str]) -> dict[str, Wanted]:
    """`COLUMN=FIELD` or `COLUMN=FIELD:KIND` each; `COLUMN=` leaves a column out. Raises Misfit."""
    found: dict[str, Wanted] = {}
    for text in texts:
        name, equals, said = text.rpartition("=")
        if not equals:
            raise Misfit(f"--map {text!r}: COLUNA=CAMPO / COLUMN=FIELD")
        field, colon, kind = said.rpartition(":")
        wanted = Wanted(field.strip(), kind) if colon and kind in KINDS else Wanted(said.strip())
        found[column_of(name, columns)] = wanted
    return found


def column_of(name: str, columns: Sequence[str]) -> str:
    """The column of this name, exactly or without regard to case, accents and spaces. Raises Misfit."""
    if name in columns:
        return name
    alike = [column for column in columns if _plain(column) == _plain(name)]
    if len(alike) == 1:
        return alike[0]
    raise Misfit(f"não há a coluna / there is no column {name!r}: {', '.join(columns)} (--skip?)")


def mapped(
    table: Table,
    wanted: Mapping[str, Wanted],
    key: str | None,
    *,
    decimal: str | None,
    numbers: Collection[str] = (),
    zone: ZoneInfo = notation.STORE_ZONE,
) -> Mapped:
    """The mapping of a table. numbers: fields that are numbers at the node. Raises Misfit."""
    key_column = _key(table, wanted, key)
    texts = {name: [*texts_of(table, name)] for name in table.columns}
    separator, guessed = (decimal, False) if decimal else _decimal(table, texts, key_column)
    written = Notation(separator, zone)
    columns = []
    for name in table.columns:
        said = wanted.get(name, Wanted("" if name == key_column else name.strip()))
        if not said.field:
            continue
        kind = said.kind
        if kind is None and table.typed:
            kind = notation.TEXT
        if kind is None and said.field in numbers:
            kind = notation.NUMBER
        columns.append(Column(name, said.field, kind or notation.kind_of(name, texts[name], written)))
    fields = [column.field for column in columns]
    twice = sorted({field for field in fields if fields.count(field) > 1})
    if twice:
        raise Misfit(f"duas colunas para um campo / two columns for one field: {', '.join(twice)}")
    return Mapped(key_column, table.typed, tuple(columns), written, guessed)


def _key(table: Table, wanted: Mapping[str, Wanted], key: str | None) -> str:
    by_field = {said.field: name for name, said in wanted.items() if said.field}
    if key is not None:
        return by_field.get(key) or column_of(key, table.columns)
    for name in KEYS:
        if name in table.columns or name in by_field:
            return by_field.get(name, name)
    raise Misfit(f"qual é a chave / which is the key (--key)? {', '.join(table.columns)}")


def _decimal(table: Table, texts: Mapping[str, Sequence[str]], key: str) -> tuple[str, bool]:
    otherwise = "." if table.typed or table.delimiter == "," else ","
    cells = (cell for name, column in texts.items() if name != key for cell in column)
    separator, guessed = notation.decimal_of(cells, otherwise)
    return separator, guessed and not table.typed


def texts_of(table: Table, name: str) -> Iterator[str]:
    """The cells of a column that say something."""
    cells: Iterator[Any] = (row.cells.get(name) for row in table.rows if row.problem is None)
    return (cell for cell in cells if isinstance(cell, str) and cell.strip())


def proposed(name: str) -> str:
    """The field that a column of an old system most likely is."""
    return next((field for field, names in PROPOSED.items() if _plain(name) in names), name.strip())


def likely_key(names: Sequence[str]) -> str:
    """The column that most likely has each row's id."""
    return next((name for name in names if _plain(name) in KEY_WORDS), names[0])


def _plain(name: str) -> str:
    """Without case, accents, points and spaces around it."""
    bare = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(c for c in bare if c.isalnum() or c.isspace()).split())

"""The options that say what of a file becomes which fields, for each command that takes a list of another system."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click
from attrs import fields

from crdt.classes import frozen
from node.cli.imports import columns
from node.cli.imports.columns import Wanted
from node.cli.imports.planning import Planner
from node.cli.imports.reading import Table, Unreadable, read
from node.cli.options import zone_option
from node.config.sections import LimitsSection
from node.wire.codec import CodecLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.cli.imports.columns import Mapped
    from node.cli.imports.planning import Shown

OPTIONS = (
    click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False)),
    click.option("--type", "entity_type", default="products", show_default=True, help="Tipo. / Entity type."),
    click.option("--key", metavar="COLUNA", help="Coluna que identifica cada linha. / Column with each row's id."),
    click.option(
        "--map",
        "maps",
        multiple=True,
        metavar="COLUNA=CAMPO[:TIPO]",
        help='"Preço=price", "Código de barras=barcode:text", "Obs=" deixa fora / leaves out.',
    ),
    click.option("--only-mapped", is_flag=True, help="Deixa fora as outras colunas. / Leave the other columns out."),
    click.option("--encoding", help="utf-8, cp1252, cp850...; sem isso, reconhecida. / Recognised without it."),
    click.option("--delimiter", metavar="C", help="; , | ou TAB; sem isso, reconhecido. / Recognised without it."),
    click.option(
        "--decimal", type=click.Choice(["comma", "point"]), help="Sem isso, reconhecido. / Else recognised."
    ),
    click.option(
        "--skip", default=0, type=click.IntRange(0), help="Linhas antes do cabeçalho. / Lines before the header."
    ),
    click.option("--table", help="De um arquivo SQLite. / Of an SQLite file."),
    zone_option,
    click.option(
        "--counts",
        is_flag=True,
        help="Também contadores (estoque) do que já existe. / Counters of what is there too.",
    ),
    click.option("--revive", is_flag=True, help="Traz de volta o que foi excluído. / Bring deleted entities back."),
)


@frozen(kw_only=True)
class ListOptions:
    """As they were given."""

    file: Path
    entity_type: str
    key: str | None
    maps: tuple[str, ...]
    only_mapped: bool
    encoding: str | None
    delimiter: str | None
    decimal: str | None
    skip: int
    table: str | None
    zone: ZoneInfo
    counts: bool
    revive: bool

    def read(self, *, asks: bool) -> Listed:
        """The file. asks: on a terminal, what no option says of its columns. Raises ClickException."""
        tab = "\t" if (self.delimiter or "").casefold() in ("tab", "\\t") else self.delimiter
        if tab is not None and len(tab) != 1:
            raise click.UsageError("--delimiter: um caractere / one character")
        try:
            found = read(self.file, encoding=self.encoding, delimiter=tab, skip=self.skip, table=self.table)
        except (Unreadable, OSError) as error:
            raise click.ClickException(f"{self.file}: {error}") from error
        wanted, key = columns.given(self.maps, found.columns), self.key
        if self.only_mapped:
            wanted |= {name: columns.Wanted("") for name in found.columns if name not in wanted}
        elif not self.maps and asks and columns.on_a_terminal():
            wanted, key = columns.ask(found, wanted, key)
        return Listed(self, found, wanted, key)


@frozen
class Listed:
    """A list as it was read, and what becomes of its columns."""

    options: ListOptions
    found: Table
    wanted: Mapping[str, Wanted]
    key: str | None

    def mapped(self, shown: Shown) -> Mapped:
        """What its rows are where this is shown. Raises click.UsageError."""
        options = self.options
        separator = {"comma": ",", "point": ".", None: None}[options.decimal]
        numbers = shown.counters
        return columns.mapped(
            self.found, self.wanted, self.key, decimal=separator, numbers=numbers, zone=options.zone
        )

    def planner(self, mapped: Mapped, shown: Shown) -> Planner:
        limits = LimitsSection()
        of_message = CodecLimits(limits.json_depth, limits.bulk_items, limits.fields, bulk_fields=limits.bulk_fields)
        options = self.options
        return Planner(options.entity_type, mapped, shown, of_message, counts=options.counts, revive=options.revive)


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets `options`: ListOptions."""
    names = [attribute.name for attribute in fields(ListOptions)]

    @wraps(command)
    def listed(*arguments: Any, **more: Any) -> Any:
        return command(*arguments, options=ListOptions(**{name: more.pop(name) for name in names}), **more)

    for option in reversed(OPTIONS):
        listed = option(listed)
    return listed

"""The options that say what of a file becomes which fields, for each command that takes a list of another system."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import fields

from node.cli.imports.asking import ask, on_a_terminal
from node.cli.options import zone_option
from node.lists.columns import Misfit
from node.lists.listed import ListOptions
from node.lists.reading import Unreadable
from node.runtime.publishing.place import UnknownType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node.lists.listed import Listed

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


@contextmanager
def told_by_click() -> Iterator[None]:
    """What is wrong with a list, or with what was said of it, as click tells it."""
    try:
        yield
    except Misfit as error:
        raise click.UsageError(str(error)) from error
    except UnknownType as error:
        raise click.ClickException(str(error)) from error


def read_list(options: ListOptions, *, asks: bool) -> Listed:
    """The file. asks: on a terminal, what no option says of its columns. Raises ClickException."""
    try:
        with told_by_click():
            return options.read(ask if asks and on_a_terminal() else None)
    except (Unreadable, OSError) as error:
        raise click.ClickException(f"{options.file}: {error}") from error


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets `options`: ListOptions."""
    names = [attribute.name for attribute in fields(ListOptions) if attribute.name != "called"]

    @wraps(command)
    def listed(*arguments: Any, **more: Any) -> Any:
        return command(*arguments, options=ListOptions(**{name: more.pop(name) for name in names}), **more)

    for option in reversed(OPTIONS):
        listed = option(listed)
    return listed

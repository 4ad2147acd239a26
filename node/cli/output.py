"""What a command prints. Everything goes through here: foreign text can neither act on the screen nor make a line.

Ids, names, values and errors come from terminals, other nodes and databases. They may hold escape sequences, line
ends, characters that turn the direction of writing, and rich's markup.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from node.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions, RenderableType

json_option = click.option("--json", "as_json", is_flag=True, help="Para programas. / For programs.")
"""`--json`: the command gets `as_json`, and prints by `say_json` what it knows."""


def say(line: str, *, err: bool = False) -> None:
    """Print one line."""
    click.echo(printable(line, len(line)), err=err)


def say_json(value: object, *, indent: bool = False) -> None:
    """Print JSON, for programs; what is not printable in it is escaped as JSON has it."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    if not text.replace("\n", "").isprintable():
        text = "".join([c if c == "\n" or c.isprintable() else _json_escape(c) for c in text])
    click.echo(text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


class Screen(Console):
    """A rich console on which text is text: no markup, unless it is asked for, and nothing that is not printable."""

    def __init__(self, *, markup: bool = False, **more: Any) -> None:
        super().__init__(markup=markup, emoji=False, highlight=False, **more)
        self._markup_wanted = markup

    def print(self, *objects: Any, **more: Any) -> None:
        """Each text is one line, whatever is in it."""
        super().print(*(objects if self._markup_wanted else map(_one_line, objects)), **more)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if segment.is_control or segment.text.replace("\n", "").isprintable():
                yield segment
            else:
                lines = [printable(line, len(line)) for line in segment.text.split("\n")]
                yield Segment("\n".join(lines), segment.style)


class Grid(Table):
    """A table without lines. headers: of columns whose text is broken where there is no room, and never cut.

    apart: blanks between columns; a wide one fits into 80 columns with 1.
    """

    def __init__(self, *headers: str, apart: int = 2) -> None:
        super().__init__(box=None, padding=(0, apart, 0, 0), pad_edge=False)
        for header in headers:
            self.add_column(header, overflow="fold")


def _one_line(value: Any) -> Any:
    if isinstance(value, str):
        return Text(printable(value, len(value)))
    if isinstance(value, Text) and not value.plain.isprintable():
        return Text(printable(value.plain, len(value.plain)), value.style)
    return value


def encode_anything() -> None:
    """Let stdout and stderr write what their encoding lacks as escapes, where it would be an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")

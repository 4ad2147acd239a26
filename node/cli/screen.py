"""What a command prints in columns and colours: `output` for rich, which a node that serves never loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from node.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import ConsoleOptions, RenderableType


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

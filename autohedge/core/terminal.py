"""The console of every view on a terminal: it prints printable text only."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table

from autohedge.core.text import printable_lines

WIDTH_MAX = 10_000


class PrintableConsole(Console):
    """A rich console without the characters of names and texts that a terminal could act on.

    Colors and cursor movements of rich itself are not text, and stay.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        markup: bool = True,
        soft_wrap: bool = False,
        file: TextIO | None = None,
    ) -> None:
        super().__init__(
            stderr=stderr, markup=markup, soft_wrap=soft_wrap, file=file, highlight=False, emoji=False
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Renders as rich does, with printable text."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printable_lines(segment.text)
            yield segment if text == segment.text else segment._replace(text=text)

    def print_whole(self, table: Table) -> None:
        """Prints a table without cutting a cell: where it needs more room, the terminal wraps its lines."""
        options = self.options.update(max_width=WIDTH_MAX)
        for column in table.columns:
            column.overflow = "fold"
            if column.no_wrap:
                cells = (column.header, *column.cells)
                column.min_width = max(Measurement.get(self, options, cell).maximum for cell in cells)
        width = self.width
        self.width = max(width, Measurement.get(self, options, table).minimum)
        self.print(table)
        self.width = width

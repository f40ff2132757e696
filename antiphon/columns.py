"""Make tables with aligned columns: for a console, which folds long cells, or as plain text of any width."""

import io
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # rich is imported where a table is made, so that `--help` answers at once
    from rich.table import Table


def plain(text: object) -> str:
    """Return a text in which control characters, except line ends and tabs, are escaped.

    >>> plain("[/x] \\x1b[31m")
    '[/x] \\\\x1b[31m'
    """
    return "".join(repr(letter)[1:-1] if _steers(letter) else letter for letter in str(text))


def columns(rows: Iterable[Sequence[object]], names: Sequence[str] = (), left: int | None = None) -> "Table":
    """Make a rich table. Cells are written literally, without markup.

    rows: the cells of each row. names: names of the columns; if empty, the table has no header.
    left: number of left-aligned columns; the columns after them are right-aligned. None aligns all columns left.
    """
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(plain(cell)) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, show_header=bool(names), header_style="bold")
    for position, name in enumerate(names or [""] * max(map(len, cells), default=0)):
        side = "left" if left is None or position < left else "right"
        table.add_column(Text(plain(name)), justify=side, overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table


def aligned(rows: Iterable[Sequence[object]], names: Sequence[str] = (), left: int | None = None) -> str:
    """Return a table with aligned columns as plain text. No cell is folded.

    rows: the cells of each row. names: names of the columns; if empty, the table has no header.
    left: number of left-aligned columns; the columns after them are right-aligned. None aligns all columns left.

    >>> print(aligned([("Actor", 3), ("Critic", 12)], ("player", "moves"), left=1))
    player  moves
    Actor       3
    Critic     12
    """
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100_000, color_system=None)
    with console.capture() as captured:
        console.print(columns(rows, names, left))
    return "\n".join(line.rstrip() for line in captured.get().split("\n")[:-1])


def _steers(letter: str) -> bool:
    """Return whether a letter is a control, format, surrogate, line separator or paragraph separator character."""
    return letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")

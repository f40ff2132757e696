"""Write text to a terminal literally: without markup, and with control characters escaped."""

import unicodedata
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # rich is imported lazily, so that `--help` answers at once
    from rich.console import Console
    from rich.table import Table


def plain(text: object) -> str:
    """The text with control characters escaped, except line ends and tabs.

    >>> plain("[/x] \\x1b[31m")
    '[/x] \\\\x1b[31m'
    """
    return "".join(repr(letter)[1:-1] if _steers(letter) else letter for letter in str(text))


def echo(text: object, *, err: bool = False) -> None:
    """Print the text on stdout, or on stderr if `err`."""
    typer.echo(plain(text), err=err)


def say(console: "Console", text: object) -> None:
    """Print one line on a console, without wrapping, markup or colours."""
    console.print(plain(text), soft_wrap=True, markup=False, highlight=False, emoji=False)


def row(table: "Table", *cells: object) -> None:
    """Add a row to a table. Cells are printed literally."""
    from rich.text import Text

    table.add_row(*(Text(plain(cell)) for cell in cells))


def columns(table: "Table", *names: str, left: int | None = None) -> None:
    """Add columns of these names. Columns from index `left` on are right-aligned."""
    from rich.text import Text

    for position, name in enumerate(names):
        side = "left" if left is None or position < left else "right"
        table.add_column(Text(plain(name)), justify=side, overflow="fold")


def _steers(letter: str) -> bool:
    """Whether it is a control, format (also bidirectional), surrogate, or line or paragraph separator character."""
    return letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")

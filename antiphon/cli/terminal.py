"""What is written to a terminal: text as it is, never as markup, and no character that would steer the terminal."""

import unicodedata
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # at runtime by who has one: `--help` answers at once
    from rich.console import Console
    from rich.table import Table


def plain(text: object) -> str:
    """The text, with every control character but line ends and tabs written out.

    >>> plain("[/x] \\x1b[31m")
    '[/x] \\\\x1b[31m'
    """
    return "".join(repr(letter)[1:-1] if _steers(letter) else letter for letter in str(text))


def echo(text: object, *, err: bool = False) -> None:
    """Print it, as it is."""
    typer.echo(plain(text), err=err)


def say(console: "Console", text: object) -> None:
    """One line, as it is: unwrapped, without markup or colours of its own."""
    console.print(plain(text), soft_wrap=True, markup=False, highlight=False, emoji=False)


def row(table: "Table", *cells: object) -> None:
    """One more row, each cell as it is."""
    from rich.text import Text

    table.add_row(*(Text(plain(cell)) for cell in cells))


def columns(table: "Table", *names: str, left: int | None = None) -> None:
    """Columns of these names, as they are; those from `left` on have their cells on the right."""
    from rich.text import Text

    for position, name in enumerate(names):
        side = "left" if left is None or position < left else "right"
        table.add_column(Text(plain(name)), justify=side, overflow="fold")


def _steers(letter: str) -> bool:
    """Control and format characters (bidirectional ones too), halves of characters, and separators of lines."""
    return letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")

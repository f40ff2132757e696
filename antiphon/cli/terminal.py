"""Print text literally on a terminal: markup is not interpreted, and control characters are escaped."""

from typing import TYPE_CHECKING

import typer

from antiphon.columns import plain

if TYPE_CHECKING:  # rich is imported lazily, so that `--help` answers at once
    from rich.console import Console


def echo(text: object, *, err: bool = False) -> None:
    """Print a text on stdout; on stderr if `err` is true. Control characters are escaped."""
    typer.echo(plain(text), err=err)


def screen() -> "Console":
    """Return a rich console on stdout. If stdout is no terminal, the console is 140 characters wide."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=140)


def say(console: "Console", text: object) -> None:
    """Print one line on a console, without wrapping, markup or colours."""
    console.print(plain(text), soft_wrap=True, markup=False, highlight=False, emoji=False)

"""How a command ends when it fails: a message on stderr, and an exit code."""

import signal
from typing import Any

import typer
from typer.core import TyperGroup

from antiphon.cli.terminal import echo
from antiphon.errors import AntiphonError, DeadlineError, ProtocolError, RoundError, TransportError

FAILURES = (RoundError, DeadlineError, ProtocolError, TransportError)
"""Errors of a run that has started (exit code 1). Every other AntiphonError means bad input (exit code 2)."""


class Commands(TyperGroup):
    """Prints an AntiphonError of a command on stderr, without a traceback, and exits with its code."""

    def invoke(self, ctx: Any) -> Any:
        """Any: the context is of typer's own click, and the result is the command's."""
        try:
            return super().invoke(ctx)
        except AntiphonError as error:
            echo("\n  ".join([f"error: {error}", *getattr(error, "__notes__", []), *_where(error)]), err=True)
            raise typer.Exit(1 if isinstance(error, FAILURES) else 2) from None
        except KeyboardInterrupt as error:
            echo("aborted", err=True)
            raise typer.Exit(128 + getattr(error, "signal", signal.SIGINT)) from None


def _where(error: AntiphonError) -> list[str]:
    """The worker and round of the error, unless its message names them already."""
    told = repr(error.worker) in str(error) and f"round {error.round}" in str(error)
    return [f"worker {error.worker!r}, round {error.round}"] if error.worker and error.round >= 0 and not told else []

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
    """Runs a command. An AntiphonError becomes a message on stderr, without a traceback, and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Any: `ctx` is a context of the click inside typer, and the result is that of the command."""
        try:
            return super().invoke(ctx)
        except AntiphonError as error:
            echo("\n  ".join([f"error: {error}", *getattr(error, "__notes__", []), *_where(error)]), err=True)
            raise typer.Exit(1 if isinstance(error, FAILURES) else 2) from None
        except KeyboardInterrupt as error:
            echo("aborted", err=True)
            raise typer.Exit(128 + getattr(error, "signal", signal.SIGINT)) from None


def _where(error: AntiphonError) -> list[str]:
    """Return a line with the worker and round of the error; nothing if its message names them, or it has none."""
    told = repr(error.worker) in str(error) and f"round {error.round}" in str(error)
    return [f"worker {error.worker!r}, round {error.round}"] if error.worker and error.round >= 0 and not told else []

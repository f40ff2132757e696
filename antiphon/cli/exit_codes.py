"""How a failing command of the command line ends: with a message on stderr, and an exit code."""

import signal
from typing import Any

import typer
from typer.core import TyperGroup

from antiphon.cli.terminal import echo
from antiphon.errors import AntiphonError, DeadlineError, ProtocolError, RoundError, TransportError

FAILURES = (RoundError, DeadlineError, ProtocolError, TransportError)
"""Errors of a run that has started; they give exit code 1. Every other AntiphonError gives exit code 2 (bad input)."""


class Commands(TyperGroup):
    """The group of all commands. An AntiphonError of a command becomes a message on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # Any: a context of click; a result of any type
        """Run the command of the click context `ctx`, and return its result."""
        try:
            return super().invoke(ctx)
        except AntiphonError as error:
            echo("\n  ".join([f"error: {error}", *getattr(error, "__notes__", []), *_where(error)]), err=True)
            raise typer.Exit(1 if isinstance(error, FAILURES) else 2) from None
        except KeyboardInterrupt as error:
            echo("aborted", err=True)
            raise typer.Exit(128 + getattr(error, "signal", signal.SIGINT)) from None


def _where(error: AntiphonError) -> list[str]:
    """Return a line with the worker and the round in which an error happened.

    Returns an empty list if the error has no worker or round, or if its message already names both.
    """
    told = repr(error.worker) in str(error) and f"round {error.round}" in str(error)
    return [f"worker {error.worker!r}, round {error.round}"] if error.worker and error.round >= 0 and not told else []

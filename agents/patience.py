"""Calls user code with a time limit. A call that hangs cannot be stopped, but the caller stops waiting."""

import threading
from collections.abc import Callable
from typing import Any, final

from antiphon.errors import AgentError


@final
class Patience:
    """Makes one call at a time, in a thread of its own, and waits for at most `seconds`.

    A call that takes longer goes on in its thread. Until it returns, every further call fails at once. The first call
    after its return fails too, because the late call may have changed its arguments.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._running, self._late = seconds, threading.Event(), False
        self._running.set()

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:  # Any: functions return different types
        """Return `function(*arguments)`, or raise its exception. Raises AgentError if it does not return in time."""
        if self._late:
            self._late = not self._running.is_set()
            raise AgentError(f"{'is still busy with' if self._late else 'was too late with'} an earlier call")
        returned, outcome = threading.Event(), []

        def run() -> None:
            try:
                outcome.append((function(*arguments), None))
            except BaseException as error:  # raised below, in the thread of the caller
                outcome.append((None, error))
            returned.set()

        threading.Thread(target=run, daemon=True).start()
        if not returned.wait(self._seconds):
            self._running, self._late = returned, True
            raise AgentError(f"did not return within {self._seconds:g} s")
        result, error = outcome[0]
        if error is not None:
            raise error
        return result

"""How all workers of a run end a batch early, after the same round."""

import threading
from typing import final

from antiphon.errors import DeadlineError

_SECONDS = 60.0
"""Seconds that a held worker waits for the round at which to stop. The others answer quickly, between two messages."""


@final
class Brake:
    """The brake of one worker.

    First every worker is held: it begins no further round. The last round is then the furthest that any worker has
    begun. All workers play up to and including that round, so each still receives the messages of its current round.
    Each batch has a number, so that a batch can be held before it begins, or after it ended.
    """

    def __init__(self) -> None:
        self._batch, self._begun, self._end = -1, 0, 0
        self._held, self._released = False, threading.Event()

    def begin(self, batch: int) -> None:
        """Prepare for a batch. Has no effect if this batch was already begun or held."""
        if batch != self._batch:
            self._batch, self._begun, self._held = batch, 0, False
            self._released.clear()

    def passes(self, round: int) -> bool:
        """Whether the worker may play this round. Waits while the worker is held."""
        # The order matters: `hold`, in another thread, writes `_held` before it reads `_begun`.
        self._begun = round + 1
        if not self._held:
            return True
        if not self._released.wait(_SECONDS):
            raise DeadlineError(
                f"a worker was held before round {round} and got no last round within {_SECONDS:g} s; expected "
                "every worker to answer between two messages. Look for the worker that does not answer."
            )
        return round < self._end

    def hold(self, batch: int) -> int:
        """Begin no further round of this batch. Returns how many rounds were begun, counted from the run's first."""
        self.begin(batch)
        self._held = True
        return self._begun

    def release(self, batch: int, end: int) -> None:
        """Play on, and stop before round `end`."""
        if batch == self._batch:
            self._end = end
            self._released.set()

    def abandon(self) -> None:
        """Begin no further round, whatever the other workers do."""
        self._end, self._held = -1, True
        self._released.set()

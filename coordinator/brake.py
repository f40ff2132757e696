"""How all workers of a run end a batch of rounds after the same round, sooner than they were told."""

import threading
from typing import final

from antiphon.errors import DeadlineError

_SECONDS = 60.0
"""How long a worker that is held waits to be told where to stop: the others answer at once, between two messages."""


@final
class Brake:
    """One worker's. First every worker is held: it begins no other round. The worker that has come furthest says where
    all stop, and then all play until there: whatever a worker waits for in its round, it still receives.

    Batches are told apart by number, so that a batch can be held before it begins, or after it ended.
    """

    def __init__(self) -> None:
        self._batch, self._begun, self._end = -1, 0, 0
        self._held, self._told = False, threading.Event()

    def begin(self, batch: int) -> None:
        """The batch that this worker plays next."""
        if batch != self._batch:
            self._batch, self._begun, self._held = batch, 0, False
            self._told.clear()

    def passes(self, round: int) -> bool:
        """Whether the worker plays this round. Waits, while it is held."""
        # In this order: whoever holds us reads `_begun` after it wrote `_held`.
        self._begun = round + 1
        if not self._held:
            return True
        if not self._told.wait(_SECONDS):
            raise DeadlineError(
                f"a worker was held before round {round} and not told within {_SECONDS:g} s where to stop; expected "
                "every worker to answer between two messages. Look at who does not answer."
            )
        return round < self._end

    def hold(self, batch: int) -> int:
        """Begin no other round of this batch; returns how many rounds were begun, counted from the run's first."""
        self.begin(batch)
        self._held = True
        return self._begun

    def release(self, batch: int, end: int) -> None:
        """Play on, and stop before round `end`."""
        if batch == self._batch:
            self._end = end
            self._told.set()

    def abandon(self) -> None:
        """Begin no other round, whatever the other workers do."""
        self._end, self._held = -1, True
        self._told.set()

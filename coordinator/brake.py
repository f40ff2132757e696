"""Ends a batch of rounds early, after the same round on all workers."""

import threading
from typing import final

from antiphon.errors import DeadlineError

_SECONDS = 60.0
"""Seconds that a held worker waits for the round at which to stop. The others answer quickly, between two messages."""


@final
class Brake:
    """Stops one worker between two rounds, so that all workers can end a batch after the same round.

    First every worker is held: it begins no further round. The last round of the batch is then the latest round that
    any worker has begun. All workers play up to and including that round, so each still receives the messages of its
    current round. Each batch has a number, so that a batch can be held before it begins, or after it has ended.
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
        """Return whether the worker may play this round. Blocks while the worker is held.

        Raises DeadlineError if the worker is not released in time.
        """
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
        """Hold the worker before its next round. Returns how many rounds of the run have begun; 0 before the batch."""
        self.begin(batch)
        self._held = True
        return self._begun

    def release(self, batch: int, end: int) -> None:
        """Let the held worker continue, and end the batch before round `end`."""
        if batch == self._batch:
            self._end = end
            self._released.set()

    def abandon(self) -> None:
        """End the batch before the next round, even if the other workers play on."""
        self._end, self._held = -1, True
        self._released.set()

"""Ends a batch of rounds early, after the same round on all workers."""

import threading
from typing import final

from antiphon.errors import DeadlineError

_SECONDS = 60.0
"""Seconds that a held worker waits for `release`. Normally all other workers answer quickly, between two messages."""


@final
class Brake:
    """Holds one worker between two rounds, so that all workers can end a batch of rounds after the same round.

    To end a batch, every worker is held: it begins no further round. The latest round that any worker has begun becomes
    the last round of the batch. Then all workers are released and play up to and including that round. So each worker
    still receives the messages of its current round. Each batch has a number, so that a batch can be held before it
    begins, or after it has ended.
    """

    def __init__(self) -> None:
        self._batch, self._begun, self._end = -1, 0, 0
        self._held, self._released = False, threading.Event()

    def begin(self, batch: int) -> None:
        """Prepare for the batch of rounds with this number. Has no effect if this batch was already begun or held."""
        if batch != self._batch:
            self._batch, self._begun, self._held = batch, 0, False
            self._released.clear()

    def passes(self, round: int) -> bool:
        """Return whether the worker may play this round. Blocks while the worker is held.

        Raises DeadlineError if the worker is not released within 60 seconds.
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
        """Hold the worker before its next round, in the batch of rounds with this number.

        Returns how many rounds of the run the worker has begun; 0 if it has begun no round of this batch.
        """
        self.begin(batch)
        self._held = True
        return self._begun

    def release(self, batch: int, end: int) -> None:
        """Let the held worker play on, and end the batch with this number before round `end`."""
        if batch == self._batch:
            self._end = end
            self._released.set()

    def abandon(self) -> None:
        """End the batch before the next round, even if the other workers play on."""
        self._end, self._held = -1, True
        self._released.set()

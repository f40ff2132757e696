"""A schedule of rounds: every n-th round, from a first round on."""

from dataclasses import dataclass

from antiphon.grammars.numbers import Count, Natural
from antiphon.grammars.typed import typed


@typed
@dataclass(frozen=True, slots=True)
class Cadence:
    """Rounds `start`, `start + every`, `start + 2 * every`, ... counted from 0.

    >>> [round for round in range(10) if Cadence(every=3, start=2).active(round)]
    [2, 5, 8]
    """

    every: Count = 1
    start: Natural = 0

    def active(self, round: int) -> bool:
        """Whether `round` is one of the rounds `start`, `start + every`, `start + 2 * every`, ... of this cadence."""
        return round >= self.start and (round - self.start) % self.every == 0

    def within(self, other: "Cadence") -> bool:
        """Return whether the other cadence plays in every round in which this one plays.

        >>> Cadence(4, start=6).within(Cadence(2)), Cadence(3).within(Cadence(2))
        (True, False)
        """
        return other.active(self.start) and self.every % other.every == 0

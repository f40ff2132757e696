"""When something happens: every so many rounds, from a first one on."""

from dataclasses import dataclass
from numbers import Integral

from antiphon.errors import GrammarError


@dataclass(frozen=True, slots=True)
class Cadence:
    """Rounds `start`, `start + every`, `start + 2 * every`, ... counted from 0.

    Raises GrammarError unless both are whole numbers, `every` at least 1 and `start` at least 0.

    >>> [round for round in range(10) if Cadence(every=3, start=2).active(round)]
    [2, 5, 8]
    """

    every: int = 1
    start: int = 0

    def __post_init__(self) -> None:
        whole = all(isinstance(each, Integral) and not isinstance(each, bool) for each in (self.every, self.start))
        if not whole or self.every < 1 or self.start < 0:
            raise GrammarError(
                f"a cadence plays every {self.every!r} rounds from round {self.start!r} on; "
                "expected whole numbers, every >= 1 and start >= 0. Correct the two numbers."
            )

    def active(self, round: int) -> bool:
        """Whether this cadence plays in `round`."""
        return round >= self.start and (round - self.start) % self.every == 0

"""Truncated backpropagation through time, as data: which errors flow back through which steps."""

from dataclasses import dataclass

from antiphon.errors import GrammarError
from antiphon.grammars.numbers import Count
from antiphon.grammars.typed import typed


@typed
@dataclass(frozen=True)
class Truncation:
    """Truncated backpropagation through time, BPTT(h; h') (Williams and Peng, 1990).

    through: h, the number of steps through which errors flow back. every: h', the number of steps between two backward
    passes. Each backward pass starts with the errors of the last `every` steps. If `through` is the number of all steps
    or more, the gradient is exact. Raises GrammarError if `through` is smaller than `every`, because the errors of some
    steps would then be lost.

    >>> Truncation(4, 2).windows(5)
    [(0, 0, 2), (0, 2, 4), (1, 4, 5)]
    """

    through: Count
    every: Count

    def __post_init__(self) -> None:
        if self.through < self.every:
            raise GrammarError(
                f"a truncation sends errors back through {self.through} steps, every {self.every} steps; expected "
                "`through` to be at least `every`, else the errors of some steps reach no step. Raise `through`, or "
                "lower `every`."
            )

    def windows(self, steps: int) -> list[tuple[int, int, int]]:
        """Return (begin, first, last) for each backward pass over a sequence with this number of steps.

        The errors of the steps first, ..., last - 1 flow back to step `begin`. The state before step `begin` is held
        fixed. If `begin` is 0, the errors also reach the state at the start of the sequence.
        """
        ends = ((first, min(first + self.every, steps)) for first in range(0, steps, self.every))
        return [(max(0, last - self.through), first, last) for first, last in ends]

    def is_exact(self, steps: int) -> bool:
        """Return whether all errors flow back to the start of a sequence with this number of steps."""
        return all(begin == 0 for begin, _, _ in self.windows(steps))

    def __repr__(self) -> str:
        return f"BPTT({self.through}; {self.every})"

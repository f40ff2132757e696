"""Randomness that is counted, not stored: each draw is a function of (seed, round, how many came before it)."""

from typing import final

import torch

from antiphon.grammars.seeds import at_round


@final
class Draws:
    """A generator for every draw of an oracle, so that nothing random has to be checkpointed at a round boundary.

    >>> first, second = Draws(seed=1), Draws(seed=1)
    >>> _ = first.at(0)
    >>> torch.rand(2, generator=first.at(7)).equal(torch.rand(2, generator=second.at(7)))
    True
    """

    def __init__(self, seed: int) -> None:
        self._seed, self._round, self._asked = seed, -1, 0
        self._generator = torch.Generator()

    def at(self, round: int) -> torch.Generator:
        """The generator of the next draw in this round; it is valid until `at` is called again.

        Questions asked twice in one round get different draws, in the order in which they are asked.
        """
        self._asked = self._asked + 1 if round == self._round else 0
        self._round = round
        return self._generator.manual_seed(at_round(at_round(self._seed, round), self._asked))

    def restart(self) -> None:
        """A state is loaded: the next round may be one that was drawn in before, and draws the same again."""
        self._round = -1

"""Random draws as a function of (seed, round, number of earlier draws in the round), so that no state is saved."""

from typing import final

import torch

from antiphon.grammars.seeds import at_round


@final
class Draws:
    """Makes a random generator for every draw of an oracle, seeded by seed, round and number of the draw in the round.

    So a checkpoint between rounds needs no generator state.

    >>> first, second = Draws(seed=1), Draws(seed=1)
    >>> _ = first.at(0)
    >>> torch.rand(2, generator=first.at(7)).equal(torch.rand(2, generator=second.at(7)))
    True
    """

    def __init__(self, seed: int) -> None:
        self._seed, self._round, self._asked = seed, -1, 0
        self._generator = torch.Generator()

    def at(self, round: int) -> torch.Generator:
        """Return the generator for the next draw in this round. It is valid until the next call of `at`.

        Several draws in one round differ; the order of the calls determines them.
        """
        self._asked = self._asked + 1 if round == self._round else 0
        self._round = round
        return self._generator.manual_seed(at_round(at_round(self._seed, round), self._asked))

    def restart(self) -> None:
        """Begin again with the first draw of a round.

        Call it after loading a state, so that a repeated round draws the same.
        """
        self._round = -1

"""Tasks of regression for meta-learning: sine waves of random amplitude and phase (Finn et al. 2017, section 5.1)."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question, State
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.draws import Draws


@typed
def sinusoids(*, batch: Count, dtype: torch.dtype = torch.float32) -> OracleDeclaration:
    """Declare an oracle of tasks. Each answer is a new task: y = a sin(x - b), with a in [0.1, 5] and b in [0, pi].

    batch: number of points. Question: task() -> x, y, and further x, y of the same task, each (batch, 1). x is uniform
    in [-5, 5].
    """
    edge = EdgeType((Batch(), 1), dtype)
    return OracleDeclaration(
        Factory.of(Sinusoids, batch, dtype), (Question("task", (), (edge,) * 4),), (("batch", batch),)
    )


@final
class Sinusoids(Memoryless):
    """Draws sine waves, as functions of seed, round and number of the task in the round."""

    def __init__(self, batch: int, dtype: torch.dtype, *, seed: int) -> None:
        self._batch, self._dtype, self._draws = batch, dtype, Draws(seed)

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return a new task: x, y, and further x, y."""
        generator = self._draws.at(round)
        size, phase = torch.rand(2, generator=generator, dtype=torch.float64) * torch.tensor([4.9, math.pi])
        points = torch.rand(2, self._batch, 1, generator=generator, dtype=torch.float64) * 10 - 5
        waves = (0.1 + size) * torch.sin(points - phase)
        return tuple(each.to(self._dtype) for x, y in zip(points, waves, strict=True) for each in (x, y))

    def load(self, state: State) -> None:
        """Begin again with the first task of a round, so that a repeated round draws the same."""
        self._draws.restart()

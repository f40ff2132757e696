"""An oracle of deviations along the coordinate axes, for finite differences instead of random noise."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Positive
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.noise import Annealing, refuse_integers, scale_at


@typed
def coordinates(
    dimension: Count,
    *,
    symbol: str = "batch",
    scale: Positive | Annealing = 1.0,
    dtype: torch.dtype = torch.float32,
) -> OracleDeclaration:
    """Declare an oracle of the deviations eps_i = c e_i along every axis, where c is the scale of the round.

    The deviations are not random, and the size of the batch is `dimension`. In a grammar that expects noise, they turn
    a random estimate into central finite differences.
    Questions: sample() -> eps, (dimension, dimension), whose rows are the batch; scale() -> c, 0-d.
    Raises OracleError for a dtype that is not floating.
    """
    refuse_integers("coordinates", dtype)
    questions = (
        Question("sample", (), (EdgeType((Batch(symbol), dimension), dtype),)),
        Question("scale", (), (EdgeType((), dtype),)),
    )
    return OracleDeclaration(Factory.of(Coordinates, dimension, scale, dtype), questions, ((symbol, dimension),))


@final
class Coordinates(Memoryless):
    """Answers questions about deviations along the coordinate axes: the deviations, or their size. It has no state."""

    def __init__(self, dimension: int, scale: float | Annealing, dtype: torch.dtype, *, seed: int) -> None:
        self._dimension, self._scale, self._dtype = dimension, scale, dtype

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Return the answer to a question, as one tensor.

        "sample": the deviations, (dimension, dimension), one per row. "scale": their size in this round, 0-d.
        """
        scale = scale_at(self._scale, round)
        if question == "scale":
            return (torch.tensor(scale, dtype=self._dtype),)
        return (torch.eye(self._dimension, dtype=self._dtype).mul_(scale),)

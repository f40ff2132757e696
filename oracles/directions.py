"""The directions of the axes, one after the other: where finite differences look, as noise looks anywhere."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Positive
from antiphon.grammars.oracle import Memoryless, OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType
from antiphon.oracles.noise import Annealing


@typed
def coordinates(
    dimension: Count,
    *,
    symbol: str = "batch",
    scale: Positive | Annealing = 1.0,
    dtype: torch.dtype = torch.float32,
) -> OracleDeclaration:
    """Deviations eps_i = c e_i along every axis, c the scale of the round: no chance in it, and a batch of `dimension`.

    Where a grammar expects noise, it makes central finite differences of what was an estimate by chance.
    Questions: sample() -> eps, (dimension, dimension), its rows the batch; scale() -> c, 0-d.
    Raises OracleError for a dtype that is not floating.
    """
    if not dtype.is_floating_point:
        raise OracleError(
            f"coordinates: expected a floating dtype; {dtype} arrived. Pass torch.float32 or torch.float64."
        )
    questions = (
        Question("sample", (), (EdgeType((Batch(symbol), dimension), dtype),)),
        Question("scale", (), (EdgeType((), dtype),)),
    )
    return OracleDeclaration(Factory.of(Coordinates, dimension, scale, dtype), questions, ((symbol, dimension),))


@final
class Coordinates(Memoryless):
    """The live oracle. It knows nothing and remembers nothing."""

    def __init__(self, dimension: int, scale: float | Annealing, dtype: torch.dtype, *, seed: int) -> None:
        self._dimension, self._scale, self._dtype = dimension, scale, dtype

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer sample or scale."""
        scale = self._scale.at(round) if isinstance(self._scale, Annealing) else float(self._scale)
        if question == "scale":
            return (torch.tensor(scale, dtype=self._dtype),)
        return (torch.eye(self._dimension, dtype=self._dtype).mul_(scale),)

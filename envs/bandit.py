"""A quadratic bandit: a Nature without state whose gradient is known (Silver et al. 2014, Deterministic policy gradient
algorithms, section 5.1)."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from antiphon.envs.pulls import Bandit
from antiphon.errors import OracleError
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Natural
from antiphon.grammars.oracle import OracleDeclaration, Question
from antiphon.grammars.typed import typed
from antiphon.grammars.types import Batch, EdgeType

TARGET = 4.0
"""The value of every coordinate of the best action a*."""


@typed
def quadratic_bandit(
    dimension: Count, *, batch: Count, symbol: str = "batch", instance: Natural = 0, dtype: torch.dtype = torch.float32
) -> OracleDeclaration:
    """Declare a Nature with the reward r(a) = -(a - a*)' C (a - a*); C is given by `curvature`, a* = (4, ..., 4).

    Questions: observe() -> a constant 1, (batch, 1); reward(a), (batch, dimension) -> r, (batch,), values only.
    instance: seed of C.
    """
    examples = Batch(symbol)
    questions = (
        Question("observe", (), (EdgeType((examples, 1), dtype),)),
        Question("reward", (EdgeType((examples, dimension), dtype),), (EdgeType((examples,), dtype),)),
    )
    return OracleDeclaration(
        Factory.of(QuadraticBandit, dimension, batch, instance, dtype), questions, ((symbol, batch),)
    )


def curvature(dimension: int, instance: int = 0) -> Tensor:
    """Return C of one bandit, symmetric, (dimension, dimension), float64.

    Half of its eigenvalues are 0.1, the others 1. The eigenvectors are drawn with the seed `instance`. The gradient of
    the reward is -2 C (a - a*).
    """
    generator = torch.Generator().manual_seed(instance)
    basis, _ = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator, dtype=torch.float64))
    eigenvalues = torch.where(torch.arange(dimension) % 2 == 0, 0.1, 1.0).to(torch.float64)
    return basis @ torch.diag(eigenvalues) @ basis.T


@final
class QuadraticBandit(Bandit):
    """The live oracle of `quadratic_bandit`. Its rewards are deterministic."""

    def __init__(self, dimension: int, batch: int, instance: int, dtype: torch.dtype, *, seed: int) -> None:
        super().__init__(seed)
        self._curvature, self._batch = curvature(dimension, instance).to(dtype), batch

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> Sequence[Tensor]:
        """Answer the question "observe" or "reward"."""
        if question == "observe":
            return (torch.ones(self._batch, 1, dtype=self._curvature.dtype),)
        away = inputs[0].detach() - TARGET
        reward = -(away @ self._curvature * away).sum(1)
        if not torch.isfinite(reward).all():
            raise OracleError(
                f"quadratic bandit answered NaN or infinity in round {round}; expected finite rewards. The actions "
                "left all bounds: lower the learning rate of the player, or the noise."
            )
        self.count(reward)
        return (reward,)

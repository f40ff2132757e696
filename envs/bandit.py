"""A quadratic bandit: a Nature without state whose gradient is known (Silver et al. 2014, Deterministic policy gradient
algorithms, section 5.1)."""

from typing import final

import torch
from torch import Tensor

from antiphon.envs.contextual import declared
from antiphon.grammars.factory import Factory
from antiphon.grammars.numbers import Count, Natural
from antiphon.grammars.oracle import OracleDeclaration
from antiphon.grammars.typed import typed

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
    reward = Factory.of(QuadraticReward, dimension, instance, dtype)
    return declared(reward, 1, dimension, batch, symbol, dtype, drawn=False)


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
class QuadraticReward:
    """The reward r(a) = -(a - a*)' C (a - a*) of the quadratic bandit. It is deterministic."""

    def __init__(self, dimension: int, instance: int, dtype: torch.dtype) -> None:
        self._curvature = curvature(dimension, instance).to(dtype)

    def __call__(self, state: Tensor, action: Tensor) -> Tensor:
        """Return the rewards, (batch,), of the actions, (batch, dimension)."""
        away = action - TARGET
        return -(away @ self._curvature * away).sum(1)

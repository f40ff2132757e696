"""Players for problems with a quadratic value: Critic and Deviator can represent exactly what they have to learn."""

from typing import final

import torch
from torch import Tensor, nn


@final
class LinearPolicy(nn.Linear):
    """A linear policy mu(s) = K s: (batch, state) -> (batch, action).

    K starts as `gain`, (action, state), and has its dtype.
    """

    def __init__(self, gain: Tensor) -> None:
        action, state = gain.shape
        super().__init__(state, action, bias=False, dtype=gain.dtype)
        with torch.no_grad():
            self.weight.copy_(gain)


class QuadraticValue(nn.Module):
    """A quadratic function of z = (s, a): (batch, state), (batch, action) -> (batch, 1). Parameters start at zero.

    The function is linear in the products z_i z_j with i <= j, plus a constant.
    """

    def __init__(self, state: int, action: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.rows, self.columns = torch.triu_indices(state + action, state + action).tolist()
        self.weights = _zero(nn.Linear(len(self.rows), 1, dtype=dtype))

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """Return the value, (batch, 1). state: (batch, state); action: (batch, action)."""
        both = torch.cat([state, action], dim=-1)
        return self.weights(both[:, self.rows] * both[:, self.columns])


class AffineSlope(nn.Module):
    """An affine function of (s, a): (batch, state), (batch, action) -> (batch, action). Parameters start at zero."""

    def __init__(self, state: int, action: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weights = _zero(nn.Linear(state + action, action, dtype=dtype))

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        """Return the slope, (batch, action). state: (batch, state); action: (batch, action)."""
        return self.weights(torch.cat([state, action], dim=-1))


class Bowl:
    """A quadratic function with one minimum (one maximum if `sign` is -1), drawn from `seed`: (..., dimension) ->
    (...).

    The eigenvalues of its quadratic form are in [1/2, 4].
    """

    def __init__(self, dimension: int, seed: int, sign: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn(dimension, dimension + 1, generator=generator, dtype=torch.float64)
        basis, _ = torch.linalg.qr(draw[:, :dimension])
        self.curvature = basis @ torch.diag(torch.linspace(0.5, 4, dimension, dtype=torch.float64)) @ basis.T
        self.lowest, self.sign = draw[:, dimension], sign

    def __call__(self, points: Tensor) -> Tensor:
        """Return the value at each point: half of the quadratic form of (point - minimum), times `sign`."""
        away = points - self.lowest.to(points.dtype)
        return self.sign * ((away @ self.curvature.to(points.dtype)) * away).sum(-1) / 2


@torch.no_grad()
def _zero(layer: nn.Linear) -> nn.Linear:
    """Set all parameters of a layer to zero, and return the layer."""
    for parameter in layer.parameters():
        parameter.zero_()
    return layer

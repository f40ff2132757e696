"""A random policy: a normal distribution that is mapped into the bounds of the actions, with its log-probability."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from antiphon.grammars.library.networks import Within, beside, rectified
from antiphon.grammars.numbers import Count
from antiphon.grammars.typed import typed


@typed
@final
class RandomPolicy(nn.Module):
    """A random policy: (batch, state), (batch, action) -> (batch, action), (batch,).

    The second input is standard normal noise eps. The first output is the action, the image of mean(s) + deviation(s)
    eps under `Within`, which maps each number into the bounds of its dimension. The second output is the logarithm of
    the action's probability density. low, high: the bounds of each dimension; they may be infinite. Without them,
    actions are in (-1, 1).
    """

    def __init__(
        self,
        state: Count,
        action: Count,
        widths: Sequence[Count],
        low: Sequence[float] = (),
        high: Sequence[float] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.network = nn.Sequential(*rectified(state, 2 * action, widths)).to(dtype)
        self.low, self.high = tuple(low or (-1.0,) * action), tuple(high or (1.0,) * action)
        self.within = Within(self.low, self.high)

    def forward(self, state: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the action, (batch, action), and its log-density, (batch,)."""
        mean, spread = self.network(state).chunk(2, -1)
        spread = spread.clamp(-20, 2)  # as others do: the deviation is between 2e-9 and 7.4
        x = mean + spread.exp() * eps
        density = -eps.square() / 2 - spread - math.log(2 * math.pi) / 2 - self._log_slope(x)
        return self.within(x), density.sum(-1)

    def median(self, state: Tensor) -> Tensor:
        """Return the median action at each state, (batch, action): the action without noise."""
        return self.within(self.network(state).chunk(2, -1)[0])

    def _log_slope(self, x: Tensor) -> Tensor:
        """Return the logarithm of the derivative of `Within` at each number: (batch, action) -> (batch, action)."""
        low, high = beside(x, self.low), beside(x, self.high)
        below, above = torch.isfinite(low), torch.isfinite(high)
        half = torch.where(below & above, (high - low) / 2, 1.0)
        between = half.log() + 2 * (math.log(2) - x - softplus(-2 * x))
        beyond = torch.where(below, logsigmoid(x), logsigmoid(-x))
        return torch.where(below & above, between, torch.where(below | above, beyond, 0.0))

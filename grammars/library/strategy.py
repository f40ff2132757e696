"""A player whose output is a probability distribution over its actions: a mixed strategy (essay, Definition 5)."""

from typing import Literal, TypeAlias, final

import torch
from torch import Tensor, nn

from antiphon.grammars.numbers import Count
from antiphon.grammars.typed import typed

Start: TypeAlias = Literal["uniform", "random"]


@typed
@final
class MixedStrategy(nn.Module):
    """A module without inputs that returns its parameter theta, (actions,), which begins as a distribution.

    start: "uniform", or "random": uniform over all distributions. Only an agent such as Hedge keeps theta a
    distribution.
    """

    def __init__(self, actions: Count, start: Start = "uniform", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        weights = torch.ones(actions) if start == "uniform" else -torch.rand(actions).clamp(min=1e-6).log() + 1e-6
        self.theta = nn.Parameter((weights / weights.sum()).to(dtype))

    def forward(self) -> Tensor:
        """Return a copy of theta, because the next move overwrites the parameters while the value may still be read."""
        return self.theta.clone()

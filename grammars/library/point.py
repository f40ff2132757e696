"""A player whose output is its parameter vector: the User of an optimization problem (essay, Definition 3)."""

from typing import final

import torch
from torch import Tensor, nn

from antiphon.grammars.numbers import Count
from antiphon.grammars.typed import typed


@typed
@final
class Point(nn.Module):
    """A module without inputs that returns its parameter theta, (dimension,). Every number is `start` at first."""

    def __init__(self, dimension: Count, start: float = 0.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.full((dimension,), start, dtype=dtype))

    def forward(self) -> Tensor:
        """Return a copy of theta, because the next move overwrites the parameters while the value may still be read."""
        return self.theta.clone()

"""A network that takes several inputs side by side."""

import torch
from torch import Tensor, nn


class Joined(nn.Sequential):
    """A sequence of links on the inputs side by side: (batch, n), (batch, m), ... -> the output of the last link.

    A subclass that adds only a constructor keeps the hand-written products of plain links (`oracles/chain.py`).
    """

    def forward(self, *inputs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the output of the last link. The first link gets the inputs, joined in their last dimension."""
        return super().forward(torch.cat(inputs, dim=-1))

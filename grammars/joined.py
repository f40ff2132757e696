"""A sequence of modules that takes several inputs side by side."""

import torch
from torch import Tensor, nn


class Joined(nn.Sequential):
    """A sequence of modules on inputs joined side by side: (batch, n), (batch, m), ... -> the output of the last
    module.

    A subclass that adds only a constructor keeps the hand-written gradients of plain sequences (`oracles/chain.py`).
    """

    def forward(self, *inputs: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Join the inputs in their last dimension, pass them through all modules, and return the output of the last
        module.
        """
        return super().forward(torch.cat(inputs, dim=-1))

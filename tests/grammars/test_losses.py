"""Losses: means over the batch."""

import torch

from antiphon.grammars.losses import bellman_gradient_error


def test_bellman_gradient_error_by_hand():
    error = bellman_gradient_error(
        reward=torch.tensor([1.0, 2.0]),
        terminated=torch.tensor([0.0, 1.0]),
        next_value=torch.tensor([[4.0], [100.0]]),
        value=torch.tensor([[1.0], [1.0]]),
        slope=torch.tensor([[1.0, 2.0], [0.0, 1.0]]),
        deviation=torch.tensor([[0.5, 0.25], [1.0, -2.0]]),
        gamma=0.5,
    )
    # (1 + 0.5 * 4 - 1 - (0.5 + 0.5))^2 = 1; the second one terminated: (2 - 1 + 2)^2 = 9
    assert error == torch.tensor((1.0 + 9.0) / 2)

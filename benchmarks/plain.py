"""The peer of all benchmarks of rounds: the same network in plain PyTorch."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

Play: TypeAlias = Callable[[int], object]
"""Plays so many rounds."""


def plain_network(modules: Sequence[nn.Module], x: Tensor, y: Tensor, rate: float) -> Play:
    """Stack modules, and return a function that trains them by SGD for so many rounds, always on the same batch."""
    network = nn.Sequential(*modules)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)

    def play(rounds: int) -> None:
        for _ in range(rounds):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x), y)
            loss.backward()
            optimizer.step()
            loss.item()

    return play

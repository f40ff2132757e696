"""The network of the benchmarks in plain PyTorch, to compare with."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

Play: TypeAlias = Callable[[int], object]
"""A function of a number that plays this number of rounds."""


def plain_network(modules: Sequence[nn.Module], x: Tensor, y: Tensor, rate: float) -> Play:
    """Return a function that trains a network by SGD for a number of rounds, always on the same batch.

    modules: the layers of the network, in order. rate: the learning rate.
    """
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

"""The network of the benchmarks in plain PyTorch, to compare with."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

Play: TypeAlias = Callable[[int], object]
"""A function of a number that plays this number of rounds."""


def batches_of(x: Tensor, y: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of inputs and labels without end: the next `batch` rows each time, then again from the first row.

    batch: a divisor of the number of rows.
    """
    return itertools.cycle(list(zip(x.split(batch), y.split(batch), strict=True)))


def plain_network(modules: Sequence[nn.Module], x: Tensor, y: Tensor, rate: float, batch: int | None = None) -> Play:
    """Return a function that trains a network by SGD for a number of rounds.

    modules: the layers of the network, in order. rate: the learning rate. batch: number of rows in a round; each round
    takes the next rows. None: each round takes all rows.
    """
    batches = batches_of(x, y, batch or len(x))
    network = nn.Sequential(*modules)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate)

    def play(rounds: int) -> None:
        for _ in range(rounds):
            optimizer.zero_grad()
            inputs, labels = next(batches)
            loss = nn.functional.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.step()
            loss.item()

    return play

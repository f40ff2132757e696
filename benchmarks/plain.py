"""The network of the benchmarks in plain PyTorch, to compare with."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def plain_rounds(loss: Callable[[], Tensor], parameters: Iterable[nn.Parameter], rate: float) -> Play:
    """Return a function that plays rounds of SGD. It reads the loss in each round, as a run of ours does."""
    optimizer = torch.optim.SGD(parameters, lr=rate)

    def play(rounds: int) -> None:
        for _ in range(rounds):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            optimizer.step()
            value.item()

    return play


def plain_network(modules: Sequence[nn.Module], x: Tensor, y: Tensor, rate: float, batch: int | None = None) -> Play:
    """Return a function that trains a network by SGD for a number of rounds.

    modules: the layers of the network, in order. rate: the learning rate. batch: number of rows in a round; each round
    takes the next rows. None: each round takes all rows.
    """
    batches, network = batches_of(x, y, batch or len(x)), nn.Sequential(*modules)

    def loss() -> Tensor:
        inputs, labels = next(batches)
        return nn.functional.cross_entropy(network(inputs), labels)

    return plain_rounds(loss, network.parameters(), rate)

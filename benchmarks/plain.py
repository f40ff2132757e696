"""The peer of all benchmarks of rounds: the same network in plain PyTorch."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

Play: TypeAlias = Callable[[int], object]
"""Plays so many rounds."""


def batches_of(x: Tensor, y: Tensor, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the next `batch` rows of inputs and labels, over and over. batch: divides the number of rows."""
    return itertools.cycle(list(zip(x.split(batch), y.split(batch), strict=True)))


def plain_network(modules: Sequence[nn.Module], x: Tensor, y: Tensor, rate: float, batch: int | None = None) -> Play:
    """Stack modules, and return a function that trains them by SGD for so many rounds.

    batch: rows of a round, the next ones in each; all rows by default.
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

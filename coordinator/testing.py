"""Small grammars for tests of executors: importable, so that workers find their classes by name."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from antiphon.grammars.factory import Factory
from antiphon.grammars.grammar import Grammar
from antiphon.grammars.library import backprop
from antiphon.grammars.oracle import OracleDeclaration, Question, State
from antiphon.grammars.seeds import at_round
from antiphon.grammars.types import Batch, EdgeType


class Points:
    """An oracle of random points of a shape, and labels, fresh each round."""

    def __init__(self, shape: tuple[int, ...], classes: int, batch: int, seed: int) -> None:
        self._shape, self._classes, self._batch, self._seed = shape, classes, batch, seed

    def answer(self, question: str, inputs: Sequence[Tensor], round: int) -> tuple[Tensor, Tensor]:
        """Points (batch, *shape) and labels (batch,)."""
        generator = torch.Generator().manual_seed(at_round(self._seed, round))
        x = torch.randn(self._batch, *self._shape, generator=generator)
        return x, torch.randint(self._classes, (self._batch,), generator=generator)

    def state(self) -> State:
        """Nothing: rounds are counted."""
        return {}

    def load(self, state: State) -> None:
        """Nothing to load."""

    def report(self) -> Mapping[str, float]:
        """Nothing to report."""
        return {}

    def close(self) -> None:
        """Nothing to close."""


def points(*shape: int, classes: int = 3, batch: int = 7) -> OracleDeclaration:
    """The declaration of `Points`."""
    types = EdgeType((Batch(), *shape)), EdgeType((Batch(),), torch.int64)
    factory = Factory.of(Points, shape, classes, batch)
    return OracleDeclaration(factory, (Question("sample", (), types),), (("batch", batch),))


class Dense(nn.Sequential):
    """Linear, rectified, with dropout."""

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout))


class FailsLater(nn.Linear):
    """Raises in its fourth forward pass."""

    played = 0  # rounds; type inference on fake tensors does not count

    def forward(self, input: Tensor) -> Tensor:
        """As linear, three times."""
        self.played += not _fake(input)
        if self.played == 4:
            raise ZeroDivisionError("the fourth is too many")
        return super().forward(input)


def _fake(value: Tensor) -> bool:
    return type(value).__name__ == "FakeTensor"


def with_dropout() -> Grammar:
    """Odd shapes, dropout, a skip, an operator without parameters."""
    layers = {
        "First": Factory.of(Dense, 13, 17, 0.5),
        "Second": Factory.of(Dense, 17, 17, 0.3),
        "Norm": Factory.of(nn.LayerNorm, 17),
        "Drop": Factory.of(nn.Dropout, 0.2),
        "Last": Factory.of(nn.Linear, 17, 3),
    }
    return backprop(points(13), layers, skips={"Second": "First"})


def convolutional() -> Grammar:
    """Images, with parameterless max-pooling."""
    layers = {
        "Conv": Factory.of(nn.Conv2d, 1, 5, 3),
        "Pool": Factory.of(nn.MaxPool2d, 2),
        "Flat": Factory.of(nn.Flatten),
        "Last": Factory.of(nn.Linear, 45, 3),
    }
    return backprop(points(1, 9, 8), layers)


def wide() -> Grammar:
    """Slow enough to be killed in the middle."""
    layers = {name: Factory.of(Dense, 256, 256) for name in ("First", "Second")}
    return backprop(points(256, batch=64, classes=10), {**layers, "Last": Factory.of(nn.Linear, 256, 10)})


def failing() -> Grammar:
    """Its player Fails raises in the fourth round."""
    return backprop(points(4), {"Fine": Factory.of(nn.Linear, 4, 4), "Fails": Factory.of(FailsLater, 4, 3)})

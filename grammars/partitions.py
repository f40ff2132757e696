"""Partitions of an output space: they state which outputs count as the same (essay, Definition 1).

Two inputs of a real-valued function rarely share an output. So its semantics needs a statement of which outputs are the
same. A partition is this statement as a value: it can be printed, compared, and stored beside the results.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from antiphon.errors import ExperimentError, ShapeError
from antiphon.grammars.numbers import Positive
from antiphon.grammars.typed import typed


class Partition(Protocol):
    """Maps outputs, (n, ...), to cells: integers, (n, ...). Outputs with equal integers are in the same cell."""

    @typed
    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the cell of each output as an integer. outputs: (n, ...); returns (n, ...)."""
        ...


@typed
@dataclass(frozen=True)
class Itself:
    """The partition in which each value of the output is a cell.

    It suits functions into a finite set, such as labels.
    """

    @typed
    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the outputs, (n, ...), unchanged: each value is its own cell."""
        return outputs


@typed
@dataclass(frozen=True)
class Largest:
    """The partition by the class with the largest logit, the first one in a tie: (n, classes) -> (n,).

    For classifiers.
    """

    @typed
    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the class with the largest logit for each output, (n,). outputs: (n, classes)."""
        if outputs.ndim != 2:
            raise ShapeError(
                f"Largest() was given outputs of shape {tuple(outputs.shape)}; expected (inputs, classes), a logit for "
                "each class. State another partition, such as Threshold() for one logit."
            )
        # torch.argmax does not define which of several equal logits it takes.
        return (outputs == outputs.amax(1, keepdim=True)).to(torch.uint8).cummax(1).values.eq(0).sum(1)


@typed
@dataclass(frozen=True)
class Threshold:
    """The partition by whether each number is above `at`: (n, ...) -> 0 or 1, (n, ...)."""

    at: float = 0.0

    @typed
    def __call__(self, outputs: Tensor) -> Tensor:
        """Return 1 for each number of `outputs`, (n, ...), that is above `at`, else 0."""
        return (outputs > self.at).to(torch.int64)


@typed
@dataclass(frozen=True)
class Grid:
    """The partition into cubes of side `width`; one cube has a corner at `origin`.

    The cell of a number y is the integer k with origin + k width <= y < origin + (k + 1) width.

    >>> Grid(0.5)(torch.tensor([-0.1, 0.0, 0.49, 0.5]))
    tensor([-1,  0,  0,  1])
    """

    width: Positive
    origin: float = 0.0

    @typed
    def __call__(self, outputs: Tensor) -> Tensor:
        """Return, for each number y of `outputs`, (n, ...), the integer k with origin + k width <= y < origin + (k + 1)
        width.
        """
        return ((outputs - self.origin) / self.width).floor().to(torch.int64)


@typed
@dataclass(frozen=True)
class Nearest:
    """The partition by the nearest prototype in Euclidean distance, the first one in a tie: (n, d) -> (n,).

    The cell is the index of that prototype. prototypes: vectors of d numbers; of one number for outputs of shape (n,).

    >>> Nearest(((0.0, 0.0), (1.0, 1.0)))(torch.tensor([[0.2, 0.1], [0.9, 2.0]]))
    tensor([0, 1])
    """

    prototypes: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if len({len(each) for each in self.prototypes}) != 1:
            raise ExperimentError(
                f"{self!r}: expected one prototype or more, all of one length. Give each as many numbers as an output."
            )

    @typed
    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the index of the nearest prototype for each output, (n,). outputs: (n, d), or (n,)."""
        points = outputs.unsqueeze(1) if outputs.ndim == 1 else outputs
        prototypes = torch.tensor(self.prototypes, dtype=points.dtype, device=points.device)
        if points.ndim != 2 or points.shape[1] != prototypes.shape[1]:
            raise ShapeError(
                f"Nearest() to prototypes of {prototypes.shape[1]} numbers was given outputs of shape "
                f"{tuple(outputs.shape)}; expected (inputs, {prototypes.shape[1]}). Give prototypes of that length."
            )
        distances = (points[:, None] - prototypes).square().sum(2)
        return Largest()(-distances)

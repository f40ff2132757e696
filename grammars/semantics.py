"""Computes, for each output of a function on a finite data set, the set of inputs with this output.

The essay calls this set the meaning of the output (Definition 1).
"""

import functools
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, log
from typing import Any, TypeAlias

import torch
from torch import Tensor

from antiphon.errors import ExperimentError, ShapeError
from antiphon.grammars.factory import describe
from antiphon.grammars.partitions import Itself, Largest, Partition
from antiphon.grammars.typed import typed

Output: TypeAlias = Hashable
"""One output, or its cell: a number, or a tuple of numbers in the order of its elements."""

Data: TypeAlias = Tensor | Sequence[Tensor]
"""A finite data set: one tensor, (n, ...), or one tensor for each argument of the function, all with n rows."""


@typed
@dataclass(frozen=True)
class Semantics:
    """A partition of a finite data set X: inputs with the same output form a category, which the output names.

    outputs: one for each input, in the order of the data. partition: states which outputs count as the same.
    data: a digest of X, because only functions on the same X can be compared. Two equal `Semantics` have the same
    categories with the same names.
    """

    outputs: tuple[Output, ...] = field(repr=False)
    partition: Partition
    data: str = field(repr=False)

    @property
    def inputs(self) -> frozenset[int]:
        """The set X of inputs, each as its position in the data."""
        return frozenset(range(len(self.outputs)))

    @typed
    def meaning(self, output: Output) -> frozenset[int]:
        """Return the inputs that are mapped to `output`, as positions in the data; empty if the output does not
        occur.
        """
        return self.meanings.get(output, frozenset())

    @functools.cached_property
    def meanings(self) -> Mapping[Output, frozenset[int]]:
        """The inputs, as positions in the data, that are mapped to each output; outputs in order of first
        occurrence.
        """
        found: dict[Output, list[int]] = {}
        for position, output in enumerate(self.outputs):
            found.setdefault(output, []).append(position)
        return {output: frozenset(positions) for output, positions in found.items()}

    @property
    def categories(self) -> frozenset[frozenset[int]]:
        """The partition of the data set into sets of positions, without the names (outputs) of the sets."""
        return frozenset(self.meanings.values())

    @typed
    def refines(self, other: "Semantics") -> bool:
        """Whether each category of this function lies within a category of `other`.

        If so, the output of this function determines the output of the other function. Raises ExperimentError if the
        two functions have different data sets.
        """
        _refuse_other_data(self, other)
        return len(set(zip(self.outputs, other.outputs, strict=True))) == len(self.meanings)

    def __repr__(self) -> str:
        sizes = Counter(self.outputs).most_common(8)
        shown = ", ".join(f"{output!r}: {count}" for output, count in sizes)
        rest = f", and {len(self.meanings) - len(sizes)} more" if len(self.meanings) > len(sizes) else ""
        return f"semantics of {len(self.outputs)} inputs by {self.partition!r}: {{{shown}{rest}}}"


@typed
def semantics(
    function: Callable[..., Any],  # Any: checked to be a tensor
    data: Data,
    by: Partition | None = None,
) -> Semantics:
    """Categorise each input of a finite data set by the output of a function.

    function: a module or function. It takes the data, (n, ...), in one call without gradients, and returns (n, ...). It
    has to be deterministic and act on each input alone: put a module with dropout or batch norm into evaluation mode
    first.
    by: the partition that states which outputs are the same. Default: outputs (n, classes) of a floating dtype are
    logits, and the category is the class with the largest logit (`Largest`); for integers and booleans, each value is a
    category (`Itself`). Other real outputs need a stated partition. Raises ShapeError or ExperimentError for outputs of
    another shape, NaN, or a partition that is missing.

    >>> parity = semantics(lambda x: x % 2, torch.arange(5))
    >>> parity
    semantics of 5 inputs by Itself(): {0: 3, 1: 2}
    >>> sorted(parity.meaning(1))
    [1, 3]
    """
    arguments = (data,) if isinstance(data, Tensor) else tuple(data)
    with torch.no_grad():
        outputs = function(*arguments)
    _refuse_outputs(outputs, {len(each) for each in arguments})
    partition = _default(outputs) if by is None else by
    cells = partition(outputs).tolist()
    return Semantics(tuple(map(_hashable, cells)), partition, describe(arguments))


@typed
def agreement(one: Semantics, other: Semantics) -> float:
    """Return how similar the categories of two functions are: the adjusted Rand index, 1 for equal categories, 0 for
    chance.

    Hubert and Arabie (1985), Comparing partitions, Journal of Classification 2. The index counts the pairs of inputs
    that both functions put into one category, or both put into different categories. Names of outputs do not matter.
    The index corrects for chance: with many categories, most pairs are apart for any two functions, and the plain Rand
    index counts this as agreement. A value below 0 is worse than chance. Equal categories always give 1. Raises
    ExperimentError for semantics of different data.
    """
    _refuse_other_data(one, other)
    together = _pairs(zip(one.outputs, other.outputs, strict=True))
    mine, theirs, all_pairs = _pairs(one.outputs), _pairs(other.outputs), comb(len(one.outputs), 2)
    # All terms are multiplied by all_pairs, so that all numbers are integers or halves until the last division.
    above = together * all_pairs - mine * theirs
    below = (mine + theirs) * all_pairs / 2 - mine * theirs
    return above / below if below else 1.0


def distance(one: Semantics, other: Semantics) -> float:
    """Return the variation of information of two functions f and g, H(f|g) + H(g|f), in nats.

    Meila (2007), Comparing clusterings, Journal of Multivariate Analysis 98. It is a metric on partitions: 0 only for
    equal categories. Raises ExperimentError for semantics of different data.
    """
    return uncertainty(one, given=other) + uncertainty(other, given=one)


def uncertainty(one: Semantics, given: Semantics) -> float:
    """Return H(f|g) in nats: how uncertain the category by f (`one`) of an input is when its category by g (`given`) is
    known.

    The input is drawn uniformly. The result is 0 exactly if each category of g lies within a category of f. Raises
    ExperimentError for semantics of different data.
    """
    _refuse_other_data(one, given)
    both, known = Counter(zip(one.outputs, given.outputs, strict=True)), Counter(given.outputs)
    return sum(count * log(known[other] / count) for (_, other), count in both.items()) / len(one.outputs)


def _pairs(outputs: Any) -> int:  # Any: an iterable of outputs
    return sum(comb(count, 2) for count in Counter(outputs).values())


def _hashable(value: Any) -> Output:  # Any: nested lists of numbers
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _default(outputs: Tensor) -> Partition:
    if not outputs.is_floating_point():
        return Itself()
    if outputs.ndim == 2 and outputs.shape[1] > 1:
        return Largest()
    raise ExperimentError(
        f"a function plays real numbers, shape {tuple(outputs.shape)}, of which no two need ever be equal; expected a "
        "statement of which outputs are the same. Pass by=Threshold(), Grid(width), Nearest(prototypes), or Itself()."
    )


def _refuse_outputs(outputs: Any, lengths: set[int]) -> None:  # Any: the result of a user's function
    if not isinstance(outputs, Tensor):
        raise ShapeError(
            f"a function played a {type(outputs).__name__}; expected one tensor, an output for each input. Return it."
        )
    if lengths != {len(outputs) if outputs.ndim else 0} or lengths == {0}:
        raise ShapeError(
            f"a function played outputs of shape {tuple(outputs.shape)} for data of length {sorted(lengths)}; expected "
            "the same first dimension, of at least 1. Pass a data set of one length, and return an output per input."
        )
    if outputs.is_floating_point() and outputs.isnan().any():
        wrong = int(outputs.isnan().reshape(len(outputs), -1).any(1).sum())
        raise ExperimentError(
            f"a function played NaN for {wrong} of {len(outputs)} inputs; expected numbers, since NaN is not even "
            "equal to itself. Correct the function."
        )


def _refuse_other_data(one: Semantics, other: Semantics) -> None:
    if one.data != other.data:
        raise ExperimentError(
            f"{one!r} and {other!r} are of different data; expected both functions on one data set, in one order. "
            "Take the semantics of both on the same inputs."
        )

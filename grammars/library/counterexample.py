"""Finds the smallest network in which all kicks are positive, but kickback's gradient has a wrong sign at one unit.

In kickback, a unit's gradient is estimated as one number per example, times the unit's kick. The essay assumes that all
kicks are positive (coherence). The network shows that this premise is not sufficient for correct signs.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Counterexample:
    """A network of rectifiers with integer weights, and one unit at which kickback's gradient has the wrong sign. The
    input is the single number 1.

    weights: weights of each layer, (outputs, inputs). The last layer is linear with one output. biases: biases of all
    layers but the last, whose bias does not influence gradients. layer, unit: numbers of the layer and of the unit with
    the wrong sign, counted from 1. kick: kickback's factor of the unit (the essay's tau). factor: backpropagation's
    factor, d output / d unit.
    """

    weights: tuple[tuple[tuple[int, ...], ...], ...]
    biases: tuple[tuple[int, ...], ...]
    layer: int
    unit: int
    kick: int
    factor: int

    @property
    def units(self) -> int:
        """Number of units, including the output."""
        return sum(map(len, self.weights))

    @property
    def total(self) -> int:
        """The sum of the absolute values of all weights and biases."""
        rows = itertools.chain(*self.weights, self.biases)
        return sum(abs(number) for row in rows for number in row)

    def __str__(self) -> str:
        lines = [f"{self.units} units, sum of |weights| {self.total}, input 1; every kick is positive"]
        for index, weights in enumerate(self.weights, start=1):
            bias = f", biases {list(self.biases[index - 1])}" if index <= len(self.biases) else ", linear"
            lines.append(f"layer {index}: weights {list(map(list, weights))}{bias}")
        lines.append(f"unit {self.unit} of layer {self.layer}: kick {self.kick:+d}, true factor {self.factor:+d}")
        return "\n".join(lines)


def smallest_counterexample(units: int = 5, total: int = 12, biases: bool = True) -> Counterexample | None:
    """Return the smallest network in which all kicks are positive, but kickback's gradient has a wrong sign. All
    networks up to this size are tried; None if there is no such network.

    units: the largest number of units. total: the largest sum of the absolute values of all weights and biases. The
    order is by number of units, then by this sum, then by the sum of |biases|. biases: whether biases other than zero
    are tried. Networks of one or two layers are left out, because kickback is exact for them.

    >>> print(smallest_counterexample())
    4 units, sum of |weights| 10, input 1; every kick is positive
    layer 1: weights [[1]], biases [0]
    layer 2: weights [[2], [-1]], biases [0, 2]
    layer 3: weights [[1, 3]], linear
    unit 1 of layer 1: kick +1, true factor -1
    """
    try:
        for count, size in itertools.product(range(3, units + 1), range(1, total + 1)):
            found = [each for widths in _architectures(count) for each in _counterexamples(widths, size, biases)]
            if found:
                return min(found, key=_by_biases)
        return None
    finally:
        _vectors.cache_clear()


def _by_biases(found: Counterexample) -> tuple[int, list[int]]:
    """Return the sort key among networks of equal size: smallest biases first, then largest first weights."""
    descending = [-number for rows in found.weights for row in rows for number in row]
    return sum(abs(number) for row in found.biases for number in row), descending


def _architectures(units: int) -> Iterator[tuple[int, ...]]:
    """Yield the widths of all networks of three or more layers with `units` units in total.

    The last unit is the output.
    """
    for layers in range(3, units + 1):
        for widths in itertools.product(range(1, units), repeat=layers - 1):
            if sum(widths) == units - 1:
                yield (*widths, 1)


def _counterexamples(widths: Sequence[int], total: int, biases: bool) -> Iterator[Counterexample]:
    """Yield all counterexamples with the given widths whose absolute weights and biases have the sum `total`."""
    shapes = list(zip(widths, (1, *widths[:-1]), strict=True))
    lengths = [m * n for m, n in shapes] + (list(widths[:-1]) if biases else [])
    rows, ends = _vectors(sum(lengths), total), np.cumsum(lengths)
    outer = rows[:, ends[len(widths) - 2] : ends[len(widths) - 1]]  # the kicks of the layer below the output
    parts = np.split(rows[(outer > 0).all(1)].astype(np.int64), ends[:-1], axis=1)
    weights = [part.reshape(-1, m, n) for part, (m, n) in zip(parts, shapes, strict=False)]
    shifts = parts[len(shapes) :] if biases else [np.zeros((len(parts[0]), m), dtype=np.int64) for m in widths[:-1]]
    kicks, factors, opens = _feedback(weights, shifts)
    coherent = np.logical_and.reduce([(kick > 0).all(1) for kick in kicks])
    for layer, (kick, factor, open) in enumerate(zip(kicks, factors, opens, strict=True)):
        for row, unit in zip(*np.nonzero((kick * factor < 0) & open & coherent[:, None]), strict=True):
            yield Counterexample(
                tuple(tuple(map(tuple, each[row].tolist())) for each in weights),
                tuple(tuple(each[row].tolist()) for each in shifts),
                layer + 1,
                int(unit) + 1,
                int(kick[row, unit]),
                int(factor[row, unit]),
            )


def _feedback(weights: Sequence[Numbers], biases: Sequence[Numbers]) -> tuple[list[Numbers], list[Numbers], list]:
    """Compute what kickback and backpropagation send to every unit except the output.

    Returns three lists with one array per layer, (networks, units). First: kickback's factors (kicks). Second:
    backpropagation's factors, d output / d unit. Third: whether the unit is positive before the rectifier.
    """
    signal = np.ones((len(weights[0]), 1), dtype=np.int64)
    opens: list[NDArray[np.bool_]] = []
    for weight, bias in zip(weights, biases, strict=False):  # the last layer has no gate
        before = (weight * signal[:, None, :]).sum(2) + bias
        opens.append(before > 0)
        signal = np.maximum(before, 0)
    kicks, factors = [weights[-1][:, 0]], [weights[-1][:, 0]]
    for weight, open in zip(reversed(weights[1:-1]), reversed(opens[1:]), strict=True):
        kicks.append((weight * open[:, :, None]).sum(1))
        factors.append((weight * (open * factors[-1])[:, :, None]).sum(1))
    return kicks[::-1], factors[::-1], opens


@functools.cache
def _vectors(length: int, total: int) -> NDArray[np.int8]:
    """Return all integer vectors of this length whose absolute values sum to `total`, one vector per row."""
    if length == 1:
        return np.array([[total], [-total]] if total else [[0]], dtype=np.int8)
    blocks = []
    for first in range(-total, total + 1):
        rest = _vectors(length - 1, total - abs(first))
        blocks.append(np.hstack([np.full((len(rest), 1), first, dtype=np.int8), rest]))
    return np.vstack(blocks)

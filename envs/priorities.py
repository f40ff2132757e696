"""Priorities of transitions: which rows of a replay memory are drawn how often, and how much they then count.

Schaul et al. 2016, Prioritized experience replay.
"""

from typing import final

import numpy as np
import torch
from torch import Tensor

from antiphon.grammars.oracle import State

LEAST = 1e-4
"""Is added to the size of each error, so that every transition can be drawn."""

_FAN = 32  # children of a node: four levels hold a million rows, and numpy works on all children at once


@final
class Priorities:
    """Draws rows with probabilities proportional to (|error| + 1e-4)^alpha, with replacement.

    capacity: number of rows. A new row has the largest priority so far, so it is soon drawn.
    """

    def __init__(self, capacity: int, alpha: float) -> None:
        self._alpha, self._largest = alpha, 1.0
        self._sums, self._least = _Tree(capacity, np.add, 0.0), _Tree(capacity, np.minimum, np.inf)

    @staticmethod
    def bytes_per_row() -> int:
        """Return the number of bytes that each row takes in the memory of this process."""
        return 17  # two trees of float64, each with 1 + 1/32 + ... numbers a row

    def add(self, rows: np.ndarray) -> None:
        """Give new rows, (n,), the largest priority so far."""
        self._set(rows, np.full(len(rows), self._largest))

    def update(self, rows: np.ndarray, errors: np.ndarray) -> None:
        """Set the priorities of rows from their errors. Both are (n,); of a row that occurs twice, the last counts.

        An error that is NaN or infinite gives the largest priority so far.
        """
        size = np.abs(errors) + LEAST
        size = np.where(np.isfinite(size), size, self._largest)
        self._largest = max(self._largest, float(size.max()))
        self._set(rows, size)

    def draw(self, batch: int, filled: int, generator: torch.Generator) -> Tensor:
        """Return the numbers of `batch` rows, (batch,) int64. A row is drawn in proportion to its priority.

        filled: the number of rows in memory; only these are drawn.
        """
        share = torch.rand(batch, generator=generator, dtype=torch.float64).numpy()
        # Rounding may lead just past the last row.
        return torch.from_numpy(np.minimum(self._sums.find(share * self._sums.total), filled - 1))

    def weights(self, rows: np.ndarray, beta: float) -> np.ndarray:
        """Return the importance weight of each row, (n,): (n P)^-beta, divided by the largest of all stored rows.

        P is the probability of the row, n the number of stored rows. With beta = 1, weighted means of drawn rows are
        proportional to plain means of all rows. beta = 0 gives 1 to all.
        """
        return (self._sums.leaves[rows] / self._least.total) ** -beta

    def state(self, filled: int) -> State:
        """Return the priorities of the first `filled` rows, and the largest so far."""
        return {"rows": torch.from_numpy(self._sums.leaves[:filled].copy()), "largest": self._largest}

    def load(self, state: State) -> None:
        """Continue from a saved state."""
        self._largest = state["largest"]
        self._put(np.arange(len(state["rows"])), state["rows"].numpy())

    def _set(self, rows: np.ndarray, size: np.ndarray) -> None:
        self._put(rows, size**self._alpha)

    def _put(self, rows: np.ndarray, values: np.ndarray) -> None:
        self._sums.put(rows, values)
        self._least.put(rows, values)


@final
class _Tree:
    """Numbers, and their totals by 32, by 32 times 32, and so on. Totals are recomputed, so no rounding adds up."""

    def __init__(self, size: int, combine: np.ufunc, empty: float) -> None:
        self._combine, self._levels = combine, []
        while not self._levels or size > 1:
            size = -(-size // _FAN)
            self._levels.append(np.full((size, _FAN), empty))

    @property
    def leaves(self) -> np.ndarray:
        """All numbers, and empty ones up to a multiple of 32."""
        return self._levels[0].reshape(-1)

    @property
    def total(self) -> float:
        """The total of all numbers."""
        return float(self._combine.reduce(self._levels[-1][0]))

    def put(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Replace the numbers at `rows`, and all totals above them."""
        for level in self._levels:
            level.reshape(-1)[rows] = values
            rows = rows // _FAN
            values = self._combine.reduce(level[rows], axis=1)

    def find(self, mass: np.ndarray) -> np.ndarray:
        """Return the first row at which the sum of all numbers up to it is larger than `mass`, for each mass, (n,)."""
        node, each = np.zeros(len(mass), dtype=np.int64), np.arange(len(mass))
        for level in reversed(self._levels):
            sums = level[node].cumsum(1)
            place = np.minimum((sums <= mass[:, None]).sum(1), _FAN - 1)
            mass = mass - np.where(place > 0, sums[each, place - 1], 0.0)
            node = node * _FAN + place
        return node
